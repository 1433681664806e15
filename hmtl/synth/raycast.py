"""Orthographic ray casting of painted ellipsoids into buffers, and their shading.

Note [Blended parts]
A head made of plain ellipsoids shows a crease wherever two of them meet. Each part is therefore
merged into the depth buffer with the polynomial smooth maximum of its `blend` length k: within ±k
of the surface already there, depth, normal and colour go over into each other, and the depth rises
by at most k / 4. Where the surfaces are further apart than that, the nearer one simply wins. A part
ends at its outline, where its normal lies in the image plane; it counts as up to k further away
there, so that a part that lies nearly flush fades out instead of ending in a visible circle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

# Depth of pixels that no part covers; far behind everything.
EMPTY = np.float32(-1e3)
# The highlight falls off with the cosine to the power of 2 ** SHINE_SQUARINGS.
SHINE_SQUARINGS = 4

# (points (3, h, w) in the part's own frame, its colour (3,)) -> colours (3, h, w) or (3, 1, 1), and
# the pixels (h, w) to keep or None for all.
Paint = Callable[[Array, Array], tuple[Array, npt.NDArray[np.bool_] | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """An ellipsoid: center + semi @ u for all |u| <= 1, in the frame of the head or the body."""

    center: Matrix
    """(3,)."""
    semi: Matrix
    """(3, 3), the half axes as columns."""
    color: Array
    """(3,) sRGB in [0, 1]."""
    blend: float = 0.0
    """Length over which the part goes over into its neighbours. See Note [Blended parts]."""
    gloss: float = 0.1
    paint: Paint | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """One lamp far away and the light from everywhere."""

    direction: Matrix
    """(3,) unit vector from the head to the lamp, x right, y down, z towards the viewer."""
    color: Array
    ambient: Array


class Canvas:
    """The buffers of one image: depth and gloss (H, W), normal and color (3, H, W)."""

    def __init__(self, xs: Array, ys: Array) -> None:
        """Start empty; xs (W,) and ys (H,) are the pixel centres, increasing and evenly spaced."""
        self.xs, self.ys = xs, ys
        shape = (len(ys), len(xs))
        self.depth = np.full(shape, EMPTY, dtype=np.float32)
        self.gloss = np.zeros(shape, dtype=np.float32)
        self.normal = np.zeros((3, *shape), dtype=np.float32)
        self.color = np.zeros((3, *shape), dtype=np.float32)

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """The pixels (H, W) that show a part."""
        return self.depth > EMPTY / 2

    def draw(self, part: Part, frame: Matrix, origin: Matrix) -> None:
        """Merge a part into the buffers; frame (3, 3) and origin (3,) take it into the image."""
        center = origin + frame @ part.center
        semi = frame @ part.semi
        half = np.sqrt((semi * semi).sum(axis=1))
        x0, x1 = np.searchsorted(self.xs, [center[0] - half[0], center[0] + half[0]])
        y0, y1 = np.searchsorted(self.ys, [center[1] - half[1], center[1] + half[1]])
        if x0 == x1 or y0 == y1:
            return
        dx = self.xs[x0:x1] - np.float32(center[0])
        dy = (self.ys[y0:y1] - np.float32(center[1]))[:, None]
        inside, dz, normal = _hit(semi, dx, dy)
        color, gloss = part.color[:, None, None], np.float32(part.gloss)
        if part.paint is not None:
            points = _to_own_frame(frame, part.center, dx, dy, dz)
            color, keep = part.paint(points, part.color)
            inside = inside if keep is None else inside & keep
        self._merge(
            (slice(y0, y1), slice(x0, x1)),
            inside,
            dz + np.float32(center[2]),
            part.blend,
            normal,
            color,
            gloss,
        )

    def _merge(
        self,
        window: tuple[slice, slice],
        inside: npt.NDArray[np.bool_],
        depth: Array,
        blend: float,
        normal: Array,
        color: Array,
        gloss: np.float32,
    ) -> None:
        """Blend a part's pixels over the buffers. See Note [Blended parts]."""
        channels = (slice(None), *window)
        old = self.depth[window]
        rise = depth - old
        if blend == 0:
            nearer = inside & (rise > 0)
            np.copyto(old, depth, where=nearer)
            np.copyto(self.normal[channels], normal, where=nearer)
            np.copyto(self.color[channels], color, where=nearer)
            np.copyto(self.gloss[window], gloss, where=nearer)
            return
        k = np.float32(blend)
        # normal[2] is 0 at the outline: 0.5 + (rise - k * (1 - normal[2])) / 2k.
        weight = np.clip((rise / k + normal[2]) * np.float32(0.5), 0, 1) * inside
        old += weight * (rise + k * (1 - weight))
        self.gloss[window] += weight * (gloss - self.gloss[window])
        for buffer, new in ((self.normal[channels], normal), (self.color[channels], color)):
            change = new - buffer
            change *= weight
            buffer += change

    def shade(self, light: Light) -> Array:
        """Return the lit colours (3, H, W) in [0, 1]; black where nothing is."""
        normal = self.normal / np.maximum(_length(self.normal), np.float32(1e-6))
        diffuse = np.maximum(_dot(light.direction, normal), 0)
        halfway = light.direction + np.array([0.0, 0.0, 1.0])
        shine = np.maximum(_dot(halfway / np.linalg.norm(halfway), normal), 0)
        for _ in range(SHINE_SQUARINGS):
            shine *= shine
        shine *= self.gloss
        # The sky is brighter than the ground: what looks up gets more of the ambient light.
        sky = np.float32(0.85) - np.float32(0.15) * normal[1]
        lit = np.empty_like(self.color)
        for channel, color in enumerate(self.color):
            lit[channel] = (light.ambient[channel] * sky + light.color[channel] * diffuse) * color
            lit[channel] += light.color[channel] * shine
        np.clip(lit, 0, 1, out=lit)
        return lit


def _dot(direction: Matrix, normal: npt.NDArray[np.floating[Any]]) -> Array:
    """Return the cosines (H, W) between a direction (3,) and normals (3, H, W)."""
    # Written out: BLAS would start threads, which the worker processes have no cores for.
    x, y, z = direction.astype(np.float32)
    return np.asarray(x * normal[0] + y * normal[1] + z * normal[2], dtype=np.float32)


def _length(vectors: Array) -> Array:
    x, y, z = vectors
    return np.asarray(np.sqrt(x * x + y * y + z * z), dtype=np.float32)


def _hit(semi: Matrix, dx: Array, dy: Array) -> tuple[npt.NDArray[np.bool_], Array, Array]:
    """Return which of the rays (dx, dy) hit, their depth from the centre, and outward normals."""
    a = np.linalg.inv(semi @ semi.T)
    a00, a01, a02, a11, a12, a22 = (
        np.float32(a[i, j]) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    # A quarter of the discriminant of the quadratic in z of p' A p = 1.
    square_x = (a02 * a02 - a22 * a00) * dx * dx + a22
    square_y = (a12 * a12 - a22 * a11) * dy * dy
    mixed = 2 * (a02 * a12 - a22 * a01) * dy
    discriminant = square_x + square_y + mixed * dx
    root = np.sqrt(np.maximum(discriminant, 0))
    dz = (root - a02 * dx - a12 * dy) / a22
    normal = np.empty((3, *root.shape), dtype=np.float32)
    normal[0] = a00 * dx + a01 * dy + a02 * dz
    normal[1] = a01 * dx + a11 * dy + a12 * dz
    normal[2] = root
    normal *= 1 / (_length(normal) + np.float32(1e-6))
    return discriminant > 0, dz, normal


def _to_own_frame(frame: Matrix, center: Matrix, dx: Array, dy: Array, dz: Array) -> Array:
    """Return the hit points (3, h, w) in the frame that the part is given in."""
    back = np.linalg.inv(frame).astype(np.float32)
    points = back[:, 0, None, None] * dx + back[:, 1, None, None] * dy
    points += back[:, 2, None, None] * dz
    points += center.astype(np.float32)[:, None, None]
    return points


def surface_points(parts: list[Part], origins: Matrix, directions: Matrix) -> Matrix:
    """Return where rays (N, 3) from inside the parts leave the last of them, (N, 3).

    Raises:
        ValueError: a ray meets no part.
    """
    inverse = np.linalg.inv(np.stack([part.semi for part in parts]))[:, None]  # (P, 1, 3, 3)
    centers = np.stack([part.center for part in parts])[:, None]  # (P, 1, 3)
    start = (inverse @ (origins - centers)[..., None])[..., 0]  # (P, N, 3)
    step = (inverse @ directions[..., None])[..., 0]
    a = (step * step).sum(axis=-1)
    b = (step * start).sum(axis=-1)
    discriminant = b * b - a * ((start * start).sum(axis=-1) - 1.0)
    far = (np.sqrt(np.maximum(discriminant, 0.0)) - b) / a
    reach = np.where(discriminant >= 0, far, -np.inf).max(axis=0)
    if np.any(reach < 0):
        raise ValueError(f"ray must meet a part, got none from {origins[np.argmin(reach)]}")
    return np.asarray(origins + reach[:, None] * directions)
