"""AFLW2000-3D: one folder, AFLW's 21 points with the hidden ones marked, 68 points in space."""

from pathlib import Path

import numpy as np

from hmtl.synth.job import Job
from hmtl.synth.raycast import Matrix
from hmtl.synth.samples import draw_sample, render_sample
from hmtl.synth.scene import Rendered
from hmtl.synth.writers.pairs import write_pair
from hmtl.synth.writers.writer import Writer, by_number

# AFLW's points among the 68, followed by the ears, the middles of the eyes and of the mouth.
_AFLW_ORDER = [17, 19, 21, 22, 24, 26, 36, 70, 39, 42, 71, 45, 68, 31, 30, 35, 69, 48, 72, 54, 8]


def _prepare(_out: Path, _job: Job) -> None:
    """Do nothing: the images lie in the root."""


def _write(out: Path, job: Job, indices: range) -> None:
    for index in indices:
        rendered = render_sample(job, draw_sample(job, index))
        points = {
            "pt2d": _aflw_points(rendered, job.size),
            "pt3d_68": rendered.points.T.astype(np.float32),
        }
        write_pair(out / f"image{index + 1:05d}", rendered, points)


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


WRITER = Writer(prepare=_prepare, tasks=by_number, write=_write)
