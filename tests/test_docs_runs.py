"""docs/runs.md against what runs write."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from runs import SMALL, configured, quiet

from hmtl import engine
from hmtl.cli import main, training
from hmtl.data import Dataset, open_dataset
from hmtl.preset import load_preset
from hmtl.runlog import read_log
from hmtl.synth import render_dataset

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "runs.md").read_text(encoding="utf-8")
TINY = SMALL | {
    "train.epochs": 1,
    "train.log_steps": 1,
    "train.milestones": [],
    "train.optimizer": "sgd",
    "pretext.grid": 2,
}
BARLOW = {"barlow.projector": [16, 16]}
PRETEXT = {"pretext.task": "puzzle-rotation"}
COMMON = {"event", "step", "time"}
# What begins the meaning of a field that some runs have only.
SOMETIMES = ("pose: ", "pretext: ", "pretext pre-", "Barlow Twins: ", "probe: ", "where ")


def section(heading: str) -> str:
    found = re.search(
        rf"^#+ {re.escape(heading)}.*?$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert found is not None, heading
    return found[1]


def table(text: str) -> dict[str, str]:
    """Return the last cell of each row by the names in the first."""
    rows = re.findall(r"^\| `(.+?)` \|(?:.*\|)? (.*) \|$", text, re.MULTILINE)
    return {name: meaning for name, meaning in rows}  # noqa: C416 — rows are pairs


def documented(event: str) -> dict[str, str]:
    if event == "epoch":
        return {name: meaning for name, meaning in documented("step").items() if name != "lr"}
    return table(section(f"`{event}`"))


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The logs of a run of each objective."""
    folder = tmp_path_factory.mktemp("runs")
    heads = open_dataset(write_300w_lp(folder / "a", count=8, subjects=2, size=48, seed=1))
    render_dataset(
        folder / "b", layout="eth-xgaze", count=10, subjects=2, seed=3, size=32, workers=1
    )
    facing = [open_dataset(folder / "b", split=split) for split in ("fit", "val")]
    cases: list[tuple[str, dict[str, Any], list[Dataset]]] = [
        ("table2/hmtl-puzzle-rotation2-aug1", {}, [heads, heads]),
        ("table2/sl-aug1", {"model.head": "regression"}, facing),
        ("pretrain/puzzle2", PRETEXT, [heads, heads]),
        ("pretrain/barlow", BARLOW, [heads, heads]),
    ]
    logs = []
    for number, (preset, changes, (data, validation)) in enumerate(cases):
        run = folder / f"run{number}"
        engine.train(
            configured(preset, TINY, changes),
            data=data.subset(np.arange(min(len(data), 8))),
            validation=[validation],
            out=run,
            reporter=quiet(),
        )
        logs += read_log(run / "log.jsonl")
        kept = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
        assert kept <= set(table(section("The folder of a run")))
    return logs


EVENTS = ("start", "step", "epoch", "eval", "save", "end")


def test_all_events_are_told(entries: list[dict[str, Any]]) -> None:
    told = re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE)
    assert tuple(told) == EVENTS
    assert {entry["event"] for entry in entries} == set(EVENTS)
    assert table(section("The log")).keys() == COMMON


@pytest.mark.parametrize("event", EVENTS)
def test_fields_are_those_that_runs_write(entries: list[dict[str, Any]], event: str) -> None:
    fields = documented(event)
    lines = [entry for entry in entries if entry["event"] == event]
    written = set().union(*lines) - COMMON
    # Face boxes to choose from come with data that this test does not have.
    assert written == fields.keys() - {"boxes"}
    for name in (name for name, meaning in fields.items() if not meaning.startswith(SOMETIMES)):
        assert all(name in line for line in lines), name


def test_parts_of_nested_fields_are_told(entries: list[dict[str, Any]]) -> None:
    start = next(entry for entry in entries if entry["event"] == "start")
    for name in ("data", "versions"):
        assert set(re.findall(r"`(\w+)`", documented("start")[name])) == start[name].keys()
    found = next(entry for entry in entries if entry["event"] == "eval")
    assert set(re.findall(r"`(\w+)`", documented("eval")["mae"])) == found["mae"].keys()


def test_exit_codes_are_those_of_the_commands() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Stopping and going on"), re.MULTILINE)
    known = [main.DONE, main.FAILED, main.MISUSED, training.STOPPED_BY_SIGNAL, main.INTERRUPTED]
    assert [int(code) for code in codes] == known


def lines_of_bash() -> Iterator[str]:
    for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()


def test_settings_that_the_page_names_exist() -> None:
    tables = load_preset("table2/sl-aug1").config.as_dict()
    for section_name, key in re.findall(r"`(train|loss|data|model)\.(\w+)`", PAGE):
        assert key in tables[section_name]
    for line in lines_of_bash():
        assert line.startswith("hmtl ")
