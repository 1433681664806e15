"""Crop rules: from the points of a face to the rectangle that is cropped at evaluation.

`hopenet` is what HopeNet and its successors do, to the pixel: the edges are moved one after the
other, so that the right and the lower margin are shares of the already widened box, points marked
invisible count as points, and `int()` truncates towards zero. `visible` is the same rule without
the points that AFLW2000-3D marks invisible, (-1, 452). `box` takes a given box as it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HOPENET = "hopenet"
VISIBLE = "visible"
BOX = "box"


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


def face_box(points: npt.ArrayLike, *, crop: str) -> npt.NDArray[np.float64]:
    """Return the tight box (x0, y0, x1, y1) round the `points` (2, N) that the crop rule counts.

    Raises ValueError when no point is left or the box has no width or no height.
    """
    kept = np.asarray(points, dtype=np.float64)
    if crop == VISIBLE:
        kept = kept[:, kept[0] >= 0.0]
    if kept.shape[1] == 0:
        raise ValueError("no point is visible")
    low, high = kept.min(axis=1), kept.max(axis=1)
    if not np.all(low < high):
        raise ValueError(f"the points must span a box, got {low.tolist()} to {high.tolist()}")
    return np.concatenate([low, high])


def hopenet_box(face: npt.NDArray[np.floating[Any]], margins: Margins) -> npt.NDArray[np.float32]:
    """Return the crops (N, 4), whole pixels, of the face boxes (N, 4); they may leave the image."""
    x0, y0, x1, y1 = np.asarray(face, dtype=np.float64).T.copy()
    x0 -= margins.left * np.abs(x1 - x0)
    y0 -= margins.top * np.abs(y1 - y0)
    x1 += margins.right * np.abs(x1 - x0)
    y1 += margins.bottom * np.abs(y1 - y0)
    return np.asarray(np.trunc(np.stack([x0, y0, x1, y1], axis=1)), dtype=np.float32)
