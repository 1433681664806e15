"""Who a rendered head is (fixed for a subject) and what its face does (drawn for each image)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Color = npt.NDArray[np.float32]
HairStyle = Literal["bald", "short", "full", "long", "bun"]

# sRGB in [0, 1]; an identity mixes two neighbours.
_SKIN = np.array(
    [
        [255, 222, 196],
        [240, 194, 160],
        [214, 160, 122],
        [172, 116, 80],
        [120, 76, 52],
        [84, 54, 40],
    ],
    dtype=np.float32,
) / np.float32(255.0)
_HAIR = np.array(
    [[22, 18, 16], [58, 38, 26], [104, 68, 40], [190, 152, 92], [142, 62, 30], [168, 166, 164]],
    dtype=np.float32,
) / np.float32(255.0)
_IRIS = np.array(
    [[62, 38, 22], [96, 64, 34], [62, 104, 150], [70, 112, 74], [98, 108, 116]], dtype=np.float32
) / np.float32(255.0)
_HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "short", "full", "long", "bun")


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The shape and the colours of one person. Lengths are in units of half a head's width."""

    proportions: npt.NDArray[np.float64]
    """(3,) stretch of the whole head in width, height and depth."""
    jaw_width: float
    chin: float
    """Factor on how far the chin stands out."""
    cheek: float
    """Factor on the size of the cheekbones."""
    nose_length: float
    nose_width: float
    nose_height: float
    """Factor on how far the nose stands out."""
    eye_spacing: float
    """Distance of an eye's centre from the middle plane."""
    eye_size: float
    brow_thickness: float
    brow_height: float
    """Offset of the brows upwards."""
    mouth_width: float
    lip_fullness: float
    ear_size: float
    neck_width: float
    shoulder_width: float
    hair_style: HairStyle
    hair_volume: float
    hairline: float
    """How far up the forehead the hair begins, as an offset upwards."""
    beard: float
    """Opacity of the beard in [0, 1]."""
    skin: Color
    hair: Color
    iris: Color
    lips: Color
    clothes: Color


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """What moves in a face. All zeros but `eyes_open` = 1 is the neutral face."""

    mouth_open: float = 0.0
    """Distance between the lips."""
    smile: float = 0.0
    """How far the corners of the mouth rise."""
    brow_raise: float = 0.0
    eyes_open: float = 1.0
    """Factor on the height of the lid opening."""
    gaze_x: float = 0.0
    """Offset of the iris to the right of the image at pose 0."""
    gaze_y: float = 0.0
    """Offset of the iris downwards."""


NEUTRAL = Expression()


def _mix(palette: Color, rng: np.random.Generator, spread: float = 0.04) -> Color:
    """Return a colour between two neighbours of a palette, a little off in each channel."""
    place = rng.uniform(0.0, len(palette) - 1.0)
    low = min(int(place), len(palette) - 2)
    color = palette[low] + np.float32(place - low) * (palette[low + 1] - palette[low])
    spread_color = color * rng.uniform(1 - spread, 1 + spread, 3)
    return np.asarray(np.clip(spread_color, 0.0, 1.0), dtype=np.float32)


def draw_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""
    skin = _mix(_SKIN, rng)
    redness = np.array([1.0, 0.55, 0.55], dtype=np.float32)
    return Identity(
        proportions=rng.uniform([0.92, 0.94, 0.94], [1.08, 1.08, 1.06]),
        jaw_width=rng.uniform(0.88, 1.14),
        chin=rng.uniform(0.85, 1.2),
        cheek=rng.uniform(0.8, 1.15),
        nose_length=rng.uniform(0.88, 1.12),
        nose_width=rng.uniform(0.85, 1.3),
        nose_height=rng.uniform(0.85, 1.25),
        eye_spacing=rng.uniform(0.39, 0.45),
        eye_size=rng.uniform(0.92, 1.15),
        brow_thickness=rng.uniform(0.7, 1.5),
        brow_height=rng.uniform(-0.02, 0.06),
        mouth_width=rng.uniform(0.88, 1.15),
        lip_fullness=rng.uniform(0.75, 1.4),
        ear_size=rng.uniform(0.85, 1.2),
        neck_width=rng.uniform(0.5, 0.68),
        shoulder_width=rng.uniform(2.1, 2.7),
        hair_style=_HAIR_STYLES[int(rng.choice(5, p=[0.1, 0.3, 0.25, 0.2, 0.15]))],
        hair_volume=rng.uniform(0.0, 1.0),
        hairline=rng.uniform(-0.1, 0.15),
        beard=float(rng.uniform(0.4, 0.9)) if rng.random() < 0.2 else 0.0,
        skin=skin,
        hair=_mix(_HAIR, rng, spread=0.15),
        iris=_mix(_IRIS, rng, spread=0.1),
        lips=np.asarray(skin * redness * np.float32(rng.uniform(0.78, 0.95)), dtype=np.float32),
        clothes=rng.uniform(0.05, 0.95, 3).astype(np.float32),
    )


def draw_expression(rng: np.random.Generator) -> Expression:
    """Draw what the face does in one image: often nearly nothing, sometimes a little."""
    is_open = rng.random() < 0.35
    return Expression(
        mouth_open=float(rng.uniform(0.02, 0.14)) if is_open else 0.0,
        smile=rng.uniform(-0.02, 0.08),
        brow_raise=rng.uniform(-0.02, 0.06),
        eyes_open=rng.uniform(0.7, 1.15),
        gaze_x=rng.uniform(-0.06, 0.06),
        gaze_y=rng.uniform(-0.02, 0.03),
    )
