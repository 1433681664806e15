"""A table as plain JSON: the paper's numbers, ours, and what they were made with."""

import os
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hmtl import __version__
from hmtl.preset import parse_settings
from hmtl.reproduce.outcome import Outcome, look_at, samples_seen
from hmtl.reproduce.plan import Plan, Row, Run
from hmtl.reproduce.tables import reported, row_name
from hmtl.runlog import Entry

ANGLES = ("yaw", "pitch", "roll", "mean")
NO_MEANING = "made with --scale smoke: the numbers mean nothing"

DONE, TO_DO, NOT_NEEDED = "done", "to do", "not needed"

_COUNTED = ("dataset", "split", "boxes", "crop", "convention", "n", "skipped", "invalid")
_MADE_WITH = ("versions", "device", "ranks", "precision")


def make_document(plan: Plan, failures: Mapping[Path, str]) -> dict[str, Any]:
    """Return all rows of a table with what there is of them on the disk.

    `failures` are the errors of run folders in this process.
    """
    asked = plan.asked
    return {
        "table": asked.table,
        "title": plan.title,
        "scale": asked.scale,
        "note": NO_MEANING if asked.scale == "smoke" else "",
        "settings": parse_settings(asked.settings),
        "seeds": list(range(asked.seeds)),
        "hmtl": __version__,
        "pretraining": [_pretraining_entry(run, plan, failures) for run in plan.pretraining()],
        "rows": [_row_entry(row, plan, failures) for row in plan.rows],
    }


def command_line(words: Sequence[str]) -> str:
    """Return what a shell is given to run `hmtl` with these words."""
    return shlex.join(["hmtl", *words])


def _row_entry(row: Row, plan: Plan, failures: Mapping[Path, str]) -> dict[str, Any]:
    found = [(run, look_at(run)) for run in row.runs]
    return {
        "row": row_name(row.preset),
        "preset": row.preset.name,
        "title": row.preset.title,
        "chosen": row.chosen,
        "starts_from": _weights_to_start_from(row),
        "comparisons": [
            _compared(
                protocol,
                paper,
                {r.seed: left.results[protocol] for r, left in found if protocol in left.results},
            )
            for protocol, paper in reported(row.preset).items()
        ],
        "runs": [_run_entry(run, left, plan, failures) for run, left in found],
    }


def _pretraining_entry(run: Run, plan: Plan, failures: Mapping[Path, str]) -> dict[str, Any]:
    entry = _run_entry(run, look_at(run), plan, failures)
    followers = [
        other
        for other in plan.runs()
        if other.starts_from and other.starts_from.folder == run.folder
    ]
    # A finished table may have been rid of it.
    if entry["state"] == TO_DO and all(look_at(other).is_trained for other in followers):
        entry["state"] = NOT_NEEDED
    return entry


def _weights_to_start_from(row: Row) -> str:
    init = row.runs[0].config.model.init
    if row.preset.config.model.init == "imagenet" and not init:
        return "random instead of imagenet"
    return row.preset.starts_from or init or "random"


def _compared(
    protocol: str, paper: Mapping[str, float], entries: Mapping[int, Entry]
) -> dict[str, Any]:
    """Return the paper's numbers beside those of runs, entries by seed, of one protocol."""
    compared: dict[str, Any] = {"protocol": protocol, "paper": dict(paper), "seeds": list(entries)}
    if not entries:
        return {**compared, "ours": None, "deviation": None, "difference": None}
    values = {angle: [entry["mae"][angle] for entry in entries.values()] for angle in paper}
    ours = {angle: statistics.fmean(of) for angle, of in values.items()}
    # That of a sample: of one seed there is none.
    several = {angle: statistics.stdev(of) for angle, of in values.items() if len(of) > 1}
    first = next(iter(entries.values()))
    return {
        **compared,
        "ours": ours,
        "deviation": several or None,
        "difference": {angle: ours[angle] - paper[angle] for angle in paper},
        **{key: first[key] for key in _COUNTED if key in first},
    }


def _run_entry(run: Run, left: Outcome, plan: Plan, failures: Mapping[Path, str]) -> dict[str, Any]:
    return {
        "preset": run.preset.name,
        "seed": run.seed,
        "run": Path(os.path.relpath(run.folder, plan.asked.out)).as_posix(),
        "state": "failed" if run.folder in failures else _state(left),
        "error": failures.get(run.folder, ""),
        "config": run.config.digest(),
        "samples": samples_seen(left.start) or run.samples,
        **{key: left.start[key] for key in _MADE_WITH if key in left.start},
        "results": list(left.results.values()),
        "commands": [command_line(words) for words in run.commands],
    }


def _state(left: Outcome) -> str:
    if left.changes:
        return "other settings"
    if left.is_trained:
        return DONE if left.is_done else "trained"
    return "begun" if left.log else TO_DO
