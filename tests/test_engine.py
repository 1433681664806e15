"""Training runs: what they leave behind, how they stop and go on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_data import write_300w_lp, write_labels
from rich.console import Console
from runs import SMALL, configured, interrupting, quiet, same, weights

from hmtl import checkpoint, engine, pose
from hmtl.assemble import (
    build_model,
    choose_device,
    choose_precision,
    evaluation_loader,
    initialise,
    load_network,
)
from hmtl.config import Config
from hmtl.data import Dataset, open_dataset
from hmtl.errors import ConfigError, RunError
from hmtl.evaluate import evaluate, predict, pretext_accuracy
from hmtl.preset import read_config
from hmtl.progress import Reporter
from hmtl.runlog import read_log
from hmtl.synth import render_dataset

CPU = torch.device("cpu")
TINY = SMALL | {
    "data.convention": "euler",
    "train.epochs": 2,
    "train.log_steps": 2,
    "train.deterministic": True,
    "train.milestones": [1],
    "pretext.grid": 2,
    "pretext.branch_point": 1,
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("train"), count=13, subjects=3, size=48, seed=1)


@pytest.fixture(scope="module")
def validation_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("val"), count=5, subjects=2, size=48, seed=2)


@pytest.fixture(scope="module")
def data(data_root: Path) -> Dataset:
    return open_dataset(data_root)


@pytest.fixture(scope="module")
def validation(validation_root: Path) -> Dataset:
    return open_dataset(validation_root)


def tiny(preset: str = "table2/hmtl-puzzle2-aug1", **changes: object) -> Config:
    return configured(preset, TINY, changes)


@pytest.fixture(scope="module")
def run(data: Dataset, validation: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs of three steps."""
    out = tmp_path_factory.mktemp("run")
    outcome = engine.train(tiny(), data=data, out=out, validation=[validation], reporter=quiet())
    assert (outcome.step, outcome.epoch, outcome.stopped_by) == (6, 2, "")
    return out


def test_a_run_leaves_the_files_that_others_read(run: Path) -> None:
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert found == {
        ".lock",
        "config.toml",
        "log.jsonl",
        "checkpoints/last.pt",
        "checkpoints/step-3.pt",
        "checkpoints/best.pt",
        "weights.safetensors",
        "best.safetensors",
    }
    assert read_config(run / "config.toml") == tiny()


def test_the_log_tells_the_run_from_start_to_end(run: Path, validation: Dataset) -> None:
    entries = read_log(run / "log.jsonl")
    assert [(entry["event"], entry["step"]) for entry in entries] == [
        ("start", 0),
        ("step", 2),
        ("epoch", 3),
        ("eval", 3),
        ("eval", 3),
        ("save", 3),
        ("step", 4),
        ("step", 6),
        ("epoch", 6),
        ("eval", 6),
        ("eval", 6),
        ("save", 6),
        ("end", 6),
    ]
    start, first = entries[0], entries[1]
    assert start["data"]["samples"] == 13
    assert start["threads"] == 1
    assert start["versions"]["torch"] == torch.__version__
    assert start["config"] == tiny().digest()
    assert {"loss", "pose", "yaw", "pitch", "roll", "puzzle", "images_per_s"} <= first.keys()
    assert first["loss"] == pytest.approx(first["pose"] + 50 * first["puzzle"], rel=1e-4)
    assert 0.0 <= first["wait_share"] <= 1.0
    assert [entry["lr"] for entry in entries if entry["event"] == "step"] == [
        0.001,
        pytest.approx(0.0001),
        pytest.approx(0.0001),
    ]
    evals = [entry for entry in entries if entry["event"] == "eval"]
    assert {entry["protocol"] for entry in evals} == {"hopenet", "paper-full"}
    assert {entry["dataset"] for entry in evals} == {validation.root.name}


def test_the_weights_are_those_that_were_evaluated(run: Path, validation: Dataset) -> None:
    network, config = load_network(run, CPU)
    assert config == tiny()
    logged = [entry for entry in read_log(run / "log.jsonl") if entry["event"] == "eval"][-2:]
    for entry, before in zip(evaluate(network, validation, config), logged, strict=True):
        assert entry["mae"]["mean"] == pytest.approx(before["mae"]["mean"], abs=1e-4)


def test_the_epoch_with_the_smallest_error_is_the_best(
    data: Dataset, validation: Dataset, tmp_path: Path
) -> None:
    # A rate that destroys what the first epoch has learnt.
    config = tiny("table2/sl-aug1", train__optimizer="sgd", train__lr=1e-5, train__gamma=3e4)
    engine.train(config, data=data, out=tmp_path, validation=[validation], reporter=quiet())
    entries = [entry for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "eval"]
    first, second = (entry["mae"]["mean"] for entry in entries if entry["protocol"] == "hopenet")
    assert first < second
    assert checkpoint.load(tmp_path / "checkpoints" / "best.pt")["step"] == 3
    assert checkpoint.load(tmp_path / "checkpoints" / "last.pt")["best"] == first
    best, _ = load_network(tmp_path, CPU, "best")
    again = evaluate(best, validation, config, names=["hopenet"])[0]
    assert again["mae"]["mean"] == pytest.approx(first, abs=1e-4)


def test_predictions_come_in_the_order_of_the_rows(run: Path, validation: Dataset) -> None:
    network, config = load_network(run, CPU)
    whole = predict(network, validation, config)
    assert whole.valid.all()
    order = np.array([3, 0, 4])
    part = predict(network, validation.subset(order), config)
    np.testing.assert_allclose(part.pose, whole.pose[order], atol=1e-4)


def test_predictions_are_computed_without_tf32(run: Path, validation: Dataset) -> None:
    network, config = load_network(run, CPU)
    seen = []
    network.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    predict(network, validation, config)
    assert set(seen) == {False}
    assert torch.backends.cudnn.allow_tf32


def test_a_sample_that_cannot_be_read_is_left_out_and_counted(run: Path, tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=4, subjects=2, size=48, seed=3)
    broken = sorted(root.rglob("*.jpg"))[1]
    broken.write_bytes(broken.read_bytes()[:300])
    network, config = load_network(run, CPU)
    config = config.updated({"data.on_error": "substitute"})
    entry = evaluate(network, open_dataset(root), config, names=["paper-full"])[0]
    assert (entry["n"], entry["invalid"]) == (3, 1)


def test_the_pretext_accuracy_counts_cells(data: Dataset) -> None:
    config = tiny("table2/hmtl-puzzle-rotation2-aug1")
    model = build_model(config).eval()
    right, cells = 0, 0
    with torch.inference_mode():
        for batch in evaluation_loader(config, data, CPU, puzzled=True):
            for row in range(len(batch)):
                answer = model(batch.normalized())
                for cell in range(4):
                    right += int(answer.puzzle[row, cell].argmax() == batch.permutation[row, cell])
                    cells += 1
    accuracy = pretext_accuracy(model, data, config)
    assert accuracy["puzzle"] == pytest.approx(right / cells)
    assert accuracy.keys() == {"puzzle", "rotation"}
    assert pretext_accuracy(build_model(tiny("table2/sl-aug1")), data, config) == {}


def test_the_arms_of_one_seed_start_with_the_same_bits() -> None:
    arms = [
        build_model(tiny(f"table5/{name}")).weights()
        for name in ("sl", "hmtl-puzzle3", "hmtl-puzzle3-without-heads")
    ]
    assert same(arms[0], arms[1])
    assert same(arms[0], arms[2])
    assert not same(arms[0], build_model(tiny("table5/sl", train__seed=1)).weights())


def test_labels_beyond_the_bins_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path / "data", count=9, subjects=3, size=48, seed=4)
    labels = sorted(root.rglob("*.mat"))
    write_labels(labels[2], (120.0, 0.0, 0.0), 48)
    write_labels(labels[5], (0.0, 99.0, 0.0), 48)
    engine.train(
        tiny(train__epochs=1, train__optimizer="sgd"),
        data=open_dataset(root),
        out=tmp_path / "run",
        reporter=quiet(),
    )
    start = read_log(tmp_path / "run" / "log.jsonl")[0]
    assert (start["data"]["samples"], start["data"]["out_of_range"]) == (8, 1)


def test_a_broken_run_goes_on_in_mid_epoch_to_the_same_weights(
    run: Path, data: Dataset, validation: Dataset, tmp_path: Path
) -> None:
    settings = tiny(train__checkpoint_steps=4)
    with pytest.raises(KeyboardInterrupt):
        engine.train(
            settings, data=data, out=tmp_path, validation=[validation], reporter=interrupting(5)
        )
    # Step 4 is in the middle of the second epoch; step 5 is done twice.
    assert checkpoint.load(tmp_path / "checkpoints" / "last.pt")["step"] == 4
    outcome = engine.train(
        settings,
        data=data,
        out=tmp_path,
        validation=[validation],
        resume=True,
        reporter=quiet(),
    )
    assert outcome.step == 6
    assert same(weights(run), weights(tmp_path))
    starts = [entry for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "start"]
    assert [entry["step"] for entry in starts] == [0, 4]


@pytest.mark.slow
def test_a_run_broken_between_the_last_step_and_the_evaluation_evaluates(
    run: Path, data: Dataset, validation: Dataset, tmp_path: Path
) -> None:
    settings = tiny(train__checkpoint_steps=3)
    reporter = interrupting(4)
    with pytest.raises(KeyboardInterrupt):
        engine.train(settings, data=data, out=tmp_path, validation=[validation], reporter=reporter)
    path = tmp_path / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    # As if the kill had come after the third step's checkpoint and before the epoch's.
    state["epoch"] = 0
    state["loader"] |= {"epoch": 0, "samples": 12}
    checkpoint.save(path, state)
    engine.train(
        settings, data=data, out=tmp_path, validation=[validation], resume=True, reporter=quiet()
    )
    assert same(weights(run), weights(tmp_path))
    events = [(e["event"], e["step"]) for e in read_log(tmp_path / "log.jsonl")]
    assert events.count(("eval", 3)) == 2
    assert events.count(("epoch", 3)) == 1


@pytest.fixture(scope="module")
def facing_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("xgaze") / "heads"
    render_dataset(root, layout="eth-xgaze", count=10, subjects=2, seed=3, size=32, workers=1)
    return root


def test_directions_are_learnt_and_compared_as_directions(
    run: Path, validation: Dataset, facing_root: Path, tmp_path: Path
) -> None:
    facing = open_dataset(facing_root, split="fit")
    held_out = open_dataset(facing_root, split="val")
    changes = {"model.head": "regression", "train.epochs": 1, "data.convention": ""}
    config = tiny("table2/sl-aug1", **changes)
    engine.train(
        config, data=facing, out=tmp_path, validation=[held_out, validation], reporter=quiet()
    )
    assert read_config(tmp_path / "config.toml").data.convention == "direction"
    entries = [entry for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "eval"]
    assert {entry["dataset"] for entry in entries} == {"heads", validation.root.name}
    assert {entry["convention"] for entry in entries} == {"direction"}
    assert all(entry["mae"]["roll"] is None for entry in entries)
    assert all(entry["geodesic"] > 0.0 for entry in entries)

    # A network of Euler angles is compared with directions by where its heads face.
    network, learnt = load_network(run, CPU)
    assert learnt.data.convention == "euler"
    (entry,) = evaluate(network, held_out, learnt, names=["wrapped"])
    found = pose.to_direction(predict(network, held_out, learnt).pose)[:, :2]
    assert entry["mae"]["yaw"] == pytest.approx(
        np.abs(pose.wrap(found[:, 0] - held_out.pose[:, 0])).mean(), abs=1e-4
    )


def test_resuming_a_finished_run_does_nothing(run: Path, data: Dataset) -> None:
    before = (run / "log.jsonl").read_bytes()
    outcome = engine.train(tiny(), data=data, out=run, resume=True, reporter=quiet())
    assert (outcome.step, outcome.epoch, outcome.stopped_by) == (6, 2, "")
    assert (run / "log.jsonl").read_bytes() == before


def test_a_run_is_not_overwritten(run: Path, data: Dataset) -> None:
    with pytest.raises(ConfigError, match="must be an empty folder, or a run to --resume"):
        engine.train(tiny(), data=data, out=run, reporter=quiet())


def test_resuming_names_changed_settings(run: Path, data: Dataset) -> None:
    with pytest.raises(
        ConfigError, match=r"train\.epochs from 2 to 3, train\.lr from 0\.001 to 0\.1: --allow"
    ):
        engine.train(
            tiny(train__lr=0.1, train__epochs=3),
            data=data,
            out=run,
            resume=True,
            reporter=quiet(),
        )


def test_a_state_of_the_loader_that_does_not_fit_is_named_with_its_checkpoint(
    run: Path, data: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "old")
    path = tmp_path / "old" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=False)
    state["loader"]["version"], state["epoch"] = 1, 1
    torch.save(state, path)
    with pytest.raises(
        ConfigError, match=f"version 2, got 1, in {path}: --allow-changes begins epoch 2 anew"
    ):
        engine.train(tiny(), data=data, out=path.parent.parent, resume=True, reporter=quiet())


@pytest.mark.slow
def test_resuming_with_another_batch_size_begins_the_epoch_anew(
    data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        engine.train(
            tiny(train__checkpoint_steps=4), data=data, out=tmp_path, reporter=interrupting(5)
        )
    outcome = engine.train(
        tiny(train__batch_size=6),
        data=data,
        out=tmp_path,
        resume=True,
        allow_changes=True,
        reporter=quiet(),
    )
    # One epoch of 3 steps, one step of the second, and that epoch anew in 2 larger steps.
    assert (outcome.step, outcome.epoch) == (6, 2)


def test_resuming_an_empty_folder_starts_and_says_so(data: Dataset, tmp_path: Path) -> None:
    console = Console(record=True, quiet=False, file=(tmp_path / "said").open("w"), width=200)
    out = tmp_path / "run"
    engine.train(
        tiny(train__epochs=1, train__optimizer="sgd"),
        data=data,
        out=out,
        resume=True,
        reporter=Reporter(console),
    )
    assert f"no checkpoint in {out}: starting at step 0" in console.export_text()
    console.file.close()


def test_losses_that_stay_infinite_end_the_run(data: Dataset, tmp_path: Path) -> None:
    message = r"not finite from step 2 on in .*, for too many steps in a row: there is no che"
    settings = tiny(train__lr=1e30, train__bad_steps=3)
    with pytest.raises(RunError, match=message):
        engine.train(settings, data=data, out=tmp_path, reporter=quiet())
    assert not (tmp_path / "checkpoints").exists()
    assert "not finite" in read_log(tmp_path / "log.jsonl")[-1]["reason"]


@pytest.mark.parametrize("weighting", ["uncertainty", "geometric-mean"])
def test_other_weightings_train(data: Dataset, tmp_path: Path, weighting: str) -> None:
    config = tiny(loss__weighting=weighting, train__epochs=1, train__optimizer="adamw")
    assert engine.train(config, data=data, out=tmp_path, reporter=quiet()).step == 3


def test_initial_weights_come_from_a_file(run: Path, tmp_path: Path) -> None:
    trained = weights(run)
    torch.save({"state_dict": trained}, tmp_path / "backbone.pth")
    for path in (run / "weights.safetensors", tmp_path / "backbone.pth"):
        config = tiny("table2/sl-aug1", model__init=str(path))
        model = build_model(config)
        initialise(model.backbone, config)
        assert torch.equal(model.weights()["conv1.weight"], trained["conv1.weight"])
        assert not torch.equal(model.weights()["pose.linear.weight"], trained["pose.linear.weight"])


def test_initial_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for init, message in (
        (str(tmp_path / "other.pth"), r"cannot start a resnet18 from .*other\.pth: .* missing"),
        (
            str(tmp_path / "none.pth"),
            r"'model.init' must be imagenet, a file or a run, got .*none\.pth",
        ),
    ):
        config = tiny("table2/sl-aug1", model__init=init)
        with pytest.raises(ConfigError, match=message):
            initialise(build_model(config).backbone, config)


def test_devices_and_precisions_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'train\.device' must name a device, got 'gpu'"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match=r"'train\.device' is 'cuda:99', but"):
        choose_device("cuda:99")
    with pytest.raises(ConfigError, match="must not be 'fp16' on the CPU"):
        choose_precision("fp16", CPU)
    assert choose_precision("auto", CPU) is None
    assert choose_precision("bf16", CPU) is torch.bfloat16
