"""Poses as text: lines of a CSV, elements of a JSON list."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hmtl.predict.shots import Seen, Source

NUMBERS = ("x0", "y0", "x1", "y1", "yaw", "pitch", "roll")
SUFFIXES = (".csv", ".json")


def columns(*, has_frames: bool) -> tuple[str, ...]:
    """Return the names of the columns; without frames they are those of the layout `csv`."""
    return ("path", "frame", *NUMBERS) if has_frames else ("path", *NUMBERS)


def values_of(seen: Seen, name: str, *, has_frames: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the columns for each face; None is what is not known."""
    for box, pose in zip(seen.boxes, seen.poses, strict=True):
        numbers = [_number(value) for value in (*box, *pose)]
        yield (name, seen.shot.frame, *numbers) if has_frames else (name, *numbers)


def csv_line(values: Sequence[Any]) -> str:
    """Return a line; whole numbers without a point, so that they stay what they were."""
    text = io.StringIO()
    cells = ["" if value is None else value for value in values]
    csv.writer(text, lineterminator="\n").writerow(
        [f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]
    )
    return text.getvalue()


def name_from(folder: Path) -> Callable[[Source], str]:
    """Return what names a source in a file in `folder`: relative below it, elsewhere absolute."""
    here = Path(os.path.abspath(folder))  # noqa: PTH100 — links keep their names

    def name(source: Source) -> str:
        path = source.path
        if path is None:
            return source.name
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else os.fspath(path)

    return name


class PoseFile:
    """A CSV or JSON file of poses, each face in it as soon as it is known.

    Every face is written whole and at once, so that what ends a job early tears none of them.
    """

    def __init__(self, path: Path, *, has_frames: bool) -> None:
        """Begin a file of the kind that the suffix says, over one that is there."""
        self._names = columns(has_frames=has_frames)
        self._has_frames = has_frames
        self._is_json = path.suffix.lower() == ".json"
        self._name = name_from(path.parent)
        self._is_first = True
        self._file = path.open("wb", buffering=0)
        self._write("[" if self._is_json else csv_line(self._names))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the file, whatever ended the job."""
        if self._is_json:
            self._write("]\n" if self._is_first else "\n]\n")
        self._file.close()

    def add(self, seen: Seen) -> None:
        """Write the faces of a picture or frame."""
        name = self._name(seen.shot.source)
        lines = []
        for values in values_of(seen, name, has_frames=self._has_frames):
            if self._is_json:
                item = json.dumps(dict(zip(self._names, values, strict=True)), allow_nan=False)
                lines.append(("\n " if self._is_first else ",\n ") + item)
                self._is_first = False
            else:
                lines.append(csv_line(values))
        self._write("".join(lines))

    def _write(self, text: str) -> None:
        # Names that are not UTF-8 keep their bytes, as the layout `csv` reads them.
        content = memoryview(text.encode("utf-8", "surrogateescape"))
        while content:
            content = content[self._file.write(content) :]


def _number(value: np.float32) -> float | None:
    """Return the shortest number that is this one in float32; None for NaN."""
    return None if np.isnan(value) else float(str(value))
