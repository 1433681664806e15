"""What a run shows: on terminals of any width, and without one."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp
from rich.console import Console

from hmtl.meter import Figures
from hmtl.progress import Reporter

FIGURES = Figures(
    losses={"loss": 3.5, "puzzle": 1.25, "yaw": 12345.678},
    skipped=2,
    images_per_s=40.0,
    wait_share=0.1,
    seconds=2.0,
)
PARTS = (
    "epoch 2/3",
    "step 400/900",
    "loss 3.500",
    "puzzle 1.250",
    "yaw 1.235e+04",
    "2 skipped",
    "lr 0.001",
    "40 images/s",
    "wait 10 %",
)
ETA = re.compile(r"ETA \d+:\d\d:\d\d")


def show(reporter: Reporter) -> None:
    with reporter:
        reporter.begin(steps=900, done=300, epochs=3)
        reporter.step(400, 1)
        reporter.figures(400, FIGURES, 0.001)


def lines_of(screen: str) -> list[str]:
    """Return the lines of what was written to a terminal, without what steers it."""
    without_colour = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", without_colour).replace("\r", "\n").split("\n")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_terminal_of_any_width_shows_every_part_whole(width: int) -> None:
    file = io.StringIO()
    show(Reporter(Console(file=file, force_terminal=True, width=width)))
    lines = lines_of(file.getvalue())
    assert all(len(line) <= width for line in lines)
    for part in PARTS:
        assert any(part in line for line in lines), part
    assert any(ETA.search(line) for line in lines)
    # A bar of its own, then lines that are filled.
    drawing = [line for line in lines if line]
    assert set(drawing[0]) <= set("━╺╸ ")
    assert len(drawing) == 1 + {20: 9, 40: 4, 80: 2, 200: 1}[width]


def test_without_a_terminal_the_same_is_one_line() -> None:
    file = io.StringIO()
    show(Reporter(Console(file=file, width=40)))
    (line,) = file.getvalue().splitlines()
    parts = line.split(", ")
    assert tuple(parts[:-1]) == PARTS
    assert ETA.fullmatch(parts[-1])


def test_the_time_to_the_end_is_that_of_the_steps_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    file = io.StringIO()
    reporter = Reporter(Console(file=file))
    reporter.begin(steps=900, done=300, epochs=3)
    reporter.figures(300, FIGURES, 0.001)
    now += 200.0
    reporter.figures(400, FIGURES, 0.001)
    first, second = file.getvalue().splitlines()
    assert first.endswith("ETA –")
    # 100 steps in 200 s, 500 steps to go.
    assert second.endswith("ETA 0:16:40")


def test_names_and_signs_that_the_output_cannot_take_are_written_out() -> None:
    raw = io.BytesIO()
    reporter = Reporter(Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True)))
    entry = {"dataset": "caf\udce9", "protocol": "hopenet", "mae": {"yaw": 1.5, "roll": None}}
    reporter.epoch(1, 3, FIGURES, [entry])
    assert raw.getvalue().decode("ascii").splitlines()[1] == (
        "  caf\\udce9, hopenet: MAE yaw 1.50\\xb0"
    )


def run_in_terminal(command: list[str], columns: int) -> tuple[int, str]:
    """Run a command in a pseudo-terminal of so many columns; return its exit code and screen."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        screen = bytearray()
        while True:
            try:
                received = os.read(leader, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not received:
                break
            screen += received
    os.close(leader)
    return process.returncode, screen.decode()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [20, 80])
def test_a_training_in_a_terminal_draws_within_its_width(tmp_path: Path, columns: int) -> None:
    data = write_300w_lp(tmp_path / "data", count=9, subjects=3, size=48, seed=1)
    changes = {
        "model.backbone": "resnet18",
        "data.size": 32,
        "train.batch_size": 4,
        "train.epochs": 3,
        "train.milestones": [],
        "train.log_steps": 1,
        "train.optimizer": "sgd",
    }
    settings = [f"--set={key}={json.dumps(value)}" for key, value in changes.items()]
    command = [sys.executable, "-P", "-m", "hmtl", "train", "table2/sl-aug1", *settings]
    code, screen = run_in_terminal(
        [*command, "--data", str(data), "--out", str(tmp_path / "run")], columns
    )
    assert code == 0, screen
    lines = lines_of(screen)
    drawn = [line for line in lines if re.match(r"epoch \d/3(?!:)|━", line)]
    assert drawn
    assert all(len(line) <= columns for line in drawn)
    assert any("epoch 3/3" in line for line in drawn)
    # What stays is said in whole lines, which the terminal wraps by itself.
    assert any(line.startswith("finished at step 6") for line in lines)
