"""Reading the files of a sample: whatever goes wrong is a problem that names the file."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.columns import CODEC_OF_SUFFIX, Codec
from hmtl.data.crops import is_empty
from hmtl.data.layouts.layout import OnProblem, Problem

# The header of a JPEG ends behind its EXIF and colour profile; most have neither.
_HEAD_BYTES = 4096


class SampleError(Exception):
    """A sample cannot be used."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def wrong(kind: str, root: Path, name: str, reason: str) -> SampleError:
    """Return the error of the file `name` below `root`."""
    return SampleError(Problem(kind=kind, path=name, message=f"{reason} in {root / name}"))


def unpaired(root: Path, name: str, reason: str) -> SampleError:
    """Return the error of the file `name` below `root`, beside which another is missing."""
    return SampleError(Problem(kind="pair", path=name, message=f"{reason}: {root / name}"))


def unreadable(kind: str, root: Path, name: str, error: OSError | None = None) -> SampleError:
    """Return the error of a file that the system does not let read, asking again for the reason."""
    path = root / name
    try:
        path.stat()
    except OSError as found:
        error = error or found
    reason = "changed while it was read" if error is None else error.strerror
    return SampleError(Problem(kind=kind, path=name, message=f"cannot read {path}: {reason}"))


def read_bytes(kind: str, root: Path, name: str) -> bytes:
    """Return the bytes of a file of that kind; SampleError where it cannot be read."""
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise unreadable(kind, root, name, error) from error


def codec_of(name: str) -> Codec:
    """Return the codec of an image by its suffix, one of CODEC_OF_SUFFIX."""
    return CODEC_OF_SUFFIX[name[name.rindex(".") :].lower()]


def image_size(root: Path, name: str) -> tuple[int, int]:
    """Return (height, width) of an image from its header; SampleError where there is none."""
    path, codec = root / name, codec_of(name)
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
            try:
                return _core.image_size(head, codec, os.fsencode(path))
            except _core.DecodeError:
                return _core.image_size(head + file.read(), codec, os.fsencode(path))
    except OSError as error:
        raise unreadable("image", root, name, error) from error
    except _core.DecodeError as error:
        raise SampleError(Problem(kind="image", path=name, message=str(error))) from error


def with_area(
    root: Path, names: list[str], boxes: npt.NDArray[np.float32], on_problem: OnProblem
) -> npt.NDArray[np.int64]:
    """Return the rows whose box (N, 4) has an area; the others are problems of their images."""
    empty = is_empty(boxes)
    for number in np.flatnonzero(empty).tolist():
        name, box = names[number], boxes[number].tolist()
        reason = f"crop must have a width and a height, got {box}"
        on_problem(wrong("box", root, name, reason).problem)
    return np.flatnonzero(~empty)
