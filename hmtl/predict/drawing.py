"""A picture with its faces' boxes, the axes of the heads and the angles."""

import functools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hmtl.plots import AXIS_COLORS
from hmtl.pose import Convention, convert, to_matrix
from hmtl.predict.shots import Boxes, Pixels

# Of the shorter side of the box, as in `hmtl.plots.pose_sheet`.
AXIS_LENGTH = 0.42
BOX_COLOR = "#ffffff"
_LABEL_COLORS = ("#ffffff", "#202020")
_LINE_SHARE, _FONT_SHARE = 0.012, 0.055
_SMALLEST_FONT_PX = 10

Point = tuple[float, float]


def axis_tips(
    box: npt.ArrayLike, pose: npt.ArrayLike, convention: Convention = "euler"
) -> dict[int, Point]:
    """Return where the head's axes end, from the middle of a box (4,), the nearest one last.

    Keys are 0 for right-left, 1 for down and 2 for facing; where the roll is not known there is
    facing alone.
    """
    angles = convert(pose, convention, "euler")
    matrix = to_matrix(np.nan_to_num(angles))
    axes = (2,) if np.isnan(angles[2]) else (0, 1, 2)
    (x, y), side = middle_and_side(box)
    reach = AXIS_LENGTH * side
    # The picture shows x to the right and y down; z comes towards the viewer.
    return {
        axis: (x + reach * float(matrix[0, axis]), y + reach * float(matrix[1, axis]))
        for axis in sorted(axes, key=lambda axis: float(matrix[2, axis]))
    }


def middle_and_side(box: npt.ArrayLike) -> tuple[Point, float]:
    """Return the middle of a box (4,) and its shorter side, px."""
    x0, y0, x1, y1 = map(float, np.asarray(box))
    return ((x0 + x1) / 2, (y0 + y1) / 2), min(x1 - x0, y1 - y0)


def draw_faces(
    pixels: Pixels,
    boxes: Boxes,
    poses: npt.NDArray[np.float32],
    convention: Convention = "euler",
) -> Image.Image:
    """Return a picture (H, W, 3) with the boxes (K, 4) and poses (K, 3) of its faces over it."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for box, pose in zip(boxes, poses, strict=True):
        middle, side = middle_and_side(box)
        width = max(1, round(_LINE_SHARE * side))
        x0, y0, x1, y1 = map(float, box)
        # The last row and column of the box are its own.
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=BOX_COLOR, width=width)
        for axis, tip in axis_tips(box, pose, convention).items():
            draw.line((*_pixel(middle), *_pixel(tip)), fill=AXIS_COLORS[axis], width=2 * width)
    # Over all axes, so that angles can be read where faces are close together.
    for box, pose in zip(boxes, poses, strict=True):
        _write(draw, image.size, box, angles_text(pose))
    return image


def angles_text(pose: npt.ArrayLike) -> str:
    """Return the angles that are known."""
    named = zip(("yaw", "pitch", "roll"), np.asarray(pose).tolist(), strict=True)
    return "  ".join(f"{name} {angle:.1f}°" for name, angle in named if not np.isnan(angle))


def _pixel(point: Point) -> Point:
    """Return a place in Pillow's terms, where whole numbers are the middles of pixels."""
    return point[0] - 0.5, point[1] - 0.5


def _write(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Boxes, text: str) -> None:
    """Write a line over the upper edge of a box; inside of the picture, `size` (width, height)."""
    _, side = middle_and_side(box)
    font = _font(max(_SMALLEST_FONT_PX, round(_FONT_SHARE * side)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = 2
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(float(box[0]), 0), max(0, size[0] - width))
    y = min(max(float(box[1]) - height, 0), max(0, size[1] - height))
    ink, ground = _LABEL_COLORS
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=ground)
    draw.text((x + pad - left, y + pad - top), text, font=font, fill=ink)


@functools.lru_cache(maxsize=64)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # Pillow's own font has a size from 10.1 on only; matplotlib brings this one along.
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size_px)
