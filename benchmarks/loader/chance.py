"""Whether a side draws what it is asked to: each stage by itself, many times, told by its pixels.

Nobody saves time by leaving something out: how often a stage comes, how strong it is and how that
is spread must be what the augmentation says.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.loader.draws import Drawer, Floats, correlations
from benchmarks.loader.geometry import check_crop, check_turn
from benchmarks.loader.work import MEAN_COLOR
from hmtl.data import Augmentation

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_NONE = Augmentation()
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
# Grey levels that rounding leaves.
_UNCHANGED = 2
# How far from the blur a blurred picture may be, beside how far it is from the plain one: the
# kernels of a Gaussian of deviation 1 and of the binomial differ.
_SAME_BLUR = 0.15


def check_chance(photos: Drawer, ramps: Drawer, augmentation: Augmentation) -> None:
    """Raise RuntimeError unless a side draws every stage of this augmentation.

    `photos` renders pictures of faces, `ramps` those whose red is the column and green the row.
    """
    check_crop(ramps, augmentation)
    check_turn(ramps, augmentation)
    for check in (_check_color, _check_grey, _check_filters, _check_noise, _check_cutout):
        check(photos, augmentation)


def changed(plain: Floats, drawn: Floats) -> npt.NDArray[np.bool_]:
    """Return which pictures (M,) are not as they were."""
    return np.abs(drawn - plain).max(axis=(1, 2, 3)) > _UNCHANGED


def _check_color(side: Drawer, augmentation: Augmentation) -> None:
    for name in ("brightness", "contrast", "saturation"):
        limits = getattr(augmentation, name)
        if limits == getattr(_NONE, name):
            continue
        plain, drawn = side.pairs(replace(_NONE, **{name: limits}))
        side.check_uniform(name, _slopes(plain, drawn, name == "saturation"), limits, 0.015, 0.06)
    if augmentation.hue != _NONE.hue:
        plain, drawn = side.pairs(replace(_NONE, hue=augmentation.hue))
        # The planes in which the libraries turn colours are not quite the same.
        side.check_uniform("hue", _hue_turns(plain, drawn), augmentation.hue, 6.0, 18.0)
    if augmentation.color < 1:
        plain, drawn = side.pairs(replace(_NONE, color=augmentation.color, brightness=(1.4, 1.4)))
        side.check_share("colour", changed(plain, drawn), augmentation.color)


def _slopes(plain: Floats, drawn: Floats, of_colors: bool) -> Floats:
    """Return by which factor (M,) each picture is steeper, or its colours are."""
    slopes = []
    # Where no channel is cut off, which might change the others.
    is_inside = (np.minimum(plain, drawn) > 2) & (np.maximum(plain, drawn) < 253)
    for before, after, inside in zip(plain, drawn, is_inside.all(axis=-1), strict=True):
        x, y = before[inside], after[inside]
        if of_colors:
            x, y = (pixels - (pixels @ _LUMA)[:, None] for pixels in (x, y))
        x, y = x.ravel(), y.ravel()
        slopes.append(np.cov(x, y)[0, 1] / x.var())
    return np.array(slopes, dtype=np.float32)


def _hue_turns(plain: Floats, drawn: Floats) -> Floats:
    """Return by how many degrees (M,) each picture's colours are turned about the grey axis."""

    def chroma(pixels: Floats) -> npt.NDArray[np.complex64]:
        red, green, blue = np.moveaxis(pixels, -1, 0)
        return red - (green + blue) / 2 + 1j * np.sqrt(0.75) * (green - blue)

    turned = (chroma(drawn) * chroma(plain).conj()).sum(axis=(1, 2))
    return np.rad2deg(np.angle(turned)).astype(np.float32)


def _check_grey(side: Drawer, augmentation: Augmentation) -> None:
    if augmentation.grey:
        _, drawn = side.pairs(replace(_NONE, grey=augmentation.grey))
        is_grey = np.ptp(drawn, axis=-1).max(axis=(1, 2)) <= _UNCHANGED
        side.check_share("grey", is_grey, augmentation.grey)


def _check_filters(side: Drawer, augmentation: Augmentation) -> None:
    to = {"down_scale_to": augmentation.down_scale_to}
    if augmentation.blur:
        plain, drawn = side.pairs(replace(_NONE, blur=augmentation.blur))
        _check_filter(side, "blur", plain, drawn, augmentation.blur, blurred=1.0)
    if augmentation.down_scale:
        plain, drawn = side.pairs(replace(_NONE, down_scale=augmentation.down_scale, **to))
        _check_filter(side, "down-scale", plain, drawn, augmentation.down_scale, blurred=0.0)
    if augmentation.blur_or_down_scale:
        one = {"blur_or_down_scale": augmentation.blur_or_down_scale}
        plain, drawn = side.pairs(replace(_NONE, **one, **to))
        share = augmentation.blur_or_down_scale
        _check_filter(side, "blur or down-scale", plain, drawn, share, blurred=0.5)


def _check_filter(
    side: Drawer, what: str, plain: Floats, drawn: Floats, probability: float, *, blurred: float
) -> None:
    """Raise RuntimeError unless so many are filtered, and of these so many are blurred."""
    hits = changed(plain, drawn)
    side.check_share(what, hits, probability)
    before, after = plain[hits], drawn[hits]
    away = np.abs(after - blur(before)).mean(axis=(1, 2, 3))
    is_blur = away < _SAME_BLUR * np.abs(after - before).mean(axis=(1, 2, 3))
    side.check_share(f"blur among {what}", is_blur, blurred)
    rest = ~is_blur
    if rest.any() and not np.all(_roughness(after[rest]) < 0.6 * _roughness(before[rest])):
        side.fail(f"{what} must take the details away")


def blur(pictures: Floats) -> Floats:
    """Return pictures under the kernel 1 4 6 4 1 in both directions; edges are mirrored."""
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (2, 2)
        padded = np.pad(pictures, pad, mode="reflect")
        length = pictures.shape[axis]
        parts = [np.take(padded, range(k, k + length), axis) for k in range(5)]
        pictures = sum(weight * part for weight, part in zip(_BINOMIAL, parts, strict=True))
    return pictures.astype(np.float32)


def _roughness(pictures: Floats) -> Floats:
    """Return how much (M,) neighbours differ beyond a slope."""
    return np.abs(np.diff(pictures, 2, axis=2)).mean(axis=(1, 2, 3))


def _check_noise(side: Drawer, augmentation: Augmentation) -> None:
    if not augmentation.noise:
        return
    deviation = augmentation.noise_deviation
    plain, drawn = side.pairs(replace(_NONE, noise=augmentation.noise, noise_deviation=deviation))
    hits = changed(plain, drawn)
    side.check_share("noise", hits, augmentation.noise)
    noise, plain = (drawn - plain)[hits], plain[hits]
    low, high = (255 * limit for limit in deviation)
    inside = (plain > 4 * high) & (plain < 255 - 4 * high)
    found, mean = float(noise[inside].std()), float(noise[inside].mean())
    if not (0.94 * low <= found <= 1.06 * high and abs(mean) < 0.3):
        side.fail(f"noise must be 0 ± {low:g} … {high:g} levels, is {mean:.2f} ± {found:.2f}")
    clean = np.where(inside, noise, 0)
    neighbours = {
        "channels": (clean[..., 0], clean[..., 1]),
        "columns": (clean[:, :, 1:], clean[:, :, :-1]),
        "rows": (clean[:, 1:], clean[:, :-1]),
        "pictures": (clean[1:], clean[:-1]),
    }
    for name, (one, other) in neighbours.items():
        if abs(correlations(one, other)) > 0.02:
            side.fail(f"the noise of neighbouring {name} must not depend on each other")


def _check_cutout(side: Drawer, augmentation: Augmentation) -> None:
    if not augmentation.cutout:
        return
    area = augmentation.cutout_area
    plain, drawn = side.pairs(replace(_NONE, cutout=augmentation.cutout, cutout_area=area))
    color = np.array(MEAN_COLOR, dtype=np.float32)
    hidden = (np.abs(drawn - color) <= 1).all(axis=-1) & (np.abs(drawn - plain) > 1).any(axis=-1)
    areas = hidden.mean(axis=(1, 2))
    hits = changed(plain, drawn)
    side.check_share("cutout", hits, augmentation.cutout)
    side.check_uniform("the cutout's area", areas[hits].astype(np.float32), area, 0.006, 0.012)
