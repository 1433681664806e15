"""What is painted onto the ellipsoids, as functions of the place in the frame of the head."""

import numpy as np

from hmtl.synth.identity import Color, Expression, Identity
from hmtl.synth.raycast import Array, Matrix, Paint

EYE_RADIUS = 0.2
_SCLERA = np.array([0.96, 0.95, 0.93], dtype=np.float32)
_PUPIL = np.array([0.03, 0.03, 0.04], dtype=np.float32)
_BLUSH = np.array([1.0, 0.8, 0.78], dtype=np.float32)

# The hairline runs from the forehead over the temple, round the ear to the nape: y over z.
_HAIRLINE_Z = np.array([-1.6, -0.75, -0.5, -0.3, 0.05, 0.15, 0.4, 0.62, 0.8, 1.3], dtype=np.float32)
_HAIRLINE_Y = np.array(
    [0.75, 0.7, 0.4, -0.1, 0.1, 0.2, -0.1, -0.55, -0.78, -0.85], dtype=np.float32
)


def lid_opening(person: Identity, face: Expression) -> tuple[float, float, float]:
    """Return an eye opening's half width and its heights above and below the middle."""
    size = person.eye_size
    return 0.215 * size, 0.1 * size * face.eyes_open, 0.065 * size


def gaze_axis(face: Expression) -> Matrix:
    """Return the direction (3,), in the frame of the head, in which the painted irises look."""
    across, down = face.gaze_x / EYE_RADIUS, face.gaze_y / EYE_RADIUS
    return np.array([across, down, np.sqrt(1.0 - across * across - down * down)])


def eye_paint(person: Identity, face: Expression, center_x: float) -> Paint:
    """Paint sclera, iris, pupil and the upper lash line into the lids' opening; skin elsewhere."""
    half_width, upper, lower = lid_opening(person, face)
    lid = np.asarray(person.skin * np.float32(0.8), dtype=np.float32)
    gaze_x, gaze_y = center_x + face.gaze_x, face.gaze_y - 0.01
    colors = np.stack([lid, lid * np.float32(0.25), _SCLERA, person.iris, _PUPIL, _SCLERA])

    def paint(points: Array, _color: Color) -> tuple[Array, None]:
        x, y = points[0], points[1]
        across = (x - np.float32(center_x)) / np.float32(half_width)
        arch = 1 - across * across
        is_open = (y > -upper * arch) & (y < lower * arch)
        is_lash = (y > -upper * arch - 0.05) & (y <= -upper * arch) & (arch > -0.15)
        radius = (x - np.float32(gaze_x)) ** 2 + (y - np.float32(gaze_y)) ** 2
        kind = is_lash.astype(np.intp)
        kind[is_open] = 2
        kind[is_open & (radius < 0.105**2)] = 3
        kind[is_open & (radius < 0.05**2)] = 4
        return np.moveaxis(colors[kind], -1, 0), None

    return paint


def skin_paint(person: Identity) -> Paint:
    """Paint skin with darker eye sockets, redder cheeks and, for some, a beard."""
    beard_color = person.hair * np.float32(0.8)

    def paint(points: Array, color: Color) -> tuple[Array, None]:
        x, y, z = np.abs(points[0]), points[1], points[2]
        front = np.clip(z * 4, 0, 1)
        dx = x - np.float32(person.eye_spacing)
        socket = front * np.exp(-(dx * dx) * 14 - y * y * 26)
        cheek = front * np.exp(-((x - np.float32(0.5)) ** 2) * 16 - (y - np.float32(0.5)) ** 2 * 16)
        shade = color[:, None, None] * (1 - np.float32(0.38) * socket)
        shade *= 1 - (1 - _BLUSH)[:, None, None] * cheek
        if person.beard:
            # It grows below a line that rises from the upper lip to the ear.
            edge = np.float32(0.84) - np.float32(0.5) * np.clip(x - np.float32(0.35), 0, 1)
            grown = np.clip((y - edge) * 12, 0, 1) * np.clip((z + np.float32(0.3)) * 6, 0, 1)
            weight = np.float32(person.beard) * grown
            shade += weight * (beard_color[:, None, None] - shade)
        return shade, None

    return paint


def hair_paint(person: Identity) -> Paint:
    """Keep the cap of hair behind the hairline and paint strands that run from the crown down."""
    lift = np.float32(person.hairline)

    def paint(points: Array, color: Color) -> tuple[Array, np.ndarray]:
        x, y, z = points
        edge = np.interp(z, _HAIRLINE_Z, _HAIRLINE_Y).astype(np.float32)
        edge -= lift * np.clip(z * 2, 0, 1) * (1 + np.abs(x))
        strand = np.sin(np.arctan2(x, z + np.float32(0.3)) * 31 + 3 * np.sin(y * 5))
        return color[:, None, None] * (1 + np.float32(0.13) * strand), y < edge

    return paint
