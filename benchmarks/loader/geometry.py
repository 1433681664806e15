"""Which part a side shows of pictures whose red is the column and whose green is the row."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.loader.draws import Drawer, Floats
from hmtl.data import Augmentation

_NONE = Augmentation()
_SIMULATED = 200_000
# Where a crop lies says something if it leaves room.
_ROOMY = 0.85


def check_crop(ramps: Drawer, augmentation: Augmentation) -> None:
    """Raise RuntimeError unless area, aspect and place of the crops are spread as they must be."""
    stages = ("margin", "area", "aspect", "off_centre")
    geometry = {stage: getattr(augmentation, stage) for stage in stages}
    (drawn,) = ramps.drawn(replace(_NONE, **geometry))
    found, expected = _crops(drawn), simulated_crops(augmentation)
    low, high = augmentation.area
    area = found["area"]
    if not (low - 0.03 <= area.min() and area.max() <= high + 0.03):
        ramps.fail(f"the crop's area must lie in {low, high}, is {area.min()} … {area.max()}")
    for name, values in expected.items():
        mean, deviation = float(values.mean()), float(values.std())
        ramps.check_moments(f"the crop's {name}", found[name], mean, deviation, 0.015)


def simulated_crops(augmentation: Augmentation) -> dict[str, Floats]:
    """Return what 200,000 crops of a square of side 1 are, drawn with NumPy."""
    rng = np.random.default_rng(0)
    area = rng.uniform(*augmentation.area, _SIMULATED)
    low, high = (np.clip(aspect, area, 1 / area) for aspect in augmentation.aspect)
    aspect = np.exp(rng.uniform(np.log(low), np.log(high)))
    width, height = np.sqrt(area * aspect), np.sqrt(area / aspect)
    places = [
        (1 - length) / 2
        + augmentation.off_centre * rng.uniform(-0.5, 0.5, _SIMULATED) * (1 - length)
        for length in (width, height)
    ]
    return _named(places[0], places[1], width, height)


def _crops(pictures: Floats) -> dict[str, Floats]:
    """Return what part of a square of side 1 each picture (M, S, S, 3) of the ramps shows."""
    left, width = _span(pictures[..., 0].mean(axis=1))
    top, height = _span(pictures[..., 1].mean(axis=2))
    return _named(left, top, width, height)


def _named(left: Floats, top: Floats, width: Floats, height: Floats) -> dict[str, Floats]:
    parts = {
        "area": width * height,
        "logarithm of width over height": np.log(width / height),
        "place from left to right": (left / (1 - width))[width < _ROOMY],
        "place from top to bottom": (top / (1 - height))[height < _ROOMY],
    }
    return {name: values.astype(np.float32) for name, values in parts.items()}


def _span(lines: Floats) -> tuple[Floats, Floats]:
    """Return from where on (M,) and how much of the ramp (M,) the lines (M, S) show."""
    size = lines.shape[1]
    # The ends, where resampling mirrors, are left out.
    inner = slice(2, size - 2)
    places = (np.arange(size) + 0.5) / size
    slope, start = np.polyfit(places[inner], lines[:, inner].T / 255, 1)
    return start, slope


def check_turn(ramps: Drawer, augmentation: Augmentation) -> None:
    """Raise RuntimeError unless all turns come equally often, the same for all views."""
    if not augmentation.turn:
        return
    views = ramps.drawn(replace(_NONE, turn=augmentation.turn), views=2)
    turns = [_turns(view) for view in views]
    if not np.array_equal(*turns):
        ramps.fail("both views of a sample must be turned alike")
    for quarters in range(4):
        probability = augmentation.turn / 4 + (1 - augmentation.turn) * (quarters == 0)
        ramps.check_share(f"a turn by {90 * quarters}°", turns[0] == quarters, probability)


def _turns(pictures: Floats) -> npt.NDArray[np.int64]:
    """Return by how many quarters (M,) pictures of the ramps are turned counter-clockwise."""
    red = pictures[..., 0]
    across = red[:, :, -1].mean(axis=1) - red[:, :, 0].mean(axis=1)
    down = red[:, -1].mean(axis=1) - red[:, 0].mean(axis=1)
    # Red points to the right, then up, to the left, down.
    angle = np.arctan2(-down, across)
    turns: npt.NDArray[np.int64] = np.rint(angle / (math.pi / 2)).astype(np.int64) % 4
    return turns
