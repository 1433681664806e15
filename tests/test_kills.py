"""Runs of the real command that are killed, stopped or run out of disk, and then go on."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp
from killed_runs import PATIENCE_S, Run, kill, wait_until
from runs import SMALL, same

from hmtl import checkpoint
from hmtl.errors import RunError
from hmtl.runlog import locked

EPOCHS, STEPS_PER_EPOCH = 4, 3
SETTINGS = SMALL | {
    "pretext.grid": 2,
    "pretext.branch_point": 1,
    "train.optimizer": "sgd",
    "train.lr": 1e-4,
    "train.epochs": EPOCHS,
    "train.log_steps": 1,
    "train.checkpoint_steps": 2,
    "train.deterministic": True,
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    data = write_300w_lp(folder / "train", count=13, subjects=3, size=48, seed=1)
    validation = write_300w_lp(folder / "val", count=90, subjects=2, size=48, seed=2)
    return data, validation


def training(out: Path, roots: tuple[Path, Path]) -> Run:
    data, validation = roots
    command = ["train", "table2/hmtl-puzzle2-aug1", "--data", str(data), "--val", str(validation)]
    return Run(out, command, SETTINGS)


@pytest.fixture(scope="module")
def unbroken(roots: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = training(tmp_path_factory.mktemp("unbroken"), roots)
    run.finish()
    assert run.starts() == [0]
    assert run.reached() == EPOCHS * STEPS_PER_EPOCH
    return run


@pytest.fixture
def run(roots: tuple[Path, Path], tmp_path: Path) -> Run:
    return training(tmp_path / "run", roots)


def assert_ended_like(run: Run, unbroken: Run) -> None:
    for name in ("weights.safetensors", "best.safetensors"):
        assert same(run.weights(name), unbroken.weights(name))
    assert run.names() == unbroken.names()


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_bits(run: Run, unbroken: Run) -> None:
    lost = []
    # In the first epoch, in the middle of the second, and right after a checkpoint.
    for target in (2, 5, 8):
        process = run.start()
        wait_until(process, lambda target=target: run.reached() >= target)
        kill(process)
        lost.append(run.reached())
    run.finish()
    starts = run.starts()
    assert starts[0] == 0
    assert len(starts) == 4
    # Done again is at most what came after the last checkpoint but one: the last may be on its way.
    for reached, start in zip(lost, starts[1:], strict=True):
        assert reached - 4 <= start <= reached
    assert starts[-1] >= 4
    assert_ended_like(run, unbroken)


@pytest.mark.long
@pytest.mark.slow
def test_a_run_killed_while_it_writes_and_while_it_evaluates_ends_with_the_same_bits(
    run: Run, unbroken: Run
) -> None:
    torn = run.out / "checkpoints" / ".last.pt.tmp"

    def writes() -> bool:
        try:
            size = torn.stat().st_size
        except FileNotFoundError:
            return False
        # In the first half of its 90 MB, so that the kill comes before the end.
        return run.reached() > 2 and 0 < size < 45_000_000

    def evaluates() -> bool:
        # The first process may have come as far before it was killed.
        return len(run.starts()) == 2 and run.log()[-1]["event"] == "epoch"

    process = run.start()
    wait_until(process, writes)
    kill(process)
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.load(torn)

    process = run.start()
    wait_until(process, evaluates)
    kill(process)
    assert evaluates()
    assert not any(name.endswith(".damaged") for name in run.names())
    run.finish()
    assert len(run.starts()) == 3
    assert_ended_like(run, unbroken)


@pytest.mark.slow
def test_a_signal_saves_at_the_next_step_and_nothing_is_done_twice(run: Run, unbroken: Run) -> None:
    for target, number in ((1, signal.SIGTERM), (5, signal.SIGUSR1)):
        process = run.start()
        wait_until(process, lambda target=target: run.reached() >= target)
        said = kill(process, number)
        assert process.returncode == 75, said
        end = run.log()[-1]
        assert (end["event"], end["reason"]) == ("end", signal.Signals(number).name)
        saved = checkpoint.load(run.out / "checkpoints" / "last.pt")
        assert saved["step"] == end["step"] < EPOCHS * STEPS_PER_EPOCH
        assert f"stopped by {signal.Signals(number).name} at step {end['step']}" in said
    run.finish()
    ends = [entry["step"] for entry in run.log() if entry["event"] == "end"]
    assert run.starts() == [0, *ends[:2]]
    steps = [entry["step"] for entry in run.log() if entry["event"] == "step"]
    assert steps == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))
    assert_ended_like(run, unbroken)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_later(run: Run, unbroken: Run) -> None:
    process = run.start()
    wait_until(process, lambda: run.reached() >= 1)
    kill(process, signal.SIGTERM)
    good = checkpoint.load(run.out / "checkpoints" / "last.pt")["step"]

    # No file may have more than 20,000 KiB, as if the disk had no more.
    process = run.start("ulimit -f 20000;")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: cannot write {run.out}/")
    assert error.endswith(f"File too large: the last good checkpoint is of step {good}")
    end = run.log()[-1]
    assert (end["event"], end["reason"]) == ("end", error.removeprefix("error: "))
    assert checkpoint.load(run.out / "checkpoints" / "last.pt")["step"] == good
    assert not any(name.endswith(".tmp") for name in run.names())
    run.finish()
    assert run.starts() == [0, good, good]
    assert_ended_like(run, unbroken)


@pytest.mark.long
@pytest.mark.slow
def test_a_torn_checkpoint_costs_the_steps_since_the_one_before(run: Run, unbroken: Run) -> None:
    process = run.start()
    wait_until(process, lambda: run.reached() >= 5)
    kill(process, signal.SIGTERM)
    last = run.out / "checkpoints" / "last.pt"
    (before,) = last.parent.glob("step-*.pt")
    # A block of zeros, as file systems leave after a power cut.
    with last.open("r+b") as file:
        file.seek(last.stat().st_size // 2)
        file.write(bytes(4096))
    said = run.finish()
    step = int(before.stem.removeprefix("step-"))
    assert f"going on from {before}, of step {step}" in said
    assert run.starts() == [0, step]
    assert step > 0
    assert same(run.weights(), unbroken.weights())


@pytest.mark.long
@pytest.mark.slow
def test_a_pretraining_killed_in_mid_epoch_ends_with_the_same_bits(tmp_path: Path) -> None:
    heads = write_300w_lp(tmp_path / "heads", count=32, subjects=3, size=48, seed=1)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in heads.rglob("*.jpg"):
        path.rename(pictures / path.name)
    command = ["pretrain", "pretrain/barlow", "--data", str(pictures), "--layout", "images"]
    # One epoch of eight steps: every checkpoint is of the middle of it.
    settings = SMALL | {
        "barlow.projector": [16, 16, 12],
        "train.epochs": 1,
        "train.log_steps": 1,
        "train.checkpoint_steps": 2,
        "train.deterministic": True,
    }
    whole, killed = (Run(tmp_path / name, command, settings) for name in ("whole", "killed"))
    whole.finish()
    process = killed.start()
    wait_until(process, lambda: killed.reached() >= 5)
    kill(process)
    assert process.returncode == -signal.SIGKILL
    reached = killed.reached()
    killed.finish()
    first, again = killed.starts()
    assert first == 0
    assert max(2, reached - 4) <= again <= reached < 8
    assert same(killed.weights(), whole.weights())
    assert killed.names() == whole.names()


HOLDER = """
import sys, time
from pathlib import Path
from hmtl.runlog import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(run: Run) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the run folder."""
    command = [sys.executable, "-P", "-c", HOLDER, str(run.out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_dies_with_its_process(run: Run, holder: subprocess.Popen[str]) -> None:
    def hold() -> None:
        with locked(run.out):
            pass

    with pytest.raises(RunError, match=f"run {run.out} is in use by another process"):
        hold()
    kill(holder)
    hold()


@pytest.mark.slow
@pytest.mark.usefixtures("holder")
def test_two_runs_on_one_folder_are_refused(run: Run) -> None:
    process = run.start()
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    lock = run.out / ".lock"
    assert said == f"error: run {run.out} is in use by another process, which holds {lock}\n"
    assert run.names() == {".lock"}
