"""Rendered data sets in the folders and label files of 300W-LP and AFLW2000-3D."""

import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from hmtl import pose as poses
from hmtl.errors import ConfigError, DataError
from hmtl.synth.identity import draw_expression, draw_identity
from hmtl.synth.raycast import Matrix
from hmtl.synth.scene import Rendered, render_head

LAYOUTS = ("300w-lp", "aflw2000")
MARKER = "synth.json"
# Raised whenever the same arguments give other bytes.
RENDERER_VERSION = 1

YAW_PITCH_ROLL_RANGE = np.array([75.0, 40.0, 30.0])
MIN_SIZE = 32
JPEG_QUALITY = 92
_SETS = ("AFW", "HELEN", "IBUG", "LFPW")
_IMAGES_PER_TASK = 16
_MAT_HEADER = b"MATLAB 5.0 MAT-file Platform: posix, rendered by hmtl".ljust(116)

# AFLW's points among the 68, followed by the ears, the middles of the eyes and of the mouth.
_AFLW_ORDER = [17, 19, 21, 22, 24, 26, 36, 70, 39, 42, 71, 45, 68, 31, 30, 35, 69, 48, 72, 54, 8]

# The streams of random numbers; a layout's own number keeps its people apart from the other's.
_PERSON, _PICTURE = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What a data set is made from; its fields are what the marker file records."""

    layout: str
    count: int
    subjects: int
    seed: int
    size: int


def render_dataset(
    out: Path,
    *,
    layout: str,
    count: int,
    subjects: int,
    seed: int,
    size: int = 128,
    workers: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Render `count` images of `subjects` people into the folder `out`.

    Image i shows subject i mod `subjects`, at a pose uniform in yaw ±75°, pitch ±40° and roll ±30°.
    Its bytes depend on (layout, seed, subjects, size, i) alone. A folder that already holds the
    finished, identical data set is left as it is; what an interrupted call left is written anew.
    `workers` is the number of processes, 0 for one per core, 1 for none besides this one; more
    than one needs a main module that may be imported again, as `multiprocessing` does.
    `on_progress` is called with the number of images done.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: `out` holds something else.
    """
    job = _Job(layout=layout, count=count, subjects=subjects, seed=seed, size=size)
    _check(job, workers)
    if _is_finished(out, job):
        return
    for folder in _folders(job):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text(_marker(job, finished=False))
    done = 0
    for written in _run(out, job, workers or _core_count()):
        done += written
        if on_progress is not None:
            on_progress(done)
    partial = out / (MARKER + ".partial")
    partial.write_text(_marker(job, finished=True))
    partial.replace(out / MARKER)


def _check(job: _Job, workers: int) -> None:
    if job.layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {list(LAYOUTS)}, got {job.layout!r}")
    if job.count < 1:
        raise ConfigError(f"count must be at least 1, got {job.count}")
    if not 1 <= job.subjects <= job.count:
        raise ConfigError(f"subjects must be in [1, count = {job.count}], got {job.subjects}")
    if job.seed < 0:
        raise ConfigError(f"seed must not be negative, got {job.seed}")
    if job.size < MIN_SIZE:
        raise ConfigError(f"size must be at least {MIN_SIZE} px, got {job.size}")
    if workers < 0:
        raise ConfigError(f"workers must not be negative, got {workers}")


def _marker(job: _Job, *, finished: bool) -> str:
    record = {**asdict(job), "renderer": RENDERER_VERSION, "finished": finished}
    return json.dumps(record, indent=1) + "\n"


def _is_finished(out: Path, job: _Job) -> bool:
    """Return whether `out` holds the whole data set; False where it may be written.

    Raises:
        DataError: `out` is not a folder, or holds anything but (a part of) this data set.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise DataError(f"{out}: must be a folder to render into, is a file")
    if not any(out.iterdir()):
        return False
    marker = out / MARKER
    found = marker.read_text() if marker.is_file() else None
    if found == _marker(job, finished=True):
        return True
    if found == _marker(job, finished=False):
        return False
    what = "another rendering" if found is not None else f"files but no {MARKER}"
    raise DataError(f"{out}: must be empty or hold the same rendering, holds {what}")


def _folders(job: _Job) -> tuple[str, ...]:
    return _SETS if job.layout == "300w-lp" else (".",)


def _core_count() -> int:
    return os.cpu_count() or 1


def _run(out: Path, job: _Job, workers: int) -> Iterator[int]:
    """Render all images and yield, as they are finished, how many are new."""
    starts = range(0, job.count, _IMAGES_PER_TASK)
    tasks = (range(start, min(start + _IMAGES_PER_TASK, job.count)) for start in starts)
    if workers == 1 or len(starts) == 1:
        for task in tasks:
            yield _write_images(out, job, task)
        return
    # Started afresh instead of forked: the caller may run threads (torch does).
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(starts)), mp_context=context) as pool:
        running: set[Future[int]] = set()
        try:
            while True:
                missing = 2 * workers - len(running)
                running |= {
                    pool.submit(_write_images, out, job, task) for task in islice(tasks, missing)
                }
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_images(out: Path, job: _Job, indices: range) -> int:
    """Render and write some images; return how many."""
    for index in indices:
        rendered = _render(job, index)
        stem = out / _stem(job, index)
        image = Image.fromarray(rendered.image)
        image.save(stem.with_suffix(".jpg"), quality=JPEG_QUALITY, subsampling="4:2:0")
        stem.with_suffix(".mat").write_bytes(_mat_bytes(_labels(job, rendered)))
    return len(indices)


def _render(job: _Job, index: int) -> Rendered:
    layout = LAYOUTS.index(job.layout)
    person = draw_identity(np.random.default_rng([job.seed, layout, _PERSON, index % job.subjects]))
    rng = np.random.default_rng([job.seed, layout, _PICTURE, index])
    pose = rng.uniform(-YAW_PITCH_ROLL_RANGE, YAW_PITCH_ROLL_RANGE)
    expression = draw_expression(rng)
    return render_head(person, pose, rng, size=job.size, expression=expression)


def _stem(job: _Job, index: int) -> str:
    """Return the path of an image below the root, without its suffix.

    300W-LP's names carry the photo, hence the person; seed and subject both go into its number.
    """
    if job.layout == "aflw2000":
        return f"image{index + 1:05d}"
    variant, subject = divmod(index, job.subjects)
    folder = _SETS[subject % len(_SETS)]
    return f"{folder}/{folder}_{job.seed}{subject:06d}_1_{variant}"


def _labels(job: _Job, rendered: Rendered) -> dict[str, Any]:
    """Return the variables of the label file that readers use, typed as in the published sets."""
    size = job.size
    # The published files count y from the bottom in `Pose_Para`, as the fitted model does.
    place = [rendered.place[0], size + 1 - rendered.place[1], 0.0]
    numbers = [*poses.to_pose_para(rendered.pose), *place, rendered.scale]
    labels: dict[str, Any] = {
        "Pose_Para": np.array([numbers], dtype=np.float32),
        "roi": np.array([[1, 1, size, size]], dtype=np.int16),
    }
    if job.layout == "aflw2000":
        labels["pt2d"] = _aflw_points(rendered, size)
        labels["pt3d_68"] = rendered.points.T.astype(np.float32)
    else:
        labels["pt2d"] = np.ascontiguousarray(rendered.points[:, :2].T)
    return labels


def _mat_bytes(variables: dict[str, Any]) -> bytes:
    """Return a MAT file of the variables."""
    stream: Any = io.BytesIO()
    savemat(stream, variables, do_compression=True)
    # SciPy writes the time into the free text of the header; equal labels shall be equal bytes.
    content: bytes = stream.getvalue()
    return _MAT_HEADER + content[len(_MAT_HEADER) :]


def _aflw_points(rendered: Rendered, size: int) -> Matrix:
    """Return AFLW's 21 points (2, 21): brows, eyes, ear, nose, ear, mouth, chin, left to right.

    Hidden points are (-1, size + 2), which is (-1, 452) in the published images of 450 px.
    """
    eyes = [rendered.points[first : first + 6].mean(axis=0) for first in (36, 42)]
    mouth = rendered.points[[62, 66]].mean(axis=0)
    points = np.concatenate([rendered.points, rendered.ears, eyes, mouth[None]])
    seen = rendered.visible
    parts_seen = [seen[36:42].all(), seen[42:48].all(), seen[62] and seen[66]]
    visible = np.concatenate([seen, rendered.ears_visible, parts_seen])[_AFLW_ORDER]
    shown = np.where(visible[:, None], points[_AFLW_ORDER, :2], [-1.0, size + 2.0])
    return np.ascontiguousarray(shown.T)
