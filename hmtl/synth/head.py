"""From a person to ellipsoids and landmarks, in the frame of a head at pose 0.

Units are half head widths; x to the right of the image, y down, z towards the viewer; the origin
lies at the height of the eyes, inside the skull. The crown is at y = -1.5, the chin at 1.5.
"""

from dataclasses import dataclass

import numpy as np

from hmtl.synth.identity import Color, Expression, Identity
from hmtl.synth.paint import EYE_RADIUS, eye_paint, hair_paint, lid_opening, skin_paint
from hmtl.synth.raycast import Matrix, Paint, Part, surface_points

SIDES = (-1.0, 1.0)
EYE_Z = 0.74
MOUTH_Y = 1.02

_TEETH = np.array([0.9, 0.88, 0.83], dtype=np.float32)
_MOUTH = np.array([0.2, 0.06, 0.06], dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """One person's head with one expression."""

    parts: tuple[Part, ...]
    points: Matrix
    """(68, 3) landmarks in the iBUG order."""
    ears: Matrix
    """(2, 3): the ear at the left and at the right of the image at pose 0."""


def _turn(pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> Matrix:
    """Return Rz(roll) @ Ry(yaw) @ Rx(pitch), degrees, about the axes of the frame."""
    (cp, cy, cr), (sp, sy, sr) = (f(np.deg2rad([pitch, yaw, roll])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


def _ellipsoid(
    center: tuple[float, float, float],
    radii: tuple[float, float, float],
    color: Color,
    *,
    turn: Matrix | None = None,
    blend: float = 0.0,
    gloss: float = 0.1,
    paint: Paint | None = None,
) -> Part:
    """Return a part with its half axes along the frame's, then turned."""
    semi = np.diag(radii) if turn is None else turn @ np.diag(radii)
    return Part(
        center=np.array(center), semi=semi, color=color, blend=blend, gloss=gloss, paint=paint
    )


def build_head(person: Identity, face: Expression) -> Head:
    """Return the parts, in drawing order, and the landmarks of a person with an expression."""
    skull = _skull(person, face)
    nose = _nose(person)
    lips = _lips(person, face)
    ears = _ears(person)
    eyes = _eyes(person, face)
    parts = [*skull, *nose, *ears, *_nostrils(person), *lips, *eyes, *_brows(person, face, skull)]
    return Head(
        parts=(*parts, *_hair(person)),
        points=_landmarks(person, face, [*skull, *nose, *lips, *eyes]),
        ears=np.array([[side * 1.02, 0.14 + 0.3 * person.ear_size, -0.2] for side in SIDES]),
    )


def _skull(person: Identity, face: Expression) -> list[Part]:
    """Everything the skin covers but nose, lips and ears."""
    drop = 0.6 * face.mouth_open
    jaw, chin, cheek = person.jaw_width, person.chin, person.cheek
    shapes = [
        ((0.0, -0.35, -0.25), (0.97, 1.15, 1.27), 0.2),
        ((0.0, 0.2, 0.12), (0.88, 1.1, 0.84), 0.2),
        ((0.0, 0.72 + drop, 0.16), (0.7 * jaw, 0.72, 0.68), 0.25),
        ((0.0, 1.2 + drop, 0.54), (0.36, 0.26, 0.28 * chin), 0.3),
        ((0.0, -0.3, 0.72), (0.62, 0.15, 0.28), 0.15),
        ((0.0, MOUTH_Y - 0.04, 0.48), (0.52, 0.44, 0.44), 0.25),
        ((-0.4, 0.38, 0.5), (0.36 * cheek, 0.32, 0.34 * cheek), 0.3),
        ((0.4, 0.38, 0.5), (0.36 * cheek, 0.32, 0.34 * cheek), 0.3),
    ]
    paint = skin_paint(person)
    return [
        _ellipsoid(center, radii, person.skin, blend=blend, gloss=0.12, paint=paint)
        for center, radii, blend in shapes
    ]


def _nose(person: Identity) -> list[Part]:
    """The bridge, the tip and the two wings."""
    skin, width, height = person.skin, person.nose_width, person.nose_height
    tip_y, tip_z = 0.6 * person.nose_length, 0.96 + 0.28 * height
    slope = np.rad2deg(np.arctan2(tip_z - 0.93, tip_y + 0.1))
    middle = (0.0, (tip_y - 0.1) / 2, (tip_z + 0.93) / 2 - 0.12)
    bridge = (0.13 * width, 0.46 * person.nose_length, 0.19)
    parts = [
        _ellipsoid(middle, bridge, skin, turn=_turn(pitch=slope), blend=0.12, gloss=0.18),
        _ellipsoid(
            (0, tip_y, tip_z - 0.16), (0.14 * width, 0.13, 0.17), skin, blend=0.1, gloss=0.2
        ),
    ]
    parts += [
        _ellipsoid(
            (side * 0.15 * width, tip_y + 0.04, tip_z - 0.24), (0.09, 0.09, 0.15), skin, blend=0.08
        )
        for side in SIDES
    ]
    return parts


def _nostrils(person: Identity) -> list[Part]:
    dark = np.asarray(person.skin * np.float32(0.25), dtype=np.float32)
    y, z = 0.6 * person.nose_length + 0.115, 0.78 + 0.28 * person.nose_height
    x = 0.085 * person.nose_width
    return [_ellipsoid((side * x, y, z), (0.05, 0.05, 0.09), dark, gloss=0.0) for side in SIDES]


def _ears(person: Identity) -> list[Part]:
    """Each ear is a shell that stands off the head, with a darker bowl inside."""
    size, parts = person.ear_size, []
    dark = np.asarray(person.skin * np.float32(0.62), dtype=np.float32)
    for side in SIDES:
        turn = _turn(pitch=-8.0, yaw=side * 24.0)
        parts += [
            _ellipsoid(
                (side * 1.0, 0.14, -0.24), (0.09, 0.34 * size, 0.23 * size), person.skin, turn=turn
            ),
            _ellipsoid(
                (side * 1.06, 0.12, -0.17),
                (0.06, 0.22 * size, 0.13 * size),
                dark,
                turn=turn,
                gloss=0.0,
            ),
        ]
    return parts


def _eyes(person: Identity, face: Expression) -> list[Part]:
    radii = (0.27, EYE_RADIUS, EYE_RADIUS)
    return [
        _ellipsoid(
            (side * person.eye_spacing, 0, EYE_Z),
            radii,
            person.skin,
            blend=0.04,
            gloss=0.25,
            paint=eye_paint(person, face, side * person.eye_spacing),
        )
        for side in SIDES
    ]


def _brow_line(person: Identity, face: Expression, side: float) -> Matrix:
    """Return the (5, 2) x, y of a brow from its outer to its inner end."""
    x = np.array([0.68, 0.57, 0.44, 0.31, 0.19]) + person.eye_spacing - 0.42
    y = np.array([-0.24, -0.33, -0.36, -0.34, -0.29]) - person.brow_height - face.brow_raise
    return np.stack([side * x, y], axis=-1)


def _brows(person: Identity, face: Expression, surface: list[Part]) -> list[Part]:
    """Each brow is two strokes on the skin that meet at its highest point."""
    color = np.asarray(person.hair * np.float32(0.6), dtype=np.float32)
    parts = []
    for side in SIDES:
        line = _cast_forward(surface, _brow_line(person, face, side))
        for start, end in ((line[0], line[2]), (line[2], line[4])):
            along = (end - start) / np.linalg.norm(end - start)
            up = np.cross([0.0, 0.0, 1.0], along)
            up /= np.linalg.norm(up)
            axes = np.stack([along, up, np.cross(along, up)], axis=-1)
            length = 0.6 * float(np.linalg.norm(end - start))
            semi = axes @ np.diag([length, 0.05 * person.brow_thickness, 0.07])
            parts.append(Part(center=(start + end) / 2, semi=semi, color=color, gloss=0.0))
    return parts


def _lips(person: Identity, face: Expression) -> list[Part]:
    """The opening, the teeth and the lips; the corners rise with a smile."""
    width, full, gap = person.mouth_width, person.lip_fullness, face.mouth_open
    tilt = np.rad2deg(np.arctan(face.smile / 0.3))
    y = MOUTH_Y
    shadow = np.asarray(person.lips * np.float32(0.4), dtype=np.float32)
    parts = [
        _ellipsoid(
            (0, y + gap / 2, 0.87),
            (0.28 * width, 0.02 + gap / 2, 0.085),
            shadow if gap == 0 else _MOUTH,
            gloss=0.0,
        ),
        _ellipsoid(
            (0, y + 0.085 + gap, 0.86),
            (0.25 * width, 0.075 * full, 0.12),
            person.lips,
            blend=0.02,
            gloss=0.3,
        ),
    ]
    if gap > 0:
        parts.append(_ellipsoid((0, y + 0.01, 0.88), (0.2 * width, 0.035, 0.08), _TEETH))
    parts += [
        _ellipsoid(
            (side * 0.135 * width, y - 0.055 - face.smile / 2, 0.87),
            (0.165 * width, 0.055 * full, 0.11),
            person.lips,
            turn=_turn(yaw=side * 18.0, roll=-side * (tilt - 6.0)),
            blend=0.02,
            gloss=0.25,
        )
        for side in SIDES
    ]
    return parts


def _hair(person: Identity) -> list[Part]:
    """A cap with a hairline; long hair adds a curtain behind the ears, a bun a knot at the back."""
    if person.hair_style == "bald":
        return []
    volume = {"short": 0.02, "full": 0.1}.get(person.hair_style, 0.05) + 0.05 * person.hair_volume
    paint = hair_paint(person)
    cap = (0.98 + 0.4 * volume, 1.16 + volume, 1.28 + volume)
    parts = [
        _ellipsoid((0, -0.36, -0.26 - 0.8 * volume), cap, person.hair, gloss=0.12, paint=paint)
    ]
    if person.hair_style == "long":
        length = 1.25 + 0.5 * person.hair_volume
        parts.append(_ellipsoid((0, 0.45, -0.72), (1.12, length, 0.62), person.hair, gloss=0.12))
    if person.hair_style == "bun":
        parts.append(_ellipsoid((0, -0.9, -1.45), (0.42, 0.42, 0.4), person.hair, gloss=0.15))
    return parts


def _landmarks(person: Identity, face: Expression, parts: list[Part]) -> Matrix:
    """Return the (68, 3) points: jaw 17, brows 10, nose 9, eyes 12, lips 20."""
    # What does not blend lies inside the mouth.
    surface = [part for part in parts if part.blend > 0]
    wing, tip = 0.17 * person.nose_width, 0.6 * person.nose_length
    base_x = np.array([-1, -0.5, 0, 0.5, 1]) * wing
    base_y = tip + np.array([0.05, 0.1, 0.11, 0.1, 0.05])
    lines = [
        _brow_line(person, face, -1.0),
        _brow_line(person, face, 1.0)[::-1],
        np.array([[0, 0.0], [0, tip / 3], [0, 2 * tip / 3], [0, tip]]),
        np.stack([base_x, base_y], axis=-1),
        _eye_corners(person, face, -1.0),
        _eye_corners(person, face, 1.0),
        _lip_lines(person, face),
    ]
    return np.concatenate([_jaw_line(surface), _cast_forward(surface, np.concatenate(lines))])


def _cast_forward(parts: list[Part], flat: Matrix) -> Matrix:
    """Return the foremost surface points (N, 3) over x, y (N, 2)."""
    origins = np.concatenate([flat, np.full((len(flat), 1), 0.45)], axis=1)
    return surface_points(parts, origins, np.tile([0.0, 0.0, 1.0], (len(flat), 1)))


def _jaw_line(parts: list[Part]) -> Matrix:
    """Return the 17 points from the left ear round the chin to the right ear."""
    place = np.linspace(-1.0, 1.0, 17)
    angle = np.deg2rad(90.0 * np.abs(place))
    forward = 0.5 - 0.75 * np.abs(place) ** 1.5
    directions = np.stack([np.sign(place) * np.sin(angle), np.cos(angle), forward], axis=-1)
    return surface_points(parts, np.tile([0.0, 0.3, 0.15], (17, 1)), directions)


def _eye_corners(person: Identity, face: Expression, side: float) -> Matrix:
    """Return the 6 points of one eye: the corner at the left of the image first, then clockwise."""
    half_width, upper, lower = lid_opening(person, face)
    x = np.array([-1.0, -0.4, 0.4, 1.0, 0.4, -0.4])
    height = np.array([0.0, -upper, -upper, 0.0, lower, lower]) * (1 - x * x)
    return np.stack([side * person.eye_spacing + half_width * x, height], axis=-1)


def _lip_lines(person: Identity, face: Expression) -> Matrix:
    """Return the 20 points of the lips: the outer line from the left corner, then the inner one."""
    outer = np.array([-0.28, -0.18, -0.06, 0.0, 0.06, 0.18, 0.28, 0.18, 0.07, 0.0, -0.07, -0.18])
    inner = np.array([-0.24, -0.1, 0.0, 0.1, 0.24, 0.1, 0.0, -0.1])
    full, gap = person.lip_fullness, face.mouth_open
    rise = np.array([0, -0.08, -0.1, -0.09, -0.1, -0.08, 0, 0.11, 0.14, 0.15, 0.14, 0.11]) * full
    is_lower = np.arange(12) > 6
    y_outer = MOUTH_Y + rise + gap * is_lower - face.smile * (outer / 0.28) ** 2
    is_lower = np.arange(8) > 4
    y_inner = MOUTH_Y + gap * is_lower - face.smile * (inner / 0.28) ** 2
    x = person.mouth_width * np.concatenate([outer, inner])
    return np.stack([x, np.concatenate([y_outer, y_inner])], axis=-1)
