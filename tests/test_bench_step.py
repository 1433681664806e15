"""`hmtl bench step`: four sides of the same step, and what is outside of its arithmetic."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures_data import write_300w_lp
from runs import SMALL, configured

from hmtl.bench.step import bench_step
from hmtl.cli.main import run
from hmtl.data import Dataset, open_dataset
from hmtl.meter import LossMeter
from hmtl.progress import Reporter

CHECKOUT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.usefixtures("user_cache")

TINY = SMALL | {
    "data.prefetch": 1,
    "train.log_steps": 2,
    "train.optimizer": "sgd",
}
CONFIG = configured("table2/hmtl-puzzle2-aug1", TINY, {})
SIDES = ["real", "cached", "cached again", "bare"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("heads"), count=9, subjects=3, size=48)


@pytest.fixture(scope="module")
def data(root: Path) -> Dataset:
    return open_dataset(root)


def check_sums(found: dict[str, Any]) -> None:
    """Ratios are medians of the rounds', and the parts of a step are all of it."""
    runs = found["runs"]
    assert list(runs) == SIDES
    for side, speeds in runs.items():
        assert len(speeds) == found["rounds"]
        assert found["images_per_s"][side] == statistics.median(speeds)
    for name, ratio in found["ratios"].items():
        one, two = name.split("/")
        paired = [a / b for a, b in zip(runs[one], runs[two], strict=True)]
        assert ratio == pytest.approx(statistics.median(paired))
    parts = found["parts_ms"]
    assert list(parts) == ["forward", "backward", "optimizer", "outside"]
    assert all(ms > 0 for ms in parts.values())
    step_ms = statistics.mean(1000 * found["batch_size"] / speed for speed in runs["cached"])
    assert sum(parts.values()) == pytest.approx(step_ms)
    assert found["outside"] == pytest.approx(parts["outside"] / sum(parts.values()))
    assert 0 <= found["waiting"] < 1
    assert found["memory"]["peak_bytes"] > 10**8


def test_the_sides_and_the_parts_add_up(data: Dataset) -> None:
    said: list[tuple[str, int, int]] = []
    found = bench_step(
        CONFIG, data, steps=2, rounds=3, on_progress=lambda *words: said.append(words)
    )
    check_sums(found)
    assert said == [("rounds", number, 3) for number in range(3)]
    assert (found["batch_size"], found["size"], found["device"]) == (4, 32, "cpu")
    # Most of a step is arithmetic, whatever else the machine does.
    assert found["outside"] < 0.5


class Slow:
    """Makes a method of a class last longer, and counts its calls."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: type, name: str, seconds: float) -> None:
        self.calls = 0
        original = getattr(kind, name)

        def slow(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            time.sleep(seconds)
            return original(*arguments, **named)

        patch.setattr(kind, name, slow)


def test_what_the_trainer_does_beside_the_network_is_seen(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [
        Slow(monkeypatch, LossMeter, "add", 0.15),
        Slow(monkeypatch, Reporter, "step", 0.15),
    ]
    found = bench_step(CONFIG, data, steps=1, rounds=2)
    assert found["parts_ms"]["outside"] > 300
    assert found["images_per_s"]["cached"] < 4 / 0.3
    # A first step of each side, then those of the rounds; the bare loop's have neither.
    steps = 3 + 2 * ((CONFIG.data.prefetch + 1) + 2 * (1 + 1))
    assert [one.calls for one in slow] == [steps, steps]


def test_waiting_for_data_is_seen(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmtl.data.loader import Loader  # noqa: PLC0415 — patched here only

    original = Loader.__iter__

    def slow(self: Loader) -> Iterator[Any]:
        for batch in original(self):
            time.sleep(0.3)
            yield batch

    monkeypatch.setattr(Loader, "__iter__", slow)
    found = bench_step(CONFIG, data, steps=1, rounds=2)
    assert max(found["runs"]["real"]) < 4 / 0.3
    took_s = sum(4 / speed for speed in found["runs"]["real"])
    assert found["waiting"] * took_s > 2 * 0.3


def test_the_command_shows_and_keeps_what_was_measured(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    file = tmp_path / "found.json"
    arguments = ["table2/sl-aug1", "--data", str(root), *settings, "--steps", "1", "--rounds", "2"]
    assert run(["bench", "step", *arguments, "--json", str(file)]) == 0
    found, shown = json.loads(file.read_text()), capsys.readouterr().out
    check_sums(found)
    assert found["preset"] == "table2/sl-aug1"
    assert found["settings"]["train"]["batch_size"] == 4
    for word in (*SIDES, *found["parts_ms"], *found["ratios"], "wait for data", "peak memory"):
        assert word in shown
    assert f"real data run at {found['ratios']['real/cached']:.3f} of" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


@pytest.mark.slow
def test_the_benchmark_runs_and_says_what_it_misses(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.bench_step", "--quick"]
    done = subprocess.run(
        [*command, "--json", tmp_path / "step.json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "step.json").read_text())
    assert json.loads(done.stdout) == document
    assert {"name", "date", "commit", "cpu", "threads", "networks", "missed"} <= document.keys()
    assert [network["least"] for network in document["networks"]] == [0.9, 0.97]
    expected = 0
    for network in document["networks"]:
        assert list(network["runs"]) == SIDES
        expected += network["ratios"]["real/cached"] < network["least"]
        expected += network["outside"] > 0.02
    assert len(document["missed"]) == expected


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["nothing", "--data", "ROOT"], "unknown preset 'nothing'"),
        (2, ["table2/sl-aug1", "--data", "ROOT", "--set", "train.steps=1"], "'train.steps'"),
        (2, ["table2/sl-aug1", "--data", "ROOT", "--json", "no/where.json"], "no folder no"),
        (2, ["table2/sl-aug1", "--data", "ROOT", "--steps", "0"], "--steps"),
        (2, ["table2/sl-aug1"], "--data"),
        (1, ["table2/sl-aug1", "--data", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_one_line(
    root: Path,
    code: int,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(root) if word == "ROOT" else word for word in arguments]
    assert run(["bench", "step", *words]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
