"""Augmentations drawn by Hypothesis, and the settings of the core's draws."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from golden import generate
from hypothesis import Phase
from hypothesis import strategies as st

from hmtl import _core
from hmtl.data import Augmentation

FITS = {"short-side": 0, "stretch": 1}
PRETEXTS = {"none": 0, "puzzle": 1, "rotation": 2, "puzzle-rotation": 3}

UNSHRUNK = (Phase.explicit, Phase.generate)
"""For tests of everything at once: to make their examples smaller takes minutes."""

EVERYTHING = replace(
    generate.EVERYTHING,
    turn=0.8,
    aspect=(0.7, 1.5),
    off_centre=0.8,
    noise=0.7,
    noise_deviation=(0.02, 0.1),
)


def ranges(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    ends = st.tuples(st.floats(low, high), st.floats(low, high))
    return ends.map(lambda pair: (min(pair), max(pair)))


@st.composite
def augmentations(draw: st.DrawFn) -> Augmentation:
    """Draw any augmentation whose crops keep some pixels; probabilities are often 0 or 1."""
    share = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
    shares = {
        name: draw(share)
        for name in ("turn", "off_centre", "mirror", "color", "grey", "noise", "cutout")
    }
    if draw(st.booleans()):
        shares |= {"blur_or_down_scale": draw(share)}
    else:
        shares |= {"blur": draw(share), "down_scale": draw(share)}
    limits = {
        "margin": (0.2, 2.0),
        "area": (0.1, 1.0),
        "aspect": (0.3, 3.0),
        "brightness": (0.0, 2.0),
        "contrast": (0.0, 2.0),
        "saturation": (0.0, 2.0),
        "hue": (-180.0, 180.0),
        "down_scale_to": (0.1, 1.0),
        "noise_deviation": (0.0, 0.3),
        "cutout_area": (0.0, 1.0),
    }
    return Augmentation(**shares, **{name: draw(ranges(*limit)) for name, limit in limits.items()})


def faces(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return faces (N, 4) of many shapes, and boxes with another margin on each side."""
    face = np.random.default_rng(3).uniform(50, 100, (count, 4)).astype(np.float32)
    face[:, 2:] += 100
    return face, face + np.array([-30, -60, 30, 20], dtype=np.float32)


def draw_params(
    augmentation: Augmentation,
    *,
    samples: npt.ArrayLike,
    views: int = 1,
    fit: str = "short-side",
    pretext: str = "puzzle",
    grid: int = 3,
    size: int = 224,
    puzzled_fraction: float = 1.0,
    seed: int = 7,
    epoch: int = 2,
) -> npt.NDArray[Any]:
    """Return what the core draws for samples with `faces`, a structured array (N, V)."""
    ids = np.asarray(samples, dtype=np.int64)
    face, box = faces(len(ids))
    settings = _core.DrawSettings(
        augmentation=augmentation.to_core(),
        fit=FITS[fit],
        pretext=PRETEXTS[pretext],
        grid=grid,
        size=size,
        puzzled_fraction=puzzled_fraction,
    )
    return _core.draw_params(
        settings=settings,
        seed=seed,
        epoch=epoch,
        samples=ids,
        views=views,
        face=face,
        box=box,
    )
