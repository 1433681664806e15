"""Training on a GPU: precision, transfers, resuming."""

from pathlib import Path

import pytest
import torch
from fixtures_data import write_300w_lp
from runs import Watching, configured, quiet
from waiting import allow_waiting, forbid_waiting

from hmtl import checkpoint, engine
from hmtl.assemble import build_model
from hmtl.config import Config
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.runlog import read_log

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("train")
    return open_dataset(write_300w_lp(root, count=48, subjects=6, size=128, seed=1))


def settings(preset: str = "table2/hmtl-puzzle3-aug2", **changes: object) -> Config:
    """Return a preset at 224 px, a few steps long."""
    short = {"train.batch_size": 16, "train.epochs": 1, "train.device": "cuda"}
    return configured(preset, short, changes)


@pytest.mark.parametrize(("amp", "epochs"), [("bf16", 1), ("fp16", 10), ("off", 1)])
def test_a_resnet50_trains_in_every_precision(
    data: Dataset, tmp_path: Path, amp: str, epochs: int
) -> None:
    config = settings(train__amp=amp, train__epochs=epochs, train__log_steps=1)
    engine.train(config, data=data, out=tmp_path, reporter=quiet())
    steps = [e for e in read_log(tmp_path / "log.jsonl") if e["event"] == "step"]
    # The first updates in fp16 are skipped, until the scale of the loss has come down far enough.
    losses = [entry["loss"] for entry in steps if "loss" in entry]
    assert len(steps) == 3 * epochs
    assert "loss" in steps[-1]
    assert amp == "fp16" or len(losses) == len(steps)
    trained = checkpoint.load_weights(tmp_path / "weights.safetensors").tensors
    fresh = build_model(config).weights()
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    assert not torch.equal(trained["conv1.weight"], fresh["conv1.weight"])
    assert not torch.equal(trained["pose.linear.weight"], fresh["pose.linear.weight"])


def test_batches_on_the_gpu_hold_the_bytes_of_those_on_the_cpu(data: Dataset) -> None:
    def batches(device: str) -> list[tuple[torch.Tensor, ...]]:
        loader = Loader(data, batch_size=5, size=96, seed=3, prefetch=1, device=device)
        # Work on the GPU delays the copies, so that memory taken again too early would show.
        busy = torch.ones(4096, 4096, device="cuda")
        found = []
        for batch in loader:
            busy = busy @ busy / 4096.0
            assert batch.images.device.type == device
            found.append((batch.images, batch.pose, batch.permutation))
        loader.close()
        return found

    for on_gpu, on_cpu in zip(batches("cuda"), batches("cpu"), strict=True):
        for first, second in zip(on_gpu, on_cpu, strict=True):
            assert torch.equal(first.cpu(), second)


def test_normalised_images_agree_with_the_cpu(data: Dataset) -> None:
    batch = next(iter(Loader(data, batch_size=8, size=96)))
    on_gpu = batch.to("cuda").normalized()
    torch.testing.assert_close(on_gpu.cpu(), batch.normalized(), atol=1e-5, rtol=0.0)
    assert on_gpu.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("optimizer", ["adabelief", "adamw", "lars", "sgd"])
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_step_does_not_wait_for_the_gpu(
    data: Dataset, tmp_path: Path, amp: str, optimizer: str
) -> None:
    config = settings(train__batch_size=8, train__amp=amp, train__optimizer=optimizer)
    assert steps_without_waiting(config, data, tmp_path) == 6


@pytest.mark.parametrize("preset", ["pretrain/barlow-puzzle3", "pretrain/rotation2"])
def test_a_step_of_pretraining_does_not_wait_for_the_gpu(
    data: Dataset, tmp_path: Path, preset: str
) -> None:
    config = settings(preset, train__batch_size=8)
    assert steps_without_waiting(config, data, tmp_path) == 6


def steps_without_waiting(config: Config, data: Dataset, out: Path) -> int:
    """Return the number of steps of a run of which some fail if they wait for the GPU."""

    def watch(step: int) -> None:
        # The first step sets up kernels and the optimizer's state; the last ends in a checkpoint.
        if step in (3, 4):
            forbid_waiting()
        else:
            allow_waiting()

    try:
        return engine.train(config, data=data, out=out, reporter=Watching(watch)).step
    finally:
        allow_waiting()


def test_a_broken_run_goes_on_to_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    config = settings(
        model__backbone="resnet18",
        data__size=64,
        train__deterministic=True,
        train__checkpoint_steps=2,
        train__amp="bf16",
    )

    def interrupt(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    engine.train(config, data=data, out=tmp_path / "whole", reporter=quiet())
    with pytest.raises(KeyboardInterrupt):
        engine.train(config, data=data, out=tmp_path / "broken", reporter=Watching(interrupt))
    engine.train(config, data=data, out=tmp_path / "broken", resume=True, reporter=quiet())
    whole, broken = (
        checkpoint.load_weights(tmp_path / name / "weights.safetensors").tensors
        for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
