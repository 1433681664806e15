"""Runs of several processes: one order, one log, one end, and a way on from it."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures_data import write_300w_lp
from ranks import run_ranks
from rich.console import Console
from runs import SMALL, configured, interrupting, quiet

from hmtl import checkpoint, distributed, engine
from hmtl.assemble import build_model, load_network, training_loader
from hmtl.config import Config
from hmtl.data import open_dataset
from hmtl.errors import ConfigError, ToldElsewhereError
from hmtl.evaluate import evaluate, predict
from hmtl.progress import Reporter
from hmtl.run_checkpoints import LAST
from hmtl.runlog import read_log

CPU = torch.device("cpu")
TINY = SMALL | {
    "train.batch_size": 6,
    "train.epochs": 2,
    "train.log_steps": 1,
    "train.deterministic": True,
    "train.milestones": [1],
    "pretext.grid": 2,
    "pretext.branch_point": 1,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("train"), count=20, subjects=3, size=48, seed=1)


@pytest.fixture(scope="module")
def validation_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("val"), count=5, subjects=2, size=48, seed=2)


def tiny(**changes: object) -> Config:
    return configured("table2/hmtl-puzzle2-aug1", TINY, changes)


def indices(config: Config, root: Path) -> list[list[int]]:
    """Return the samples of each global batch of an epoch, in their order."""
    with training_loader(config, open_dataset(root), CPU) as loader:
        mine = [batch.index for batch in loader]
    gathered = [distributed.gather_rows(index) for index in mine]
    # Ranks take turns, so sample n of the batch is number n // W of rank n % W.
    ranks = distributed.world_size()
    return [index.view(ranks, -1).T.flatten().tolist() for index in gathered]


def test_one_two_and_three_ranks_see_the_samples_in_the_same_order(root: Path) -> None:
    alone = indices(tiny(), root)
    assert [len(batch) for batch in alone] == [6, 6, 6]
    for ranks in (2, 3):
        for found in run_ranks(indices, ranks, tiny(), root):
            assert found == alone


def predictions(config: Config, root: Path) -> tuple[Any, Any]:
    found = predict(build_model(config).eval().pose_network(), open_dataset(root), config)
    return found.pose, found.valid


def test_ranks_gather_the_predictions_of_all_samples_once(validation_root: Path) -> None:
    alone, _ = predictions(tiny(), validation_root)
    # Five samples on two ranks: one of them is padded.
    for pose, valid in run_ranks(predictions, 2, tiny(), validation_root):
        np.testing.assert_allclose(pose, alone, atol=1e-3)
        assert valid.all()


def refusal(config: Config, root: Path, out: Path) -> tuple[str, str]:
    try:
        engine.train(config, data=open_dataset(root), out=out)
    except (ConfigError, ToldElsewhereError) as error:
        return type(error).__name__, str(error)
    return "", ""


def test_a_batch_that_ranks_cannot_share_is_refused_by_one_of_them(
    root: Path, tmp_path: Path
) -> None:
    refusals = run_ranks(refusal, 3, tiny(train__batch_size=4), root, tmp_path)
    assert [kind for kind, _ in refusals] == ["ConfigError"] + 2 * ["ToldElsewhereError"]
    message = "'train.batch_size' must be a multiple of the number of ranks, got 4 for 3 ranks"
    assert message in refusals[0][1]


def training(
    config: Config,
    root: Path,
    validation_root: Path,
    out: Path,
    resume: bool = False,
    interrupt_at: int | None = None,
) -> int:
    """Train, and return the steps done; an interrupted run leaves them at -1."""
    reporter = interrupting(interrupt_at)
    try:
        outcome = engine.train(
            config,
            data=open_dataset(root),
            validation=[open_dataset(validation_root)],
            out=out,
            resume=resume,
            reporter=reporter,
        )
    except (KeyboardInterrupt, ToldElsewhereError):
        return -1
    return outcome.step


def weights(out: Path) -> dict[str, torch.Tensor]:
    return dict(checkpoint.load_weights(out / "weights.safetensors").tensors)


def logged(out: Path, event: str) -> list[dict[str, Any]]:
    return [entry for entry in read_log(out / "log.jsonl") if entry["event"] == event]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.long)])
def test_a_broken_run_of_several_ranks_goes_on_to_the_same_weights(
    root: Path, validation_root: Path, tmp_path: Path, ranks: int
) -> None:
    config = tiny(train__checkpoint_steps=4)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run_ranks(training, ranks, config, root, validation_root, whole) == [6] * ranks
    arguments = config, root, validation_root, broken
    assert run_ranks(training, ranks, *arguments, False, 5) == [-1] * ranks
    assert run_ranks(training, ranks, *arguments, True) == [6] * ranks
    expected, found = weights(whole), weights(broken)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [entry["step"] for entry in logged(broken, "start")] == [0, 4]
    steps = [[entry["loss"] for entry in logged(out, "step")] for out in (whole, broken)]
    assert steps[0] == steps[1]
    assert logged(whole, "start")[0]["ranks"] == ranks
    # One process wrote: nothing is there twice.
    assert [entry["step"] for entry in logged(whole, "step")] == [1, 2, 3, 4, 5, 6]
    assert [entry["step"] for entry in logged(whole, "epoch")] == [3, 6]
    # What was evaluated on all ranks is the network that was saved, running statistics included.
    network, learnt = load_network(whole, CPU)
    alone = evaluate(network, open_dataset(validation_root), learnt)[0]
    together = [e for e in logged(whole, "eval") if e["protocol"] == alone["protocol"]][-1]
    assert together["mae"]["mean"] == pytest.approx(alone["mae"]["mean"], abs=1e-3)
    assert together["n"] == alone["n"] == 5
    states = checkpoint.load(whole / LAST)["rng"]
    assert len(states) == ranks
    assert not torch.equal(states[0]["cpu"], states[1]["cpu"])


@pytest.mark.slow
def test_another_number_of_ranks_goes_on_and_says_what_differs(
    root: Path, validation_root: Path, tmp_path: Path
) -> None:
    config = tiny(train__checkpoint_steps=4)
    run_ranks(training, 2, config, root, validation_root, tmp_path, False, 5)
    console = Console(record=True, file=(tmp_path / "said").open("w"), width=300)
    with console.file:
        outcome = engine.train(
            config, data=open_dataset(root), out=tmp_path, resume=True, reporter=Reporter(console)
        )
        said = console.export_text()
    assert outcome.step == 6
    assert "goes on with 1 ranks instead of 2: the samples and their order stay the same" in said


def stopped(config: Config, root: Path, out: Path) -> tuple[int, str, int]:
    """Train until a signal that rank 1 alone is sent; return step, signal, and the step saved."""
    if distributed.rank() == 1:
        threading.Thread(target=_signal_after_two_steps, args=(out,), daemon=True).start()
    outcome = engine.train(config, data=open_dataset(root), out=out, reporter=quiet())
    # Read at once: where a rank comes back, the checkpoint must be there.
    return outcome.step, outcome.stopped_by, checkpoint.load(out / LAST)["step"]


def _signal_after_two_steps(out: Path) -> None:
    while not (out / "log.jsonl").exists() or len(logged(out, "step")) < 2:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_at_the_same_step(root: Path, tmp_path: Path) -> None:
    config = tiny(train__epochs=100, train__optimizer="sgd", train__lr=1e-6)
    first, second = run_ranks(stopped, 2, config, root, tmp_path)
    assert first == second
    step, stopped_by, saved = first
    assert stopped_by == "SIGUSR1"
    assert 2 <= step == saved
    assert logged(tmp_path, "end")[-1]["reason"] == "SIGUSR1"
