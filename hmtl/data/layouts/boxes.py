"""Published lists of face boxes for BIWI, each read as its own authors' code reads it.

- `path,x0,y0,x1,y1`: a CSV of one's own; x1 and y1 are exclusive.
- The `.npz` of headposeplus (kuhnkeF/headposeplus, `data/Biwi_*.npz`, `hpp/BiwiDataset.py`):
  `images`, paths below the data set, and `bbox` (N, 4), x, y, width, height, truncated to whole
  pixels. Its crop ends, exclusively, at x + width - 1 and y + height - 1.
- The text list of opal23 (pcr-upm/opal23_headpose, `test/biwi_ann.txt`): a first line
  `#;image;tl_x;tl_y;br_x;br_y;…`, then one frame in each line, its fields apart by ";". An early
  revision has the 13,219 frames of FSA-Net, the later one 15,677.

Two lists that are taken for such hold no boxes: FSA-Net's own `.npz` (crops and angles, no names)
and img2pose's `BIWI_annotations.txt` (names and angles).
"""

import csv
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import LARGEST
from hmtl.errors import DataError

COLUMNS = ("path", "x0", "y0", "x1", "y1")

_OPAL = ("#", "image", "tl_x", "tl_y", "br_x", "br_y")
_KINDS = (
    f"a CSV that starts with {','.join(COLUMNS)}, opal23's list that starts with "
    f"{';'.join(_OPAL)} or the .npz of headposeplus"
)
_IMG2POSE_FIELDS = 4
# Of the .npz.
_WANTED = ("images", "bbox")

Box = tuple[float, float, float, float]


class ListedBox(NamedTuple):
    """One line of a list."""

    place: str
    """The file and the line or row, for error messages."""
    frame: str
    """`01/frame_00003`."""
    box: Box


def read_boxes(path: Path) -> dict[str, ListedBox]:
    """Return the boxes of a list by frame; DataError that names file and line for what is wrong."""
    lines = _read_npz(path) if path.suffix.lower() == ".npz" else _read_text(path)
    found: dict[str, ListedBox] = {}
    for line in lines:
        x0, y0, x1, y1 = line.box
        if not all(abs(edge) <= LARGEST for edge in line.box):
            rule = f"box must be of finite numbers within ±{LARGEST:g}"
            raise DataError(f"{rule}, got {line.box} ({line.place})")
        if not (x0 < x1 and y0 < y1):
            raise DataError(f"box must satisfy x0 < x1 and y0 < y1, got {line.box} ({line.place})")
        if line.frame in found:
            first = found[line.frame].place
            raise DataError(f"frame {line.frame} is named twice ({first} and {line.place})")
        found[line.frame] = line
    if not found:
        raise DataError(f"no boxes in {path}")
    return found


def frame_of(path: str) -> str:
    """Return `01/frame_00003` of any path to that frame, with or without `_rgb` and extension."""
    stem = path.strip()
    for ending in (".png", ".jpg", ".jpeg", "_rgb"):
        stem = stem.removesuffix(ending)
    return "/".join(stem.split("/")[-2:])


def _read_npz(path: Path) -> Iterator[ListedBox]:
    arrays = _load(path)
    names, boxes = arrays.get("images"), arrays.get("bbox")
    if names is None or boxes is None:
        crops = "image" in arrays
        what = "holds crops, not boxes" if crops else "holds no boxes"
        raise DataError(f"{path} {what}: expected images and bbox, got {', '.join(arrays)}")
    is_text = names.dtype.kind == "U" and names.ndim == 1
    if not is_text or boxes.dtype.kind not in "iuf" or boxes.shape != (len(names), 4):
        raise DataError(
            f"expected images of text (N,) and bbox of numbers (N, 4), got {names.dtype} "
            f"{names.shape} and {boxes.dtype} {boxes.shape} in {path}"
        )
    for row, (name, box) in enumerate(zip(names.tolist(), boxes.tolist(), strict=True)):
        x, y, width, height = map(_truncated, box)
        yield ListedBox(
            f"row {row} of {path}", frame_of(name), (x, y, x + width - 1, y + height - 1)
        )


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that can be a list's; the names alone of the others."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise DataError(f"cannot read list of boxes {path}: not an .npz file")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                names = arrays.files
                return {n: np.asarray(arrays[n]) if n in _WANTED else np.empty(0) for n in names}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read list of boxes {path}: {error.strerror}") from error
    # NumPy's parser meets damaged files with whatever breaks first: zlib.error, TokenError,
    # SyntaxError, BadZipFile, ….
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        # NumPy advises to load them all the same.
        reason = "it holds pickled objects" if "allow_pickle" in reason else reason
        raise DataError(f"cannot read list of boxes {path}: {reason}") from error


def _truncated(value: float) -> float:
    return float(math.trunc(value)) if math.isfinite(value) else value


def _read_text(path: Path) -> Iterator[ListedBox]:
    try:
        lines = path.read_text("utf-8-sig", "surrogateescape").splitlines()
    except OSError as error:
        raise DataError(f"cannot read list of boxes {path}: {error.strerror}") from error
    first = next((line for line in lines if line.strip()), "")
    if tuple(field.strip() for field in first.split(",")) == COLUMNS:
        return _read_lines(path, lines, _split_csv)
    if tuple(first.split(";"))[: len(_OPAL)] == _OPAL:
        return _read_lines(path, lines, _split_opal)
    if len(fields := first.split()) == _IMG2POSE_FIELDS and all(map(_is_number, fields[1:])):
        raise DataError(f"{path} names frames and their angles, but no boxes: expected {_KINDS}")
    raise DataError(f"unknown list of boxes {path}: expected {_KINDS}, got {first[:80]!r}")


def _split_csv(line: str) -> list[str]:
    """Return the fields; none that can be used of a line that is too long for a CSV."""
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return [line]


def _split_opal(line: str) -> list[str]:
    """Return the five fields used; none of a comment or of the line that names the data set."""
    fields = line.split(";")
    return [] if fields[0] in ("#", "@") else fields[: len(COLUMNS)]


def _read_lines(
    path: Path, lines: Sequence[str], split: Callable[[str], list[str]]
) -> Iterator[ListedBox]:
    header = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = split(line)
        if header or not fields:
            header = False
            continue
        place = f"{path}:{number}"
        if len(fields) != len(COLUMNS):
            raise DataError(f"expected a path and four numbers, got {line[:80]!r} ({place})")
        name, *numbers = fields
        for text in numbers:
            if not _is_number(text):
                raise DataError(f"box must be of numbers, got {text!r} ({place})")
        x0, y0, x1, y1 = map(float, numbers)
        yield ListedBox(place, frame_of(name), (x0, y0, x1, y1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
