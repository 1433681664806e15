"""What was drawn for a sample, in words: every field of the core's params by itself."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.augmentation import Augmentation
from hmtl.data.preview import noise_deviation

QUARTER_DEG = 90
# Of the colour matrix, fixed point.
_ONE = 4096
_ROWS_OF_A_LINE = 3
# What the pictures show by themselves, what noise is made of, and what comes after the puzzle.
_NOT_TOLD = frozenset({"permutation", "turns", "puzzled", "noise", "cutout"})


def pose_texts(pose: npt.NDArray[np.float32]) -> list[str]:
    """Return the angles that are known, in degrees."""
    angles = zip(("yaw", "pitch", "roll"), pose, strict=True)
    return [f"{name} {value:+.1f}°" for name, value in angles if not np.isnan(value)]


def pose_text(pose: npt.NDArray[np.float32]) -> str:
    """Return the same in fewer letters."""
    return " ".join(["pose", *(f"{value:+.1f}°" for value in pose if not np.isnan(value))])


def params_lines(params: np.void) -> list[str]:
    """Return what was drawn for one view, a line for each stage that does something, in order.

    The cutout is left out: it is made in the input, after the puzzle; see `cutout_lines`.
    """
    stages = [field.name for field in fields(Augmentation)]
    names = [name for name in params.dtype.names or () if name not in _NOT_TOLD]
    stages[stages.index("noise")] = "noise_scale"
    names.sort(key=lambda name: stages.index(name) if name in stages else -1)
    return [line for name in names for line in _lines(name, params[name])]


def _lines(name: str, value: Any) -> list[str]:
    if name in _WORDS:
        return _WORDS[name](value)
    numbers = _flat(value)
    return [" ".join([name.replace("_", " "), *numbers])] if any(map(float, numbers)) else []


def _flat(value: Any) -> list[str]:
    """Return the numbers of a field, however it is made up."""
    if isinstance(value, np.void):
        return [number for name in value.dtype.names or () for number in _flat(value[name])]
    return [f"{number:g}" for number in np.ravel(value)]


def box_text(name: str, box: Any) -> str:
    """Return the size of a rectangle (x0, y0, x1, y1) and where its upper left corner is."""
    x0, y0, x1, y1 = box
    return f"{name} {x1 - x0:.0f} × {y1 - y0:.0f} at {x0:.0f}, {y0:.0f}"


def _crop(value: Any) -> list[str]:
    return [box_text("crop", value)]


def cutout_lines(params: np.void) -> list[str]:
    """Return where the cutout of one view is, in its input."""
    x0, _, x1, _ = params["cutout"]
    return [box_text("cutout", params["cutout"])] if x0 < x1 else []


def _color(value: Any) -> list[str]:
    matrix = np.asarray(value["m"]) / _ONE
    factors, offsets = matrix[:, :3], matrix[:, 3]
    factor, offset = factors[0, 0], offsets[0]
    if np.array_equal(factors, factor * np.eye(3)) and (offsets == offset).all():
        return [] if (factor, offset) == (1.0, 0.0) else [f"colour × {factor:.2f} {offset:+.0f}"]
    rows = zip("RGB", matrix, strict=True)
    return [
        f"{name} = {row[0]:.2f} R {row[1]:+.2f} G {row[2]:+.2f} B {row[3]:+.0f}"
        for name, row in rows
    ]


def _flag(word: str) -> Callable[[Any], list[str]]:
    return lambda value: [word] if value else []


def _down_scale(value: Any) -> list[str]:
    return [f"down-scale to {value} px"] if value else []


def _turn(value: Any) -> list[str]:
    return [f"turn ↺{QUARTER_DEG * int(value)}°"] if value else []


def _noise(value: Any) -> list[str]:
    return [f"noise of {noise_deviation(int(value)):.1f} grey levels"] if value else []


_WORDS: dict[str, Callable[[Any], list[str]]] = {
    "turn": _turn,
    "box": _crop,
    "color": _color,
    "down_scale": _down_scale,
    "noise_scale": _noise,
    "mirror": _flag("mirror"),
    "blur": _flag("blur"),
}


def label_lines(
    grid: int, permutation: npt.NDArray[Any] | None, turns: npt.NDArray[Any] | None
) -> list[str]:
    """Return the labels of a puzzle (T,) as a batch holds them, by the rows of its cells."""
    lines = []
    for name, values in (("permutation", permutation), ("turns", turns)):
        if values is None:
            continue
        rows = [" ".join(map(str, row)) for row in values.reshape(grid, grid)]
        lines += [f"{name} {' | '.join(rows)}"] if grid <= _ROWS_OF_A_LINE else [name, *rows]
    return lines
