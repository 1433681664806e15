"""The checkpoints of a run: which are kept, and that there is always one to go on from."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hmtl.durable import atomic_path, discard_leftovers
from hmtl.errors import RunError
from hmtl.run_checkpoints import RunCheckpoints
from hmtl.runlog import RunLog, read_log


def state(step: int, size: int = 1000) -> dict[str, Any]:
    return {"step": step, "epoch": 0, "config": {}, "weight": torch.full((size,), float(step))}


def names(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def newest(run: Path) -> tuple[int | None, list[str]]:
    """Return the step of the newest good checkpoint, and what was said of others."""
    said: list[str] = []
    found = RunCheckpoints(run, keep=2).newest(said.append)
    if found is not None:
        assert torch.equal(found["weight"], state(found["step"])["weight"])
    return found and found["step"], said


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(1, {"last.pt"}), (3, {"last.pt", "step-9.pt", "step-10.pt"})],
)
def test_the_newest_and_the_best_are_kept(tmp_path: Path, keep: int, kept: set[str]) -> None:
    checkpoints = RunCheckpoints(tmp_path, keep=keep)
    for step in (2, 8, 9, 10, 11):
        checkpoints.write(state(step), best=step == 8)
        assert newest(tmp_path) == (step, [])
    assert names(tmp_path) == kept | {"best.pt"}
    assert torch.load(tmp_path / "checkpoints" / "best.pt")["step"] == 8


def test_a_second_checkpoint_of_a_step_takes_the_place_of_the_first(tmp_path: Path) -> None:
    checkpoints = RunCheckpoints(tmp_path, keep=2)
    for step in (2, 4, 4):
        checkpoints.write(state(step), best=False)
    assert names(tmp_path) == {"last.pt", "step-2.pt"}


def test_a_torn_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path: Path) -> None:
    checkpoints = RunCheckpoints(tmp_path, keep=3)
    for step in (2, 4, 6):
        checkpoints.write(state(step), best=False)
    last = tmp_path / "checkpoints" / "last.pt"
    tear(last)
    step, (said,) = newest(tmp_path)
    assert step == 4
    assert said.startswith(f"{last} is damaged: ")
    assert said.endswith(f"going on from {last.with_name('step-4.pt')}, of step 4")
    assert names(tmp_path) == {"last.pt.damaged", "step-2.pt", "step-4.pt"}

    again = RunCheckpoints(tmp_path, keep=3)
    again.resumed(4)
    again.write(state(5), best=False)
    again.write(state(7), best=False)
    assert newest(tmp_path) == (7, [])
    assert names(tmp_path) == {"last.pt.damaged", "step-4.pt", "step-5.pt", "last.pt"}


def test_the_best_checkpoint_is_the_last_resort(tmp_path: Path) -> None:
    checkpoints = RunCheckpoints(tmp_path, keep=2)
    for step in (2, 4, 6):
        checkpoints.write(state(step), best=step == 2)
    for name in ("last.pt", "step-4.pt"):
        tear(tmp_path / "checkpoints" / name)
    step, said = newest(tmp_path)
    assert (step, len(said)) == (2, 2)


def test_only_damaged_checkpoints_are_an_error_and_stay(tmp_path: Path) -> None:
    RunCheckpoints(tmp_path, keep=2).write(state(2), best=False)
    tear(tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(RunError, match=r"no checkpoint can be gone on from: .*last\.pt is damaged"):
        newest(tmp_path)
    assert names(tmp_path) == {"last.pt"}


def test_a_run_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert newest(tmp_path) == (None, [])


def test_another_torch_file_is_no_checkpoint_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(RunError, match=r"last\.pt is no checkpoint of a run: it has no 'config'"):
        newest(tmp_path)


def test_leftovers_of_killed_writers_are_discarded(tmp_path: Path) -> None:
    for name in (".last.pt.tmp", ".other.tmp", "last.pt"):
        (tmp_path / name).write_bytes(b"x")
    discard_leftovers(tmp_path / "last.pt", tmp_path / "none" / "last.pt")
    assert {path.name for path in tmp_path.iterdir()} == {".other.tmp", "last.pt"}


@pytest.mark.parametrize("hidden", [False, True])
def test_what_the_system_refused_is_told_with_the_file(tmp_path: Path, hidden: bool) -> None:
    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            if hidden:
                raise RuntimeError("unexpected pos 768 vs 662") from error
            raise

    def write(path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"new")
            fail()

    path = tmp_path / "last.pt"
    path.write_bytes(b"old")
    with pytest.raises(RunError, match=f"^cannot write {path}: No space left on device$"):
        write(path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["last.pt"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint(small_disk: Path) -> None:
    checkpoints = RunCheckpoints(small_disk, keep=2)
    checkpoints.write(state(2), best=False)
    # As large as the rest of the disk, so that the fault is in the middle of a tensor.
    message = (
        r"cannot write .*/checkpoints/last\.pt: No space left on device:"
        r" the last good checkpoint is of step 2$"
    )
    with pytest.raises(RunError, match=message), checkpoints.telling_what_is_left():
        checkpoints.write(state(4, size=1 << 20), best=False)
    assert newest(small_disk) == (2, [])
    assert names(small_disk) == {"last.pt"}
    checkpoints.write(state(6), best=False)
    assert newest(small_disk) == (6, [])


def test_a_log_line_that_the_disk_does_not_take_is_told_and_cut(small_disk: Path) -> None:
    path = small_disk / "log.jsonl"
    filler = small_disk / "filler"
    filler.write_bytes(bytes((1 << 20) - 16384))

    def write_on(log: RunLog) -> None:
        for step in range(1000):
            log.write("step", step, loss=1.0)

    refused = pytest.raises(RunError, match=f"cannot write {path}: ")
    with RunLog(path) as log, refused, log.telling_failures(lambda: 1000):
        write_on(log)
    # Nor is there room for the line that would tell of it.
    assert path.read_bytes().endswith(b"\n")
    whole = read_log(path)
    assert {entry["event"] for entry in whole} == {"step"}
    filler.unlink()
    with RunLog(path) as log:
        log.write("start", len(whole))
    assert [entry["step"] for entry in read_log(path)] == list(range(len(whole) + 1))


# Kills a process that writes one checkpoint after the other, again and again, and looks each time.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from hmtl.durable import discard_leftovers
from hmtl.run_checkpoints import BEST, LAST, RunCheckpoints

torch.set_num_threads(1)
run, rng = Path(sys.argv[1]), random.Random(0)

def write(checkpoints, step):
    weight = torch.full((200_000,), float(step))
    state = {"step": step, "epoch": 0, "config": {}, "weight": weight}
    checkpoints.write(state, best=step % 3 == 0)

def write_on(checkpoints, step, told):
    while True:
        step += 1
        write(checkpoints, step)
        os.write(told, step.to_bytes(4, "little"))

began = time.monotonic()
write(RunCheckpoints(run, keep=2), 1)
pace = time.monotonic() - began

torn, reached = 0, 1
for attempt in range(600):
    # How many meet a checkpoint half written depends on what else the machine does.
    if attempt >= 60 and torn > 10 and reached > 10:
        break
    checkpoints, said = RunCheckpoints(run, keep=2), []
    torn += any((run / name).with_name(f".{name.name}.tmp").exists() for name in (LAST, BEST))
    discard_leftovers(run / LAST, run / BEST)
    state = checkpoints.newest(said.append)
    assert not said, said
    assert state["step"] >= reached, (state["step"], reached)
    assert (state["weight"] == state["step"]).all()
    checkpoints.resumed(state["step"])
    read, told = os.pipe()
    child = os.fork()
    if child == 0:
        write_on(checkpoints, state["step"], told)
    os.close(told)
    time.sleep(rng.uniform(0.0, 2.0 * pace))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while data := os.read(read, 4):
        reached = int.from_bytes(data, "little")
    os.close(read)
assert torn > 10, torn
assert reached > 10, reached

# What was killed between writing and clearing away left one more; the next that is written does it.
checkpoints = RunCheckpoints(run, keep=2)
discard_leftovers(run / LAST, run / BEST)
reached = checkpoints.newest(print)["step"]
checkpoints.resumed(reached)
write(checkpoints, reached + 1)
print(reached)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_of_writing_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-W", "error", "-c", KILLER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {"best.pt", "last.pt", f"step-{int(done.stdout)}.pt"}
