"""The TensorBoard extra: event files that say what the log says."""

import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp
from runs import SMALL, configured, interrupting

from hmtl import engine
from hmtl.data import Dataset, open_dataset
from hmtl.runlog import RunLog, read_log
from hmtl.tensorboard import Board

TINY = SMALL | {
    "train.epochs": 2,
    "train.log_steps": 1,
    "train.milestones": [],
    "train.checkpoint_steps": 4,
    "train.optimizer": "sgd",
}
CONFIG = configured("table2/sl-aug1", TINY, {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = write_300w_lp(tmp_path_factory.mktemp("a"), count=13, subjects=3, size=48, seed=1)
    return open_dataset(root)


def shown(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values by tag, as TensorBoard has them."""
    reason = "the extra tensorboard is not installed"
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason=reason
    )
    events = accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def logged(run: Path, event: str, name: str) -> list[tuple[int, float]]:
    return [
        (entry["step"], pytest.approx(entry[name], rel=1e-6))
        for entry in read_log(run / "log.jsonl")
        if entry["event"] == event
    ]


def test_a_run_that_was_broken_shows_every_step_once(data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")

    def go(*, tensorboard: bool, at: int | None, resume: bool = False) -> None:
        engine.train(
            CONFIG,
            data=data,
            out=tmp_path,
            validation=[data],
            resume=resume,
            tensorboard=tensorboard,
            reporter=interrupting(at),
        )

    # The checkpoint is of step 4; what follows it is done twice, and the first part is caught up.
    with pytest.raises(KeyboardInterrupt):
        go(tensorboard=False, at=3)
    with pytest.raises(KeyboardInterrupt):
        go(tensorboard=True, at=5, resume=True)
    assert [step for step, _ in shown(tmp_path)["step/loss"]] == [1, 2, 3, 4]
    go(tensorboard=True, at=None, resume=True)
    # Readers would forget an old file's steps, but it would stay on the disk.
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    found = shown(tmp_path)
    for name in ("loss", "yaw", "lr", "images_per_s", "wait_share"):
        assert found[f"step/{name}"] == logged(tmp_path, "step", name)
    assert found["epoch/loss"] == logged(tmp_path, "epoch", "loss")
    root = data.root.name
    assert [step for step, _ in found[f"eval/{root}/hopenet/mae/yaw"]] == [3, 6]
    assert [step for step, _ in found[f"eval/{root}/paper-full/geodesic"]] == [3, 6]
    assert not any("time" in tag or "epoch/epoch" in tag for tag in found)


def test_an_epoch_that_is_ended_again_is_shown_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    with RunLog(tmp_path / "log.jsonl") as log:
        log.write("start", 0, epoch=0)
        log.write("eval", 0, epoch=0, dataset="a", protocol="probe-knn", mae={"yaw": 9.0})
        log.write("epoch", 1, epoch=0, loss=3.0)
        log.write("step", 2, epoch=1, loss=2.5)
        log.write("epoch", 2, epoch=1, loss=2.0)
    # Broken before the checkpoint that would have said that the epoch is over.
    with Board(tmp_path) as board, RunLog(tmp_path / "log.jsonl", also=board) as log:
        log.write("start", 2, epoch=1)
        log.write("epoch", 2, epoch=1, loss=2.0)
    assert shown(tmp_path) == {
        "eval/a/probe-knn/mae/yaw": [(0, 9.0)],
        "epoch/loss": [(1, 3.0), (2, 2.0)],
        "step/loss": [(2, 2.5)],
    }


def test_without_the_extra_one_line_names_it_and_nothing_is_written(
    data: Dataset, tmp_path: Path
) -> None:
    code = (
        "import sys\nsys.modules['tensorboard'] = None\n"
        "from hmtl.cli.main import run\nsys.exit(run(sys.argv[1:]))"
    )
    out = tmp_path / "run"
    arguments = ["train", "table2/sl-aug1", "--data", str(data.root), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments, "--tensorboard"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'hmtl[tensorboard]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()
