"""Updates that are not finite: skipped without a trace, counted, and the end of a run if many."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures_data import write_300w_lp
from ranks import run_ranks
from runs import SMALL, Watching, configured

from hmtl import checkpoint, distributed
from hmtl.config import Config
from hmtl.data import Dataset, open_dataset
from hmtl.errors import RunError
from hmtl.meter import LossMeter
from hmtl.objectives.build import build_objective
from hmtl.objectives.pose import PoseObjective
from hmtl.optim.build import build_optimizer
from hmtl.optim.finite import finite
from hmtl.runlog import RunLog, read_log
from hmtl.trainer import Trainer

CPU = torch.device("cpu")
FACTS = {"data": {"samples": 20, "out_of_range": 0}, "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = write_300w_lp(tmp_path_factory.mktemp("train"), count=20, subjects=3, size=48, seed=1)
    return open_dataset(root)


def tiny(**changes: object) -> Config:
    settings = SMALL | {
        "data.convention": "euler",
        "train.epochs": 1,
        "train.log_steps": 5,
        "pretext.grid": 2,
    }
    return configured("table2/hmtl-puzzle2-aug1", settings, changes)


class BadForward:
    """Spoils the features of some training batches, as overflowing activations do."""

    def __init__(self, objective: PoseObjective, at: set[int]) -> None:
        self._calls, self._at = 0, at
        objective.model.backbone.conv1.register_forward_hook(self._spoil)

    def _spoil(self, _module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> Any:
        self._calls += 1
        return output * math.inf if self._calls in self._at else output


class BadBackward:
    """Spoils one gradient of some updates; the losses stay finite."""

    def __init__(self, objective: PoseObjective, at: set[int]) -> None:
        self._calls, self._at = 0, at
        objective.model.backbone.layer4[1].bn2.bias.register_hook(self._spoil)

    def _spoil(self, gradient: torch.Tensor) -> torch.Tensor:
        self._calls += 1
        return gradient * math.nan if self._calls in self._at else gradient


def train(
    config: Config,
    data: Dataset,
    out: Path,
    *,
    spoil: Callable[[PoseObjective, set[int]], object],
    at: set[int],
    seen: list[Any] | None = None,
) -> None:
    """Train with bad updates at some steps; `seen` takes the whole state after each step."""
    objective = build_objective(config, CPU)
    assert isinstance(objective, PoseObjective)
    spoil(objective, at)

    def look(step: int) -> None:  # noqa: ARG001
        if seen is not None:
            parts = [objective.state_dict(), trainer.learner.optimizer.state_dict()]
            for group in parts[1]["param_groups"]:
                del group["lr"]
            seen.append(checkpoint.snapshot(parts))

    with RunLog(out / "log.jsonl") as log:
        trainer = Trainer(
            config,
            data,
            objective=objective,
            validate=list,
            out=out,
            device=CPU,
            log=log,
            show=Watching(look),
            stop=str,
            baseline=False,
        )
        try:
            trainer.begin(None)
            trainer.run(FACTS)
        finally:
            trainer.close()


def equal(first: Any, second: Any) -> bool:
    """Compare nested containers bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


@pytest.mark.parametrize(
    ("spoil", "optimizer"),
    [
        (BadForward, "adabelief"),
        (BadForward, "sgd"),
        (BadBackward, "adamw"),
        (BadBackward, "lars"),
    ],
)
def test_a_bad_update_changes_no_bit_of_weights_moments_and_statistics(
    data: Dataset, tmp_path: Path, spoil: Any, optimizer: str
) -> None:
    seen: list[Any] = []
    config = tiny(train__optimizer=optimizer)
    train(config, data, tmp_path, spoil=spoil, at={1, 3, 4}, seen=seen)
    # Moments are made in the first update, even if it is skipped.
    assert all(value.isfinite().all() for value in seen[0][0].values())
    assert not equal(seen[1], seen[0])
    assert equal(seen[2], seen[1])
    assert equal(seen[3], seen[1])
    assert not equal(seen[4], seen[3])
    assert all(value.isfinite().all() for value in seen[4][0].values())


def test_skipped_updates_are_counted_and_left_out_of_the_means(
    data: Dataset, tmp_path: Path
) -> None:
    train(tiny(train__log_steps=1), data, tmp_path, spoil=BadForward, at={2, 3})
    entries = read_log(tmp_path / "log.jsonl")
    steps = [entry for entry in entries if entry["event"] == "step"]
    assert [entry["skipped"] for entry in steps] == [0, 1, 1, 0, 0]
    assert ["loss" in entry for entry in steps] == [True, False, False, True, True]
    (epoch,) = [entry for entry in entries if entry["event"] == "epoch"]
    assert epoch["skipped"] == 2
    good = [entry["loss"] for entry in steps if "loss" in entry]
    assert epoch["loss"] == pytest.approx(sum(good) / 3, rel=1e-5)


def test_too_many_skipped_updates_in_a_row_end_the_run_and_keep_the_checkpoint(
    data: Dataset, tmp_path: Path
) -> None:
    config = tiny(train__bad_steps=2, train__checkpoint_steps=1)
    last = tmp_path / "checkpoints" / "last.pt"
    message = (
        r"losses or gradients are not finite from step 4 on in .*, for too many steps in a row:"
        rf" the last checkpoint is of step 3 in {last}"
    )
    with pytest.raises(RunError, match=message) as error:
        train(config, data, tmp_path, spoil=BadForward, at={2, 4, 5})
    saved = checkpoint.load(last)
    assert saved["step"] == 3
    assert all(value.isfinite().all() for value in saved["model"].values())
    end = read_log(tmp_path / "log.jsonl")[-1]
    assert (end["event"], end["reason"]) == ("end", str(error.value))


def test_a_checkpoint_that_is_put_off_is_made_up_for_after_the_next_good_update(
    data: Dataset, tmp_path: Path
) -> None:
    train(tiny(train__checkpoint_steps=2), data, tmp_path, spoil=BadForward, at={2})
    saves = [
        entry["step"] for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "save"
    ]
    assert saves == [3, 4, 5]


def test_bad_updates_with_good_ones_between_do_not_end_a_run(data: Dataset, tmp_path: Path) -> None:
    train(tiny(train__bad_steps=2), data, tmp_path, spoil=BadForward, at={1, 3, 5})
    assert read_log(tmp_path / "log.jsonl")[-1]["reason"] == "finished"


def train_on_a_rank(config: Config, root: Path, out: Path, spoil: str) -> tuple[Any, list[int]]:
    """Train with bad updates on rank 1 alone; return all states and the skipped updates."""
    own = out / str(distributed.rank())
    own.mkdir()
    seen: list[Any] = []
    bad = {2} if distributed.rank() == 1 else set()
    kind = {"forward": BadForward, "backward": BadBackward}[spoil]
    train(config, open_dataset(root), own, spoil=kind, at=bad, seen=seen)
    steps = [entry for entry in read_log(own / "log.jsonl") if entry["event"] == "step"]
    return seen, [entry["skipped"] for entry in steps]


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["forward", "backward"])
def test_ranks_skip_the_same_updates(data: Dataset, tmp_path: Path, spoil: str) -> None:
    config = tiny(train__log_steps=1)
    first, second = run_ranks(train_on_a_rank, 2, config, data.root, tmp_path, spoil)
    assert first[1] == second[1] == [0, 1, 0, 0, 0]
    for states, _ in (first, second):
        assert equal(states[1], states[0])
    for one, other in zip(first[0], second[0], strict=True):
        names = [name for name in one[0] if "running" not in name]
        assert equal([one[0][name] for name in names], [other[0][name] for name in names])
        assert equal(one[1]["state"], other[1]["state"])


def test_the_first_of_too_many_in_a_row_is_remembered_until_it_is_asked_for() -> None:
    meter = LossMeter(CPU, bad_steps=3)
    meter.begin_epoch()
    verdicts = [False, False, True, False, False, False, False, True, False, False, False]
    in_a_row = []
    for step, good in enumerate(verdicts, start=1):
        meter.add({"loss": torch.tensor(math.nan)}, torch.tensor(good), step, 4)
        in_a_row.append(meter.in_a_row())
        assert (meter.broken_since() is None) == (step < 6)
    assert in_a_row == [1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert meter.broken_since() == 4


@pytest.mark.parametrize("name", ["adabelief", "adamw", "lars", "sgd"])
def test_a_scaler_looks_for_its_scale_without_a_trace_of_the_attempts(name: str) -> None:
    plain, scaled = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    first = build_optimizer(name, [plain], lr=0.1, weight_decay=0.0)
    second = build_optimizer(name, [scaled], lr=0.1, weight_decay=0.0)
    # As in float16, a loss times more than 1,000 is infinite.
    scaler = torch.amp.GradScaler("cpu", init_scale=8192.0)
    attempts = 0
    for _ in range(7):
        loss = scaler.scale((scaled * 3.0).sum())
        gradient = torch.full_like(scaled, 3.0 * scaler.get_scale())
        loss = loss * math.inf if scaler.get_scale() > 1000.0 else loss
        scaled.grad = gradient if loss.isfinite() else torch.full_like(scaled, math.inf)
        scaler.unscale_(second)
        good = finite([torch.tensor(1.0)], second)
        second.step(enabled=good)
        scaler.update()
        attempts += not good
    assert (attempts, scaler.get_scale()) == (4, 512.0)
    for _ in range(3):
        plain.grad = torch.full_like(plain, 3.0)
        first.step()
    assert torch.equal(plain, scaled)
