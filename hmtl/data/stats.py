"""How a dataset is made up: subjects, sizes, poses."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.checks.samples import image_keys
from hmtl.data.dataset import Dataset, within_range
from hmtl.data.layouts.files import SampleError, image_size
from hmtl.data.layouts.w300lp import FLIP
from hmtl.data.parallel import in_order

ANGLES = ("yaw", "pitch", "roll")
BIN_WIDTH_DEG = 10
LIMIT_DEG = 99.0

_EDGES_DEG = np.arange(-180, 181, BIN_WIDTH_DEG)
_QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}

Numbers = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


def dataset_stats(
    dataset: Dataset,
    *,
    threads: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Return counts, sizes in px and poses in degrees of a dataset as plain values.

    Keys: `layout`, `root`, `split`, `crop`, `boxes`, `convention`, `packings` (how packed samples
    were packed), `n`; `subjects` (how many, and of their numbers of samples quantiles);
    `images` (how many, and how many `unreadable`); `sizes` (of `image`, `face` and `box` the
    quantiles of `height` and `width`); `pose` (of each angle `n`, `mean`, quantiles and a
    `histogram` of `edges`, `counts` and how many lie `below` and `above`); `beyond_99` and, of
    300W-LP, `flipped` (`n` and `share` of the samples). Quantiles are null where there are no
    values. `on_progress` is called with the number of images done and in all.
    """
    sizes, images, unreadable = _image_sizes(dataset, threads, on_progress)
    _, per_subject = np.unique(dataset.subject, return_counts=True)
    return {
        "layout": dataset.layout,
        "root": str(dataset.root),
        "split": dataset.split,
        "crop": dataset.crop,
        "boxes": dataset.boxes,
        "convention": dataset.convention,
        "packings": [asdict(packing) for packing in dataset.packings],
        "n": len(dataset),
        "subjects": {"n": len(per_subject), "samples": _quantiles(per_subject)},
        "images": {"n": images, "unreadable": unreadable},
        "sizes": {
            "image": {"height": _quantiles(sizes[:, 0]), "width": _quantiles(sizes[:, 1])},
            "face": _box_sizes(dataset.face),
            "box": _box_sizes(dataset.box),
        },
        "pose": {
            angle: _angle_stats(dataset.pose[:, column]) for column, angle in enumerate(ANGLES)
        },
        "beyond_99": _share(~within_range(dataset.pose, LIMIT_DEG)),
        "flipped": _share(_is_flipped(dataset)) if dataset.layout == "300w-lp" else None,
    }


def known_angles(stats: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return of the `pose` of `dataset_stats` the angles that its convention has."""
    known = ANGLES[:2] if stats["convention"] == "direction" else ANGLES
    return {angle: stats["pose"][angle] for angle in known}


def _quantiles(values: Numbers) -> dict[str, float | None]:
    if len(values) == 0:
        return dict.fromkeys(_QUANTILES)
    found = np.quantile(values.astype(np.float64), list(_QUANTILES.values()))
    return dict(zip(_QUANTILES, found.tolist(), strict=True))


def _box_sizes(boxes: npt.NDArray[np.float32]) -> dict[str, dict[str, float | None]]:
    x0, y0, x1, y1 = boxes.T
    return {"height": _quantiles(y1 - y0), "width": _quantiles(x1 - x0)}


def _angle_stats(values: npt.NDArray[np.float32]) -> dict[str, Any]:
    known = values[~np.isnan(values)].astype(np.float64)
    counts, _ = np.histogram(known[known < _EDGES_DEG[-1]], _EDGES_DEG)
    return {
        "n": len(known),
        "mean": float(known.mean()) if len(known) else None,
        **_quantiles(known),
        "histogram": {
            "edges": _EDGES_DEG.tolist(),
            "counts": counts.tolist(),
            "below": int((known < _EDGES_DEG[0]).sum()),
            "above": int((known >= _EDGES_DEG[-1]).sum()),
        },
    }


def _share(mask: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    return {"n": int(mask.sum()), "share": float(mask.mean()) if len(mask) else None}


def _is_flipped(dataset: Dataset) -> npt.NDArray[np.bool_]:
    of_file = np.array([f"{FLIP}/" in name for name in dataset.files], dtype=bool)
    return np.asarray(of_file[dataset.extent["file"]])


def _image_sizes(
    dataset: Dataset, threads: int, on_progress: Callable[[int, int], None]
) -> tuple[npt.NDArray[np.int32], int, int]:
    """Return height and width of the images (M, 2) that tell it, how many there are, and cannot."""
    _, rows = np.unique(image_keys(dataset.extent), return_index=True)
    sizes = np.zeros((len(rows), 2), dtype=np.int32)

    def size(number: int) -> tuple[int, int]:
        extent = dataset.extent[rows[number]]
        if extent["height"]:
            return int(extent["height"]), int(extent["width"])
        if extent["row"] >= 0:
            # An image within a file, of which that could not be found out.
            return 0, 0
        try:
            return image_size(dataset.root, dataset.files[extent["file"]])
        except SampleError:
            return 0, 0

    with closing(in_order(size, len(rows), threads)) as found:
        for number, height_width in enumerate(found):
            sizes[number] = height_width
            if number % 100 == 0:
                on_progress(number, len(rows))
    readable = sizes[:, 0] > 0
    return sizes[readable], len(rows), int((~readable).sum())
