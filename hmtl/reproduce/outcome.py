"""What the runs of a plan have left: how far each is, and its errors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmtl.assemble import WEIGHTS
from hmtl.checkpoint import weights_step
from hmtl.engine import CONFIG
from hmtl.errors import ConfigError, RunError
from hmtl.evaluate import RESULTS
from hmtl.preset import read_config
from hmtl.reproduce.plan import Plan, Run
from hmtl.reproduce.tables import reported
from hmtl.runlog import LOG, Entry, read_log

Changes = Mapping[str, tuple[Any, Any]]

# What `hmtl eval` adds where it was not the whole data set or not the last weights.
_PARTS = ("subjects", "list", "weights")
_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run folder has."""

    changes: Changes
    """Settings that are not those of the plan: what is there, what was planned."""
    log: Sequence[Entry]
    is_trained: bool
    """Whether the weights of the last epoch are there."""
    results: Mapping[str, Entry]
    """Errors of those weights by protocol, on the row's whole test set."""
    is_done: bool
    """Whether it has all of those that are asked of it, too."""

    @property
    def start(self) -> Entry:
        """The last start line; empty where there is none."""
        return _last_start(self.log)


def look_at(run: Run) -> Outcome:
    """Return what there is of a run."""
    log = _log(run)
    changes = _changes(run, log)
    if changes:
        log = []
    is_trained = _is_trained(run, log)
    results = _results(run) if is_trained else {}
    wanted = reported(run.preset) if run.preset.judged_on else {}
    return Outcome(
        changes=changes,
        log=log,
        is_trained=is_trained,
        results=results,
        is_done=is_trained and set(wanted) <= set(results),
    )


def refuse_changes(plan: Plan) -> None:
    """Raise ConfigError where a run of the plan was made with other settings."""
    for run in plan.in_order():
        changes = _changes(run, _log(run))
        if changes:
            told = [f"{key} = {old!r}, not {new!r}" for key, (old, new) in changes.items()]
            more = [f"{len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
            named = "; ".join([*told[:_SHOWN], *more])
            raise ConfigError(f"{run.folder} was made with {named}: choose another --out")


def samples_seen(start: Entry) -> int:
    """Return how many samples a start line has, those left out counted; 0 where there is none."""
    data = start.get("data")
    return data["samples"] + data["out_of_range"] if data else 0


def _log(run: Run) -> Sequence[Entry]:
    path = run.folder / LOG
    return read_log(path) if path.exists() else []


def _last_start(log: Sequence[Entry]) -> Entry:
    return next((entry for entry in reversed(log) if entry["event"] == "start"), {})


def _changes(run: Run, log: Sequence[Entry]) -> Changes:
    path = run.folder / CONFIG
    if not path.exists():
        return {}
    changes = {**read_config(path).differences(run.config), **_other_data(run, log)}
    if run.starts_from is not None:
        # A finished table may be moved; where it is not finished, `hmtl train` tells.
        changes.pop("model.init", None)
    return changes


def _other_data(run: Run, log: Sequence[Entry]) -> Changes:
    """Return by how many samples what a run was trained on differs from what is there now."""
    seen = samples_seen(_last_start(log))
    if not seen or not run.samples or seen == run.samples:
        return {}
    return {"samples": (seen, run.samples)}


def _is_trained(run: Run, log: Sequence[Entry]) -> bool:
    """Return whether the weights are those after the last epoch.

    The log has no end line where the process was killed right after it had written them.
    """
    path: Path = run.folder / WEIGHTS
    steps = [
        entry["step"]
        for entry in log
        if entry["event"] == "epoch" and entry["epoch"] == run.config.train.epochs - 1
    ]
    return bool(steps) and path.exists() and weights_step(path) == steps[-1]


def _results(run: Run) -> dict[str, Entry]:
    path = run.folder / RESULTS
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    # What was evaluated before the training went on is of other weights.
    wanted = {**run.judged_by, "step": weights_step(run.folder / WEIGHTS)}
    return {
        entry["protocol"]: entry
        for entry in entries
        if all(entry.get(key) == value for key, value in wanted.items())
        and not any(part in entry for part in _PARTS)
    }
