"""What the tests of `hmtl predict` share: a run, pictures, videos, and the command itself."""

import contextlib
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from fixtures_data import write_300w_lp
from pictures import scene
from runs import SMALL, configured, quiet

from hmtl import engine
from hmtl.cli.main import run
from hmtl.data import Dataset, open_dataset
from hmtl.synth import render_dataset

ANGLES = ("yaw", "pitch", "roll")
EDGES = ("x0", "y0", "x1", "y1")
# Its poses depend on the picture: after one step the bins of `hopenet` would all give their ends.
ONE_STEP = SMALL | {
    "model.head": "regression",
    "train.epochs": 1,
    "train.lr": 1e-4,
    "train.milestones": [],
    "train.optimizer": "sgd",
}


class Done(NamedTuple):
    code: int
    out: str
    err: str


def predicted(*arguments: object) -> Done:
    """Run `hmtl predict` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["predict", *map(str, arguments)])
    return Done(code, out.getvalue(), err.getvalue())


def make_run(folder: Path, **changes: object) -> Path:
    """Train for one step on four pictures; return the run's folder."""
    data = open_dataset(write_300w_lp(folder / "data", count=4, subjects=2, size=48))
    return _trained(folder / "run", "demo/sl", changes, data)


def make_direction_run(folder: Path) -> Path:
    """Do the same on directions."""
    options = {"layout": "eth-xgaze", "count": 8, "subjects": 2, "seed": 3, "size": 32}
    render_dataset(folder / "data", workers=1, **options)
    data = open_dataset(folder / "data", split="fit")
    return _trained(folder / "run", "table2/sl-aug1", {}, data.subset(np.arange(4)))


def _trained(out: Path, preset: str, changes: dict[str, object], data: Dataset) -> Path:
    config = configured(preset, ONE_STEP, changes)
    engine.train(config, data=data, validation=[], out=out, reporter=quiet())
    return out


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return columns (N, K) of rows; what is empty is NaN."""
    found = [
        [float(row[name] if row[name] not in ("", None) else "nan") for name in names]
        for row in rows
    ]
    return np.array(found, dtype=np.float32).reshape(-1, len(names))


def write_video(
    path: Path, frames: Sequence[npt.NDArray[np.uint8]], codec: str = "MJPG", fps: float = 25.0
) -> Path:
    """Write RGB frames (H, W, 3)."""
    height, width, _ = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


def scenes(count: int, height: int, width: int) -> list[npt.NDArray[np.uint8]]:
    return [np.asarray(scene(height, width, seed)) for seed in range(count)]


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    """Return all frames of a video in RGB."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return frames
        frames.append(np.ascontiguousarray(frame[:, :, ::-1]))
