"""Where faces are: the whole picture, one rectangle, or a list of them."""

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import LARGEST
from hmtl.errors import ConfigError, DataError
from hmtl.predict.shots import Boxes, Shot

COLUMNS = ("path", "x0", "y0", "x1", "y1")
FRAME = "frame"

Locate = Callable[[Shot], Boxes]
"""Returns the boxes (K, 4) of a shot; (0, 4) where no face is."""


def whole(shot: Shot) -> Boxes:
    """Return the box of the whole picture."""
    height, width = shot.size
    return np.array([[0, 0, width, height]], dtype=np.float32)


def fixed(box: Sequence[float], margin: float | None) -> Locate:
    """Return what finds one rectangle (4,) on every shot."""
    boxes = widened(_checked(box, "a box"), margin)
    return lambda _: boxes


def listed(path: Path, margin: float | None) -> Locate:
    """Return what finds the rectangles that a CSV has for a picture or a frame.

    Its header has `path,x0,y0,x1,y1` and, where frames of a video have boxes of their own, `frame`,
    counted from 0; other columns are passed over. Paths are relative to the CSV's folder. Without a
    frame a box is that of all frames that have none of their own. DataError names file and line.
    """
    found = {key: widened(boxes, margin) for key, boxes in _read(path).items()}
    none = np.empty((0, 4), dtype=np.float32)

    def locate(shot: Shot) -> Boxes:
        if shot.source.path is None:
            return none
        file = os.path.realpath(shot.source.path)
        return found.get((file, shot.frame), found.get((file, None), none))

    return locate


def located(locate: Locate, shot: Shot) -> Boxes:
    """Return the boxes (K, 4) of a shot; DataError where one has nothing of the picture in it."""
    boxes = locate(shot)
    outside = is_outside(boxes, shot.size)
    if outside.any():
        height, width = shot.size
        box = ",".join(f"{edge:g}" for edge in boxes[outside][0])
        raise DataError(f"box {box} lies outside {shot.name}, which is {width} × {height} px")
    return boxes


def widened(boxes: npt.ArrayLike, margin: float | None) -> Boxes:
    """Return squares of `margin` times the longer side round the centres of boxes (..., 4).

    Without a margin the boxes are returned as they are.
    """
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if margin is None:
        return given.astype(np.float32)
    low, high = np.split(given, 2, axis=1)  # (K, 2) each
    centre = (low + high) / 2
    reach = margin / 2 * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([centre - reach, centre + reach], axis=1).astype(np.float32)


def is_outside(boxes: Boxes, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which boxes (K, 4) have nothing of a picture of `size` (height, width) in them."""
    height, width = size
    x0, y0, x1, y1 = boxes.T
    return np.asarray((x0 >= width) | (y0 >= height) | (x1 <= 0) | (y1 <= 0))


def parse_box(text: str) -> tuple[float, ...]:
    """Return the numbers of "X0,Y0,X1,Y1"; ConfigError where it is no box."""
    try:
        return _checked([_number(field) for field in text.split(",")], "a box")
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _checked(box: Sequence[float], what: str) -> tuple[float, ...]:
    numbers = tuple(map(float, box))
    if len(numbers) != 4:
        raise ValueError(f"{what} must have four numbers, x0,y0,x1,y1, got {len(numbers)}")
    x0, y0, x1, y1 = numbers
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"{what} must satisfy x0 < x1 and y0 < y1, got {numbers}")
    return numbers


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not abs(number) <= LARGEST:
        raise ValueError(f"a box must be of finite numbers within ±{LARGEST:g}, got {text!r}")
    return number


def _read(path: Path) -> dict[tuple[str, int | None], list[tuple[float, ...]]]:
    """Return the boxes of a list by file, without links, and frame."""
    found: dict[tuple[str, int | None], list[tuple[float, ...]]] = {}
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        try:
            header = [name.strip() for name in reader.fieldnames or ()]
            if missing := [name for name in COLUMNS if name not in header]:
                raise DataError(f"columns must have {','.join(COLUMNS)}, no {missing[0]} in {path}")
            reader.fieldnames = header
            for line in reader:
                key, box = _read_line(line, path.parent)
                found.setdefault(key, []).append(box)
        except (ValueError, csv.Error) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{error} ({path}:{reader.line_num})") from error
    if not found:
        raise DataError(f"no boxes in {path}")
    return found


def _read_line(
    line: dict[str, str], folder: Path
) -> tuple[tuple[str, int | None], tuple[float, ...]]:
    if None in line or any(line[name] is None for name in COLUMNS):
        raise ValueError("a line must have as many fields as the header")
    name, frame = line["path"], (line.get(FRAME) or "").strip()
    if not name or "\0" in name:
        raise ValueError(f"a path must name a file, got {name!r}")
    if frame and not frame.isdecimal():
        raise ValueError(f"a frame must be a whole number from 0 on, got {frame!r}")
    box = _checked([_number(line[edge].strip()) for edge in COLUMNS[1:]], "a box")
    return (os.path.realpath(folder / name), int(frame) if frame else None), box
