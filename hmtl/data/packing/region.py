"""Which part of an image is packed, and where boxes lie in it.

What is rendered of a sample is a rectangle between its `face` and its `box`, each edge moved by a
factor drawn from a range, or the centred square of that rectangle's shorter side
(`csrc/params.cpp`, `fit_frame`). All edges go linearly with the factor, and so does the side until
width and height change places: the union over a range of factors lies between its ends and there.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.packing.record import Fit

# What resampling reads beyond a crop, in stored pixels, with one to spare for rounding.
_REACH_PX = 2.0

Floats = npt.NDArray[np.float64]


class Stored(NamedTuple):
    """A part of an image in whole pixels, and the size that it is stored at."""

    x0: int
    y0: int
    x1: int
    y1: int
    height: int
    width: int

    @property
    def is_resized(self) -> bool:
        return (self.height, self.width) != (self.y1 - self.y0, self.x1 - self.x0)

    def moved(self, box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a box (4,) of the image in pixels of what is stored; it may leave that."""
        scale = np.array(
            [self.width / (self.x1 - self.x0), self.height / (self.y1 - self.y0)] * 2,
            dtype=np.float64,
        )
        origin = np.array([self.x0, self.y0] * 2, dtype=np.float64)
        return ((box.astype(np.float64) - origin) * scale).astype(np.float32)


def needed_regions(
    face: npt.NDArray[np.float32], box: npt.NDArray[np.float32], *, margin: float, fit: Fit
) -> Floats:
    """Return the rectangles (N, 4) that hold every crop with factors from 0 to `margin`.

    They may leave the image; where a face or a box is not known they are NaN.
    """
    inner, outer = face.astype(np.float64), box.astype(np.float64)
    ends = [np.zeros(len(inner)), np.full(len(inner), margin)]
    if fit == "short-side":
        ends.append(_equal_sides(inner, outer, margin))
    frames = np.stack([_frame(inner, outer, factor, fit) for factor in ends])  # (F, N, 4)
    return np.concatenate([frames[..., :2].min(axis=0), frames[..., 2:].max(axis=0)], axis=1)


def stored_part(region: Floats, height: int, width: int, size: int) -> Stored | None:
    """Return the part of an image that holds a region (4,), at most `size` px long when stored.

    None where the region does not touch the image.
    """
    reach = _REACH_PX * max(1.0, float(np.max(region[2:] - region[:2])) / size)
    limits = np.array([width, height], dtype=np.float64)
    low = np.clip(np.floor(region[:2] - reach), 0.0, limits)
    high = np.clip(np.ceil(region[2:] + reach), 0.0, limits)
    touches = (region[:2] < limits) & (region[2:] > 0.0)
    if not touches.all():
        return None
    (x0, y0), (x1, y1) = low.astype(int).tolist(), high.astype(int).tolist()
    scale = min(1.0, size / max(x1 - x0, y1 - y0))
    out_height, out_width = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
    return Stored(x0, y0, x1, y1, out_height, out_width)


def _frame(inner: Floats, outer: Floats, factor: Floats, fit: Fit) -> Floats:
    edges = inner + factor[:, None] * (outer - inner)
    if fit == "stretch":
        return edges
    low, high = edges[:, :2], edges[:, 2:]
    half = (high - low).min(axis=1, keepdims=True) / 2
    centre = (low + high) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _equal_sides(inner: Floats, outer: Floats, margin: float) -> Floats:
    """Return the factors (N,) at which width and height are equal, kept within [0, margin]."""
    longer = [edges[:, 2] - edges[:, 0] - edges[:, 3] + edges[:, 1] for edges in (inner, outer)]
    change = longer[1] - longer[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(change == 0.0, 0.0, -longer[0] / change)
    return np.clip(factor, 0.0, margin)
