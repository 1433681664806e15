"""What a rendered data set is made from, and the file that says so in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hmtl.errors import ConfigError, DataError

LAYOUTS = ("300w-lp", "aflw2000", "biwi", "eth-xgaze")
"""The layouts that can be written; a layout's place here is in the seed of its random numbers."""
MARKER = "synth.json"
# Raised whenever the same arguments give other bytes.
RENDERER_VERSION = 1
MIN_SIZE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a data set is made from; its fields are what the marker file records."""

    layout: str
    count: int
    subjects: int
    seed: int
    size: int


def check(job: Job, workers: int) -> None:
    """Raise ConfigError for an argument that is out of its range."""
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


def is_finished(out: Path, job: Job) -> bool:
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


def mark_begun(out: Path, job: Job) -> None:
    """Say in `out` that a part of the data set may be there."""
    (out / MARKER).write_text(_marker(job, finished=False))


def mark_finished(out: Path, job: Job) -> None:
    """Say in `out` that the whole data set is there."""
    partial = out / (MARKER + ".partial")
    partial.write_text(_marker(job, finished=True))
    partial.replace(out / MARKER)


def _marker(job: Job, *, finished: bool) -> str:
    record = {**asdict(job), "renderer": RENDERER_VERSION, "finished": finished}
    return json.dumps(record, indent=1) + "\n"
