"""What is drawn over and under pictures: plain data, in pixels of the picture."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex

from hmtl.plots import AXIS_COLORS
from hmtl.pose import Convention, convert, to_matrix
from hmtl.show.captions import QUARTER_DEG

Pixels = npt.NDArray[np.uint8]
Point = tuple[float, float]

FACE_COLOR, BOX_COLOR = "#f2c14e", "#ffffff"
VIEW_COLORS = ("#00b4d8", "#f77f00", "#b388eb", "#80b918")
_CELL_COLOR = "#ffffff"
_AXIS_LENGTH = 0.42
# Where the upper side of a tile points after so many counter-clockwise quarter turns: x, y.
_UP = ((0, -1), (-1, 0), (0, 1), (1, 0))
# In shares of a tile's side.
_TURN_LENGTH, _BADGE_PLACE = 0.5, 0.04


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrow:
    """An axis of the head, or where the upper side of a tile points."""

    start: Point
    end: Point
    color: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """A rectangle, x1 and y1 exclusive."""

    box: tuple[float, float, float, float]
    color: str
    width: float = 1.5
    """Of the line, in points."""
    dashed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Badge:
    """A short text on colour, its upper left corner at a place."""

    place: Point
    text: str
    room: float
    """How wide it may be; else only its first word is drawn."""
    color: str


Mark = Arrow | Outline | Badge


def axis_arrows(
    pose: npt.NDArray[np.float32], convention: Convention, size: int
) -> tuple[Arrow, ...]:
    """Return the head's axes in an image of side `size`, from its middle, the nearest one last.

    Where the roll is not known only the facing axis is.
    """
    if np.isnan(pose[:2]).any():
        return ()
    angles = convert(pose, convention, "euler")
    axes = (2,) if np.isnan(angles[2]) else (0, 1, 2)
    matrix = to_matrix(np.nan_to_num(angles))
    middle = size / 2
    return tuple(
        Arrow(
            start=(middle, middle),
            end=(
                middle + _AXIS_LENGTH * size * matrix[0, axis],
                middle + _AXIS_LENGTH * size * matrix[1, axis],
            ),
            color=AXIS_COLORS[axis],
        )
        for axis in sorted(axes, key=lambda axis: float(matrix[2, axis]))
    )


def tile_color(tile: int, tiles: int) -> str:
    """Return a dark colour of its own for each tile."""
    hue = tile / tiles
    return to_hex(colorsys.hsv_to_rgb(hue, 0.85, 0.52 if 0.1 < hue < 0.55 else 0.66))


def tile_marks(
    size: int,
    grid: int,
    permutation: Sequence[int] | None = None,
    turns: Sequence[int] | None = None,
) -> tuple[Mark, ...]:
    """Return the cells of a puzzle in an image of side `size`, and what lies in each of them.

    A badge tells the number of the tile, where there is a permutation, and its turn, where there
    are turns; an arrow points to where the upper side of a turned tile went.
    """
    side = -(-size // grid)
    marks: list[Mark] = []
    for cell in range(grid**2):
        row, column = divmod(cell, grid)
        x, y = column * side, row * side
        box = (x, y, min(x + side, size), min(y + side, size))
        marks.append(Outline(box=box, color=_CELL_COLOR, width=0.7))
        tile = None if permutation is None else permutation[cell]
        turn = None if turns is None else turns[cell]
        color = tile_color(cell if tile is None else tile, grid**2)
        if turn:
            marks.append(_turn_arrow((x + side / 2, y + side / 2), side, turn, color))
        if text := _tile_text(tile, turn):
            place = (x + _BADGE_PLACE * side, y + _BADGE_PLACE * side)
            marks.append(Badge(place=place, text=text, room=0.85 * side, color=color))
    return tuple(marks)


def _turn_arrow(middle: Point, side: int, turn: int, color: str) -> Arrow:
    reach = _TURN_LENGTH / 2 * side
    x, y = _UP[turn]
    return Arrow(
        start=(middle[0] - reach * x, middle[1] - reach * y),
        end=(middle[0] + reach * x, middle[1] + reach * y),
        color=color,
    )


def _tile_text(tile: int | None, turn: int | None) -> str:
    """Return the number and the turn; beside a number no turn is not told."""
    texts = [] if tile is None else [str(tile)]
    if turn is not None and (turn or tile is None):
        texts.append(f"↺{QUARTER_DEG * turn}°")
    return " ".join(texts)
