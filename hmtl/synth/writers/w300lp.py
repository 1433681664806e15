"""300W-LP: a folder for each source set, landmarks of all 68 points."""

from pathlib import Path

import numpy as np

from hmtl.synth.job import Job
from hmtl.synth.samples import draw_sample, render_sample
from hmtl.synth.writers.pairs import write_pair
from hmtl.synth.writers.writer import Writer, by_number

_SETS = ("AFW", "HELEN", "IBUG", "LFPW")


def _prepare(out: Path, _job: Job) -> None:
    for folder in _SETS:
        (out / folder).mkdir(exist_ok=True)


def _write(out: Path, job: Job, indices: range) -> None:
    for index in indices:
        rendered = render_sample(job, draw_sample(job, index))
        points = np.ascontiguousarray(rendered.points[:, :2].T)
        write_pair(out / _stem(job, index), rendered, {"pt2d": points})


def _stem(job: Job, index: int) -> str:
    """Return the path of an image below the root, without its suffix.

    The published names carry the photo, hence the person; seed and subject both go into its number.
    """
    variant, subject = divmod(index, job.subjects)
    folder = _SETS[subject % len(_SETS)]
    return f"{folder}/{folder}_{job.seed}{subject:06d}_1_{variant}"


WRITER = Writer(prepare=_prepare, tasks=by_number, write=_write)
