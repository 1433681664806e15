"""What a writer is: the part of rendering a data set that differs between layouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hmtl.synth.job import Job

_IMAGES_PER_TASK = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """How a data set is written in one published layout."""

    prepare: Callable[[Path, Job], None]
    """Make the folders, and the files that belong to no image."""
    tasks: Callable[[Job], Sequence[range]]
    """The images in portions that different processes may write at once."""
    write: Callable[[Path, Job, range], None]
    """Render the images of one portion and write their files."""


def by_number(job: Job) -> list[range]:
    """Return portions of successive images, for layouts with files for each image."""
    starts = range(0, job.count, _IMAGES_PER_TASK)
    return [range(start, min(start + _IMAGES_PER_TASK, job.count)) for start in starts]


def by_subject(job: Job) -> list[range]:
    """Return one portion for each subject, for layouts with one file for all of its images."""
    return [range(subject, job.count, job.subjects) for subject in range(job.subjects)]
