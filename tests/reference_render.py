"""A whole sample from the slow twins of the stages, in the order that csrc/render.cpp has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import reference
from reference import Pixels

from hmtl import _core


def turned_box(
    box: Sequence[float], quarters: int, height: float, width: float
) -> tuple[float, float, float, float]:
    """One quarter after the other: what was at the right comes to the top."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    for _ in range(quarters):
        x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        height, width = width, height
    return x0, y0, x1, y1


def render(
    image: Pixels, drawn: dict[str, Any], *, size: int, grid: int, noise_of: tuple[int, ...]
) -> Pixels:
    """Render one view of stored RGB pixels as `reference.draw_params` drew it.

    `noise_of` is (seed, view, sample, epoch). The colour matrix is the core's: it has a test of its
    own against floats.
    """
    side = grid * -(-size // grid) if drawn["puzzled"] else size
    box = turned_box(drawn["box"], drawn["turn"], *image.shape[:2])
    canvas = reference.crop_resize(np.rot90(image, drawn["turn"]), box, (side, side))
    if drawn["mirror"]:
        canvas = canvas[:, ::-1]
    names = ("brightness", "contrast", "saturation", "hue", "grey")
    matrix = _core.color_matrix(**dict(zip(names, drawn["color"], strict=True)))
    canvas = reference.apply_matrix(canvas, matrix)
    if drawn["blur"]:
        canvas = reference.blur(canvas)
    if small := drawn["down_scale"]:
        canvas = reference.crop_resize(canvas, (0, 0, side, side), (small, small))
        canvas = reference.crop_resize(canvas, (0, 0, small, small), (side, side))
    canvas = reference.add_noise(canvas, drawn["noise_scale"], *noise_of)
    if drawn["puzzled"]:
        canvas = reference.tile(canvas, grid, drawn["permutation"], drawn["turns"], size)
    x0, y0, x1, y1 = drawn["cutout"]
    hidden = canvas.copy()
    hidden[y0:y1, x0:x1] = (124, 116, 104)
    return hidden
