"""Every image of a data set decoded whole, and what is wrong or unusual about it."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.checks.findings import Findings
from hmtl.data.checks.samples import image_keys, name_of
from hmtl.data.columns import Columns
from hmtl.data.parallel import in_order

_USUAL_COLOURS = ("YCbCr", "RGB", "BGR")
_UPRIGHT = 1
# Few enough not to be felt, many enough for a bar to move.
_SAMPLES_PER_REPORT = 20


class _Image(NamedTuple):
    """What the core says of one image; `failure` is why it cannot be decoded, "" where it can."""

    failure: str
    height: int = 0
    width: int = 0
    channels: str = ""
    orientation: int = _UPRIGHT
    warnings: int = 0
    first_warning: str = ""


def inspect_images(
    root: Path,
    samples: Columns,
    findings: Findings,
    *,
    threads: int,
    on_progress: Callable[[int, int], None],
) -> npt.NDArray[np.int32]:
    """Decode every image once; return height and width (N, 2) by sample, 0 where that fails.

    `on_progress` is called with the number of images done and their number in all.
    """
    _, rows, image_of_sample = np.unique(
        image_keys(samples.extent), return_index=True, return_inverse=True
    )
    sizes = np.zeros((len(rows), 2), dtype=np.int32)
    colours: dict[str, list[int]] = {}

    def look(number: int) -> _Image:
        return _look(root, samples, int(rows[number]))

    with closing(in_order(look, len(rows), threads)) as images:
        for number, image in enumerate(images):
            row = int(rows[number])
            sizes[number] = image.height, image.width
            _note_image(root, name_of(samples, row), image, findings)
            if not image.failure and image.channels not in _USUAL_COLOURS:
                colours.setdefault(image.channels, []).append(row)
            if (number + 1) % _SAMPLES_PER_REPORT == 0 or number + 1 == len(rows):
                on_progress(number + 1, len(rows))
    for channels, members in sorted(colours.items()):
        said = f"{len(members):,} of {len(rows):,} images are {channels}, not the usual colour"
        findings.note_many("colour", said, [name_of(samples, row) for row in members])
    return sizes[image_of_sample]


def _look(root: Path, samples: Columns, row: int) -> _Image:
    extent = samples.extent[row : row + 1].copy()
    path = os.fsencode(root / samples.files[extent["file"][0]])
    extent["file"] = 0
    try:
        return _Image(failure="", **_core.inspect([path], extent))
    except _core.DecodeError as error:
        return _Image(failure=str(error))


def _note_image(root: Path, name: str, image: _Image, findings: Findings) -> None:
    if image.failure:
        findings.error("image", image.failure, name)
        return
    if image.orientation != _UPRIGHT:
        message = (
            f"EXIF orientation must be {_UPRIGHT}, as boxes are of the stored pixels, "
            f"got {image.orientation}: {root / name}"
        )
        findings.error("orientation", message, name)
    if image.warnings:
        more = f" and {image.warnings - 1} more" if image.warnings > 1 else ""
        message = f"decoder warns: {image.first_warning}{more}: {root / name}"
        findings.error("warning", message, name)
