"""A data set of pictures of all kinds and odd sizes, and requests to the compiled renderer."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pictures import exif, scene
from trees import write_csv

from hmtl import _core
from hmtl.data import Dataset, open_dataset

KINDS: dict[str, dict[str, Any]] = {
    "420.jpg": {"subsampling": 2},
    "422.jpg": {"subsampling": 1},
    "444.jpg": {"subsampling": 0},
    "grey.jpg": {"mode": "L"},
    "progressive.jpg": {"progressive": True, "subsampling": 2},
    "restarts.jpg": {"restart_marker_blocks": 5},
    "cmyk.jpg": {"mode": "CMYK"},
    "rgb.jpg": {"keep_rgb": True},
    "upright.jpg": {"exif": b"Exif\0\0" + exif(1)},
    "a.png": {},
    "grey.png": {"mode": "L"},
}
"""File names with what Pillow is told to save them."""

PLAIN = {name for name in KINDS if name.endswith(".jpg")} - {"cmyk.jpg", "rgb.jpg"}
"""Those that any decoder reads in the same way."""

SIDES = [(97, 131), (90, 90), (64, 65), (33, 200)]


def write_mixed(root: Path) -> Dataset:
    """Write every kind in every size, and a CSV with boxes that may leave the picture."""
    names = [(kind, sides) for sides in SIDES for kind in KINDS]
    lines = []
    for number, (_, (height, width)) in enumerate(names):
        box = f"{width * 0.2 - 20:.2f},{height * 0.1},{width * 0.8},{height * 0.95:.2f}"
        lines.append(f"{number}-{names[number][0]},{box},{number},{-number / 2},5")
    table = write_csv(root, *lines)
    for number, (kind, sides) in enumerate(names):
        options = dict(KINDS[kind])
        picture = scene(*sides, seed=number).convert(options.pop("mode", "RGB"))
        picture.save(root / f"{number}-{kind}", **options)
    return open_dataset(table)


def plain_rows(dataset: Dataset) -> list[bool]:
    """Return which rows of `write_mixed` are files that any decoder reads in the same way."""
    return [name.split("-", 1)[1] in PLAIN for name in dataset.name]


def with_boxes(dataset: Dataset, boxes: Iterable[Iterable[float]]) -> Dataset:
    box = np.array(list(boxes), dtype=np.float32)
    return replace(dataset, box=box, face=box)


def draw(dataset: Dataset, loader: Any, epoch: int = 0) -> npt.NDArray[Any]:
    """Return what a loader draws for all rows of its data set, batch by batch."""
    parts = [loader.draw([row], epoch) for row in range(len(dataset))]
    return np.concatenate(parts)


def core_of(dataset: Dataset, threads: int = 2) -> _core.BatchRenderer:
    return _core.BatchRenderer([os.fsencode(path) for path in dataset.paths()], threads)


def targets(count: int, views: int, size: int, tiles: int) -> dict[str, Any]:
    """Return arrays for rendered rows, as the core takes them."""
    return {
        "images": [np.zeros((count, size, size, 3), np.uint8) for _ in range(views)],
        "permutation": np.zeros((count, views, tiles), np.int64),
        "turns": np.zeros((count, views, tiles), np.int64),
        "pose": np.tile(np.array([10, 20, 30], np.float32), (count, 1)),
    }


def slots_of(sizes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return where slots of so many bytes begin, one behind the other, and the end."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
