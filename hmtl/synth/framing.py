"""Where in the image a head lies and how large it is there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hmtl.synth.raycast import Matrix

MM_PER_UNIT = 72.0
"""Half a head's width in mm; from chin to crown three of them."""

# The normalised camera of ETH-XGaze, `normalization_example.py` of its authors: focal length
# 960 px, 300 mm away, 448 px.
_PATCH_MM = 448.0 * 300.0 / 960.0
# The corners of the eyes and the wings of the nose among the landmarks.
_EYE_CORNERS, _NOSE_WINGS = [36, 39, 42, 45], [31, 35]


@dataclass(frozen=True, kw_only=True, slots=True)
class Framing:
    """How the scene is projected: head units to px at `scale`, the head's origin at `place`."""

    height: int
    width: int
    scale: float
    """Pixels per half head width."""
    place: Matrix
    """(2,) x, y in px."""
    shows_torso: bool = False
    """Whether the image reaches down beyond the shoulders."""


Framer = Callable[[Matrix, Matrix, np.random.Generator], Framing]
"""(rotation and stretch of the head (3, 3), its turned landmarks (68, 3) in head units, what may be
drawn from) -> framing."""


def photograph(size: int) -> Framer:
    """Frame head and shoulders in a square of `size` px.

    The longer side of the landmarks' box takes 38 to 50 % of the image and its centre lies a little
    below the image's, so that crops with HopeNet's wide upper margin mostly stay inside.
    """

    def frame(_head: Matrix, points: Matrix, rng: np.random.Generator) -> Framing:
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        scale = rng.uniform(0.38, 0.5) * size / (high - low).max()
        center = rng.uniform([0.44, 0.54], [0.56, 0.64]) * size
        place = center - scale * (low + high) / 2
        return Framing(height=size, width=size, scale=float(scale), place=place)

    return frame


def face_patch(size: int) -> Framer:
    """Frame the face alone in a square of `size` px, as ETH-XGaze's normalised patches do.

    They show about 140 mm round the mean of the corners of the eyes and the wings of the nose; what
    the fit of a face model leaves over is drawn.
    """

    def frame(_head: Matrix, points: Matrix, rng: np.random.Generator) -> Framing:
        eyes, nose = (points[part].mean(axis=0) for part in (_EYE_CORNERS, _NOSE_WINGS))
        scale = rng.uniform(0.95, 1.05) * size / (_PATCH_MM / MM_PER_UNIT)
        center = rng.uniform(0.48, 0.52, 2) * size
        place = center - scale * ((eyes + nose) / 2)[:2]
        return Framing(height=size, width=size, scale=float(scale), place=place)

    return frame
