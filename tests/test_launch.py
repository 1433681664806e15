"""Ranks as real processes: `--devices`, torchrun, signals, and a rank that dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp
from runs import SMALL

from hmtl import checkpoint
from hmtl.run_checkpoints import LAST
from hmtl.runlog import Entry, read_log

pytestmark = pytest.mark.slow

PYTHON = [sys.executable, "-P", "-m"]
TINY = SMALL | {
    "train.epochs": 1,
    "train.log_steps": 1,
    "train.milestones": [1],
    "train.optimizer": "sgd",
    "train.lr": 1e-6,
    "pretext.branch_point": 1,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("train"), count=9, subjects=3, size=48, seed=1)


def arguments(root: Path, out: Path, **changes: object) -> list[str]:
    values = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    settings = [f"--set={key}={json.dumps(value)}" for key, value in values.items()]
    command = ["train", "table2/hmtl-puzzle2-aug1", "--data", str(root), "--out", str(out)]
    return [*command, *settings]


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PYTHON, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and stderr."""
    try:
        said = process.communicate(timeout=180)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, said


@pytest.fixture
def endless(root: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run on two ranks that has done three steps."""
    out = tmp_path / "run"
    command = arguments(root, out, train__epochs=1000, train__checkpoint_steps=1)
    process = start("hmtl", *command, "--devices", "2")
    deadline = time.monotonic() + 120
    while not (out / "log.jsonl").exists() or len(events(out, "step")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def events(out: Path, event: str) -> list[Entry]:
    return [entry for entry in read_log(out / "log.jsonl") if entry["event"] == event]


def ranks_of(launcher: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes that the launcher started."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True
    )
    return [int(line) for line in found.stdout.split()]


def test_devices_starts_ranks_that_train_together(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, said = finished(start("hmtl", *arguments(root, out), "--devices=2"))
    assert (code, said) == (0, "")
    assert [entry["ranks"] for entry in events(out, "start")] == [2]
    assert [entry["step"] for entry in events(out, "step")] == [1, 2]
    assert (out / "weights.safetensors").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_the_launcher_stops_the_ranks_with_their_work_saved(
    endless: subprocess.Popen[str], tmp_path: Path, name: str
) -> None:
    endless.send_signal(signal.Signals[name])
    code, said = finished(endless)
    assert (code, said) == (75, "")
    end = events(tmp_path / "run", "end")[-1]
    assert end["reason"] == name
    assert checkpoint.load(tmp_path / "run" / LAST)["step"] == end["step"]


def test_a_signal_to_one_rank_stops_all_of_them(
    endless: subprocess.Popen[str], tmp_path: Path
) -> None:
    os.kill(ranks_of(endless)[1], signal.SIGUSR1)
    code, said = finished(endless)
    assert (code, said) == (75, "")
    assert events(tmp_path / "run", "end")[-1]["reason"] == "SIGUSR1"


def test_the_ranks_of_a_killed_launcher_save_their_work_and_end(
    endless: subprocess.Popen[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    os.kill(endless.pid, signal.SIGKILL)
    # What the ranks inherited is closed when the last of them has ended.
    assert finished(endless)[0] == -signal.SIGKILL
    end = events(out, "end")[-1]
    assert end["reason"] == "SIGTERM"
    assert checkpoint.load(out / LAST)["step"] == end["step"]


def test_a_rank_that_is_killed_ends_the_run_and_does_not_hang_it(
    endless: subprocess.Popen[str],
) -> None:
    os.kill(ranks_of(endless)[1], signal.SIGKILL)
    code, said = finished(endless)
    assert code == 1
    assert "error: rank 1 was ended by SIGKILL" in said
    assert "Traceback" not in said


def test_what_is_wrong_is_told_once(root: Path, tmp_path: Path) -> None:
    command = arguments(root, tmp_path / "run", train__batch_size=3)
    code, said = finished(start("hmtl", *command, "--devices", "2"))
    assert code == 2
    assert said == (
        "error: config key 'train.batch_size' must be a multiple of the number of ranks,"
        " got 3 for 2 ranks\n"
    )


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--no-such-option"], "--no-such-option", 2),
        (["--val-split", "x"], "--val-split needs a --val", 2),
        (["--set=train.lr=no"], "config key 'train.lr' must be", 2),
        (["--data", "nowhere"], "nowhere", 1),
    ],
)
def test_other_launchers_processes_tell_once_what_is_wrong_before_they_have_met(
    root: Path, tmp_path: Path, words: list[str], said: str, code: int
) -> None:
    command = [*PYTHON, "hmtl", *arguments(root, tmp_path / "run"), *words]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    meeting |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            command,
            env=os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for rank in ("0", "1")
    ]
    codes, texts = zip(*map(finished, ranks), strict=True)
    assert codes == (code, code), texts
    assert texts[0].startswith("error: ")
    assert said in texts[0]
    assert (texts[0].count("\n"), texts[1]) == (1, "")


def test_torchrun_tells_once_what_is_wrong(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its ranks must not find the package in the working directory.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    command = arguments(root, tmp_path / "run")
    command[command.index("table2/hmtl-puzzle2-aug1")] = "table2/nothing"
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hmtl"]
    code, said = finished(start(*torchrun, *command))
    assert code == 1
    assert said.count("unknown preset 'table2/nothing'") == 1


def test_samples_that_any_rank_replaced_are_listed(tmp_path: Path) -> None:
    damaged = write_300w_lp(tmp_path / "data", count=8, subjects=3, size=48, seed=1)
    # Each of the two ranks gets half of the eight samples.
    broken = sorted(damaged.rglob("*.jpg"))[:5]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    command = arguments(damaged, tmp_path / "run", data__on_error="substitute")
    code, said = finished(start("hmtl", *command, "--devices", "2"))
    assert code == 0, said
    (end,) = events(tmp_path / "run", "end")
    listed = " ".join(entry["reason"] for entry in end["bad"])
    assert all(path.name in listed for path in broken)


def test_a_sample_that_one_rank_cannot_read_ends_all_of_them(tmp_path: Path) -> None:
    damaged = write_300w_lp(tmp_path / "data", count=9, subjects=3, size=48, seed=1)
    broken = sorted(damaged.rglob("*.jpg"))[1]
    broken.write_bytes(broken.read_bytes()[:300])
    command = arguments(damaged, tmp_path / "run", train__epochs=20)
    code, said = finished(start("hmtl", *command, "--devices", "2"))
    assert code == 1
    assert broken.name in said
    assert "Traceback" not in said
