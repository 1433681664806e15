"""Crop rules: from the points or the box of a face to the rectangle cropped at evaluation.

`hopenet` is what HopeNet (natanielruiz/deep-head-pose, `code/datasets.py`) and 6DRepNet do, to the
pixel: the edges are moved one after the other, so that the right and the lower margin are shares of
the already widened box, points marked invisible count as points, and `int()` truncates towards
zero. The shares differ from data set to data set. What leaves the image is black.

`visible` is `hopenet` without the points that AFLW2000-3D marks invisible, (-1, 452).

`landmarks` is `hopenet` round the points of 300W-LP's `landmarks` folder. The `pt2d` of a rendering
are those of the photo that it was turned from; the points of that folder were turned with it.

`fsanet` is FSA-Net's rule (shamangary/FSA-Net, `data/type1/TYY_create_db_type1.py` for points and
`data/TYY_create_db_biwi.py` for boxes): the same share of width and height on each side of the
truncated box, clamped to the image. Of the points, those count whose x is positive, or whose y is
where that drops more of them, never both.

`box` takes a given box as it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HOPENET = "hopenet"
VISIBLE = "visible"
LANDMARKS = "landmarks"
FSANET = "fsanet"
BOX = "box"

Boxes = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Margins:
    """What is added to each side of a face, as a share of its width or height at that moment."""

    left: float
    top: float
    right: float
    bottom: float


# HopeNet draws k from [0.2, 0.4) when it trains on 300W-LP; 0.30 is the middle.
W300LP_MARGINS = Margins(left=0.6 * 0.30, top=2 * 0.30, right=0.6 * 0.30, bottom=0.6 * 0.30)
AFLW2000_MARGINS = Margins(left=2 * 0.20, top=2 * 0.20, right=2 * 0.20, bottom=0.6 * 0.20)
BIWI_MARGINS = Margins(left=0.6 * 0.35, top=0.35, right=0.6 * 0.35, bottom=0.6 * 0.35)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClampedMargin:
    """FSA-Net's margin: a share of width and height on each side, clamped to the image."""

    share: float
    keeps_last: bool
    """Whether the clamped right column and lower row belong to the crop."""


FSANET_POINTS = ClampedMargin(share=0.6, keeps_last=False)
FSANET_BOXES = ClampedMargin(share=0.4, keeps_last=True)


def face_box(points: npt.ArrayLike, *, crop: str) -> npt.NDArray[np.float64]:
    """Return the tight box (x0, y0, x1, y1) round the `points` (2, N) that the crop rule counts.

    Raises ValueError when no point is left or the box has no width or no height.
    """
    kept = np.asarray(points, dtype=np.float64)
    if crop == VISIBLE:
        kept = kept[:, kept[0] >= 0.0]
    elif crop == FSANET:
        positive = kept > 0.0
        kept = kept[:, positive[np.argmin(positive.sum(axis=1))]]
    if kept.shape[1] == 0:
        raise ValueError("no point is visible")
    low, high = kept.min(axis=1), kept.max(axis=1)
    if not np.all(low < high):
        raise ValueError(f"the points must span a box, got {low.tolist()} to {high.tolist()}")
    return np.concatenate([low, high])


def mirrored(face: Boxes, width: float) -> npt.NDArray[np.float64]:
    """Return the box of a 300W-LP face in the mirrored copy of its image, `width` pixels wide.

    The published coordinates count from 1, so that x becomes width + 1 - x: exactly so in every
    `pt2d` of the `_Flip` folders.
    """
    x0, y0, x1, y1 = face
    return np.array([width + 1 - x1, y0, width + 1 - x0, y1], dtype=np.float64)


def hopenet_box(face: Boxes, margins: Margins) -> npt.NDArray[np.float32]:
    """Return the crops (N, 4), whole pixels, of the face boxes (N, 4); they may leave the image."""
    x0, y0, x1, y1 = np.asarray(face, dtype=np.float64).T.copy()
    x0 -= margins.left * np.abs(x1 - x0)
    y0 -= margins.top * np.abs(y1 - y0)
    x1 += margins.right * np.abs(x1 - x0)
    y1 += margins.bottom * np.abs(y1 - y0)
    return np.asarray(np.trunc(np.stack([x0, y0, x1, y1], axis=1)), dtype=np.float32)


def fsanet_box(face: Boxes, margin: ClampedMargin, sizes: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the crops (N, 4), whole pixels, of the face boxes (N, 4) in images of `sizes` (N, 2).

    A size is (height, width). A face outside its image has an empty crop; see `is_empty`.
    """
    low, high = np.split(np.trunc(np.asarray(face, dtype=np.float64)), 2, axis=1)  # (N, 2) each
    last = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)[:, ::-1] - 1.0
    reach = margin.share * (high - low)
    start = np.maximum(np.trunc(low - reach), 0.0)
    end = np.minimum(np.trunc(high + reach), last) + margin.keeps_last
    return np.concatenate([start, end], axis=1).astype(np.float32)


def is_empty(boxes: Boxes) -> npt.NDArray[np.bool_]:
    """Return which boxes (N, 4) have no width or no height."""
    return np.asarray((boxes[:, 0] >= boxes[:, 2]) | (boxes[:, 1] >= boxes[:, 3]))
