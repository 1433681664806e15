"""One image: a head in front of a background, under a lamp, framed as in photographs.

The projection is weak perspective (a scaled orthographic one): a head turned by R shows its point p
at size · (R p)[:2] + place. No part of the image therefore depends on where in it the head is, and
the label is exactly the rotation that was drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from hmtl import pose as poses
from hmtl.synth.framing import Framer, Framing, photograph
from hmtl.synth.head import Head, build_head
from hmtl.synth.identity import NEUTRAL, Expression, Identity
from hmtl.synth.raycast import Array, Canvas, Light, Matrix, Part

# Rays along each side of a pixel.
OVERSAMPLING = 2
# A point this far behind the visible surface, in half head widths, counts as hidden.
HIDDEN_DEPTH = 0.12


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A rendered head and where its points are."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    pose: Matrix
    """(3,) yaw, pitch, roll in degrees."""
    points: Matrix
    """(68, 3) landmarks in px, iBUG order: x right, y down, z larger = nearer."""
    visible: npt.NDArray[np.bool_]
    """(68,) whether nothing lies in front of a landmark."""
    ears: Matrix
    """(2, 3) the ears at the left and right of a frontal image, in px."""
    ears_visible: npt.NDArray[np.bool_]
    scale: float
    """Pixels per half head width."""
    place: Matrix
    """(2,) where the centre of the head lies, in px."""


def render_head(
    identity: Identity,
    pose: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    size: int = 128,
    expression: Expression = NEUTRAL,
    framer: Framer | None = None,
) -> Rendered:
    """Render a head at a pose (yaw, pitch, roll in degrees).

    The image is a square photograph of `size` px unless `framer` says otherwise. Light, background,
    distance and place are drawn from `rng`.
    """
    angles = np.asarray(pose, dtype=np.float64)
    head = build_head(identity, expression)
    frame = poses.to_matrix(angles) @ np.diag(identity.proportions)
    turned = head.points @ frame.T
    framing = (framer or photograph(size))(frame, turned, rng)
    scale, offset = framing.scale, np.array([*framing.place, 0.0])
    canvas = _cast(identity, head, frame, float(angles[0]), framing, rng)
    image = canvas.shade(_draw_light(rng))
    image = np.where(canvas.covered, image, _background(image.shape[1:], rng))
    ears = head.ears @ frame.T
    return Rendered(
        image=_develop(image, rng),
        pose=angles,
        points=turned * scale + offset,
        visible=_visible(canvas, turned),
        ears=ears * scale + offset,
        ears_visible=_visible(canvas, ears),
        scale=scale,
        place=framing.place,
    )


def _cast(
    identity: Identity,
    head: Head,
    frame: Matrix,
    yaw: float,
    framing: Framing,
    rng: np.random.Generator,
) -> Canvas:
    """Return the buffers of head and body at OVERSAMPLING times the image's size."""
    xs, ys = (
        ((np.arange(side * OVERSAMPLING) + 0.5) / OVERSAMPLING - p) / framing.scale
        for side, p in zip((framing.width, framing.height), framing.place, strict=True)
    )
    canvas = Canvas(xs.astype(np.float32), ys.astype(np.float32))
    still = np.eye(3)
    body_yaw = 0.3 * yaw + rng.uniform(-15.0, 15.0)
    origin = np.zeros(3)
    turn = poses.to_matrix([body_yaw, 0.0, 0.0])
    torso = _torso(identity, turn) if framing.shows_torso else []
    for part in [*torso, *_body(identity, frame, turn)]:
        canvas.draw(part, still, origin)
    for part in head.parts:
        canvas.draw(part, frame, origin)
    return canvas


def _body(identity: Identity, frame: Matrix, turn: Matrix) -> list[Part]:
    """Return neck, collar and shoulders; the neck leads from the turned skull to the shoulders."""
    top = frame @ np.array([0.0, 0.7, -0.35])
    base = np.array([0.0, 2.15, -0.6])
    along = (base - top) / 2
    length = float(np.linalg.norm(along))
    down = along / length
    side = np.cross(down, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    width = identity.neck_width
    axes = np.stack([side, down, np.cross(side, down)], axis=-1)
    neck_skin = np.asarray(identity.skin * np.float32(0.8), dtype=np.float32)
    collar = np.asarray(identity.clothes * np.float32(0.75), dtype=np.float32)
    wide = identity.shoulder_width
    return [
        Part(
            center=(top + base) / 2,
            semi=axes @ np.diag([width, length * 1.35, width * 0.95]),
            color=neck_skin,
            gloss=0.05,
        ),
        Part(
            center=np.array([0.0, 2.05, -0.62]),
            semi=turn @ np.diag([width * 1.5, 0.3, 0.75]),
            color=collar,
            blend=0.05,
            gloss=0.03,
        ),
        Part(
            center=np.array([0.0, 3.25, -0.65]),
            semi=turn @ np.diag([wide, 1.45, 0.95]),
            color=identity.clothes,
            blend=0.1,
            gloss=0.03,
        ),
    ]


def _torso(identity: Identity, turn: Matrix) -> list[Part]:
    """Return chest and arms below the shoulders, down to the lap."""
    wide = identity.shoulder_width
    shapes = [((0.0, 7.0, -0.65), (0.86 * wide, 4.6, 1.1))]
    shapes += [((x, 6.2, -0.5), (0.24 * wide, 3.6, 0.6)) for x in (-0.86 * wide, 0.86 * wide)]
    return [
        Part(
            center=turn @ np.array(center),
            semi=turn @ np.diag(radii),
            color=identity.clothes,
            blend=0.1,
            gloss=0.03,
        )
        for center, radii in shapes
    ]


def _visible(canvas: Canvas, points: Matrix) -> npt.NDArray[np.bool_]:
    """Return which points (N, 3), in head units, no surface hides."""
    columns = np.clip(np.searchsorted(canvas.xs, points[:, 0]), 0, len(canvas.xs) - 1)
    rows = np.clip(np.searchsorted(canvas.ys, points[:, 1]), 0, len(canvas.ys) - 1)
    return np.asarray(points[:, 2] > canvas.depth[rows, columns] - HIDDEN_DEPTH)


def _draw_light(rng: np.random.Generator) -> Light:
    """Draw a lamp in front of the face, mostly from above, and what the room reflects."""
    azimuth, height = np.deg2rad(rng.uniform([-65.0, -15.0], [65.0, 55.0]))
    direction = np.array(
        [np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)]
    )
    warmth = rng.uniform(-0.08, 0.08) * np.array([1.0, 0.0, -1.0])
    ambient = rng.uniform(0.3, 0.6)
    lamp = rng.uniform(0.95, 1.2) - ambient
    return Light(
        direction=direction,
        color=(lamp * (1.0 + warmth)).astype(np.float32),
        ambient=(ambient * (1.0 - 0.5 * warmth)).astype(np.float32),
    )


def _background(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return a picture (3, H, W) of soft gradients, blobs and rectangles in [0, 1]."""
    side = max(shape)
    cells = int(rng.integers(2, 7))
    grey = rng.uniform(0.1, 0.9) + rng.uniform(-0.3, 0.3, (cells, cells, 1))
    base = grey + rng.uniform(-0.25, 0.25, 3) + rng.uniform(-0.15, 0.15, (cells, cells, 3))
    coarse = Image.fromarray((np.clip(base, 0.0, 1.0) * 255).astype(np.uint8))
    picture = np.array(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        x0, y0 = rng.integers(-side // 4, side, 2)
        width, height = rng.integers(side // 16, side // 2, 2)
        opacity = rng.uniform(0.3, 1.0)
        color = rng.uniform(0.0, 255.0, 3)
        window = picture[max(y0, 0) : max(y0 + height, 0), max(x0, 0) : max(x0 + width, 0)]
        if window.size and rng.random() < 0.5:
            window[:] = window * (1 - opacity) + opacity * color
        elif window.size:
            down, across = (np.linspace(-1, 1, n, dtype=np.float32) for n in window.shape[:2])
            round_ = (down[:, None] ** 2 + across**2 < 1)[..., None] * np.float32(opacity)
            window[:] = window * (1 - round_) + round_ * color
    shown = picture[: shape[0], : shape[1]]
    return np.moveaxis(shown, -1, 0).astype(np.float32) / np.float32(255.0)


def _develop(image: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return the photograph (H, W, 3) of a (3, kH, kW) scene: averaged, exposed, with noise."""
    height, width = (side // OVERSAMPLING for side in image.shape[1:])
    blocks = image.reshape(3, height, OVERSAMPLING, width, OVERSAMPLING)
    small = blocks.sum(axis=2).sum(axis=3) / np.float32(OVERSAMPLING**2)
    exposure, deviation = rng.uniform([0.8, 0.0], [1.15, 0.025])
    noise = rng.standard_normal(small.shape, dtype=np.float32)
    exposed = small * np.float32(exposure) + noise * np.float32(deviation)
    picture = np.rint(np.clip(exposed, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(picture, 0, -1))
