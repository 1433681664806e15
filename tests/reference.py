"""Slow and obvious twins of the core's stages, in NumPy: the oracles of the tests.

They are written from the definitions, not from the core: loops over pixels, exact arithmetic, no
sharing of code with what they check.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

MASK = 0xFFFFFFFF


def philox4x32(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 after Salmon et al. 2011, in Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ k0,
            second & MASK,
            (first >> 32) ^ c3 ^ k1,
            first & MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


class Stream:
    """The numbers of one (seed, purpose, view, sample, epoch)."""

    PURPOSES = (
        "order",
        "crop",
        "mirror",
        "color",
        "filter",
        "cutout",
        "puzzled",
        "tiles",
        "turn",
        "noise",
        "noise-pixels",
    )

    def __init__(self, seed: int, purpose: str, view: int, sample: int, epoch: int) -> None:
        self._key = (seed & MASK, seed >> 32)
        self._rest = (self.PURPOSES.index(purpose) | view << 16, sample, epoch)
        self._block = 0
        self._words: list[int] = []

    def next(self) -> int:
        if not self._words:
            self._words = list(philox4x32((self._block, *self._rest), self._key))
            self._block += 1
        return self._words.pop(0)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((self.next() >> 8) / 2**24)

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def below(self, bound: int) -> int:
        """Reject the products whose low word falls into the short first interval."""
        while True:
            product = self.next() * bound
            if (product & MASK) >= 2**32 % bound:
                return product >> 32

    def shuffled(self, count: int) -> list[int]:
        numbers = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.below(i + 1)
            numbers[i], numbers[j] = numbers[j], numbers[i]
        return numbers


def round_half_away(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def axis_weights(begin: float, end: float, length: int, out: int) -> list[dict[int, int]]:
    """For each output sample: {input position: 14-bit weight}; positions may lie outside."""
    scale = (end - begin) / out
    support = max(1.0, scale)
    canvas = (min(0, math.floor(begin)), max(length, math.ceil(end)))
    rows = []
    for i in range(out):
        centre = begin + (i + 0.5) * scale
        positions = range(
            max(canvas[0], math.floor(centre - support + 0.5)),
            min(canvas[1], math.floor(centre + support + 0.5)),
        )
        exact = [max(0.0, 1.0 - abs(p + 0.5 - centre) / support) for p in positions]
        rounded = [round_half_away(w / sum(exact) * 2**14) for w in exact]
        rounded[rounded.index(max(rounded))] += 2**14 - sum(rounded)
        rows.append(dict(zip(positions, rounded, strict=True)))
    return rows


def crop_resize(
    image: Pixels, box: Sequence[float], size: tuple[int, int], border: int = 0
) -> Pixels:
    """Vertical pass, rounded to 8 bits, then horizontal; what lies outside is `border`."""

    def along_rows(source: npt.NDArray[np.int64], weights: list[dict[int, int]]) -> Any:
        out = np.zeros((len(weights), *source.shape[1:]), dtype=np.int64)
        for i, row in enumerate(weights):
            for position, weight in row.items():
                inside = 0 <= position < len(source)
                out[i] += weight * (source[position] if inside else border)
        return np.clip((out + 2**13) >> 14, 0, 255)

    x0, y0, x1, y1 = (float(np.float32(edge)) for edge in box)
    source = image.astype(np.int64)
    tall = along_rows(source, axis_weights(y0, y1, image.shape[0], size[0]))
    wide = along_rows(tall.swapaxes(0, 1), axis_weights(x0, x1, image.shape[1], size[1]))
    return wide.swapaxes(0, 1).astype(np.uint8)


def color_float(
    image: Pixels, brightness: float, contrast: float, saturation: float, hue: float, grey: bool
) -> npt.NDArray[np.float64]:
    """One step after the other in floats, without clipping in between."""
    values = image.astype(np.float64) * brightness
    values = (values - 128.0) * contrast + 128.0
    to_yiq = np.array(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    )
    y, i, q = np.moveaxis(values @ to_yiq.T, -1, 0)
    chroma = (i + 1j * q) * saturation * np.exp(-1j * np.deg2rad(hue))
    if saturation != 1.0 or hue != 0.0:
        values = np.stack([y, chroma.real, chroma.imag], axis=-1) @ np.linalg.inv(to_yiq).T
    if grey:
        luma = values @ np.array([0.299, 0.587, 0.114])
        values = np.repeat(luma[..., None], 3, axis=-1)
    return np.clip(values, 0, 255)


def apply_matrix(image: Pixels, matrix: npt.NDArray[np.int32]) -> Pixels:
    m = matrix.astype(np.int64)
    values = (image.astype(np.int64) @ m[:, :3].T + m[:, 3] + 2**11) >> 12
    return np.clip(values, 0, 255).astype(np.uint8)


def blur(image: Pixels) -> Pixels:
    padded = np.pad(image.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    total = np.zeros(image.shape, dtype=np.int64)
    for dy, wy in enumerate((1, 4, 6, 4, 1)):
        for dx, wx in enumerate((1, 4, 6, 4, 1)):
            total += wy * wx * padded[dy : dy + height, dx : dx + width]
    return ((total + 128) >> 8).astype(np.uint8)


def noise_scale(deviation: float) -> int:
    """15 bits after the point; 2·B - 255 of a byte has the variance (256² - 1) / 3."""
    return round_half_away(deviation * 255 * 2**15 / math.sqrt(8 * (256**2 - 1) / 3))


def add_noise(image: Pixels, scale: int, seed: int, view: int, sample: int, epoch: int) -> Pixels:
    """Blocks of 128 samples in memory order, each from the words of eight counters."""
    purpose = Stream.PURPOSES.index("noise-pixels")
    out = image.flatten().astype(np.int64)
    hadamard = [[(-1) ** bin(k & j).count("1") for j in range(8)] for k in range(8)]
    for start in range(0, len(out), 128):
        drawn = []
        for j in range(8):
            counter = (8 * (start // 128) + j, purpose | view << 16, sample, epoch)
            words = philox4x32(counter, (seed & MASK, seed >> 32))
            byte = b"".join(word.to_bytes(4, "little") for word in words)
            drawn.append([2 * b - 255 for b in byte])
        noise = (np.array(hadamard) @ np.array(drawn)).ravel()[: len(out) - start]
        out[start : start + 128] += (noise * scale + 2**14) >> 15
    return np.clip(out, 0, 255).astype(np.uint8).reshape(image.shape)


def tile(
    canvas: Pixels, grid: int, permutation: Sequence[int], turns: Sequence[int], size: int
) -> Pixels:
    """Cut, permute, turn and put together again, then cut off what exceeds `size`."""
    side = len(canvas) // grid
    tiles = [
        canvas[r * side : (r + 1) * side, c * side : (c + 1) * side]
        for r in range(grid)
        for c in range(grid)
    ]
    cells = [np.rot90(tiles[t], k) for t, k in zip(permutation, turns, strict=True)]
    rows = [np.concatenate(cells[r * grid : (r + 1) * grid], axis=1) for r in range(grid)]
    return np.concatenate(rows, axis=0)[:size, :size]


def untile(image: Pixels, grid: int, permutation: Sequence[int], turns: Sequence[int]) -> Pixels:
    """Undo `tile` where `grid` divides the image's side."""
    side = len(image) // grid
    canvas = np.zeros_like(image)
    for cell, (source, k) in enumerate(zip(permutation, turns, strict=True)):
        r, c = divmod(cell, grid)
        piece = np.rot90(image[r * side : (r + 1) * side, c * side : (c + 1) * side], -k)
        r, c = divmod(int(source), grid)
        canvas[r * side : (r + 1) * side, c * side : (c + 1) * side] = piece
    return canvas


def draw_tiles(stream: Stream, pretext: str, tiles: int) -> tuple[list[int], list[int]]:
    permutation, turns = list(range(tiles)), [0] * tiles
    if "puzzle" in pretext:
        permutation = stream.shuffled(tiles)
    if pretext == "rotation":
        turns = [stream.below(4) for _ in range(tiles)]
    if pretext == "puzzle-rotation":
        first, second = stream.below(tiles), stream.below(tiles - 1)
        second += second >= first
        turns[first] = stream.below(4)
        turns[second] = stream.below(4)
    return permutation, turns


def draw_crop(
    stream: Stream,
    augmentation: Any,
    fit: str,
    face: npt.NDArray[np.float32],
    box: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Margin, share of the area, aspect, and where the part lies; x0, y0, x1, y1."""
    margin = stream.uniform(*augmentation.margin)
    area = stream.uniform(*augmentation.area)
    fitting = [min(max(edge, area), 1 / area) for edge in augmentation.aspect]
    aspect = math.exp(stream.uniform(*map(math.log, fitting)))
    place = np.array([stream.uniform() - 0.5, stream.uniform() - 0.5])
    inner, outer = face.astype(np.float64), box.astype(np.float64)
    x0, y0, x1, y1 = inner + margin * (outer - inner)
    frame = np.array([x1 - x0, y1 - y0])
    if fit == "short-side":
        frame = np.array([frame.min()] * 2)
    half = frame * np.array([math.sqrt(area * aspect), math.sqrt(area / aspect)]) / 2
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    centre = centre + augmentation.off_centre * place * (frame - 2 * half)
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def draw_cutout(stream: Stream, augmentation: Any, size: int) -> tuple[int, int, int, int]:
    if not stream.chance(augmentation.cutout):
        return (0, 0, 0, 0)
    side = round_half_away(math.sqrt(stream.uniform(*augmentation.cutout_area)) * size)
    side = min(max(side, 1), size)
    left, top = stream.below(size - side + 1), stream.below(size - side + 1)
    return (left, top, left + side, top + side)


def draw_params(
    augmentation: Any,
    *,
    size: int,
    fit: str,
    pretext: str,
    grid: int,
    puzzled_fraction: float,
    seed: int,
    epoch: int,
    sample: int,
    view: int,
    face: npt.NDArray[np.float32],
    box: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """What is drawn for one view, as a dict; the colour as (b, c, s, h, grey)."""

    def stream(purpose: str, of_view: int = view) -> Stream:
        return Stream(seed, purpose, of_view, sample, epoch)

    turning = stream("turn", 0)
    turn = turning.below(4) if turning.chance(augmentation.turn) else 0

    color = stream("color")
    jitter = color.chance(augmentation.color)
    ranges = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    drawn = [color.uniform(*pair) for pair in (*ranges, augmentation.hue)]
    is_grey = color.chance(augmentation.grey)

    puzzled = pretext != "none" and stream("puzzled", 0).chance(puzzled_fraction)
    permutation, turns = list(range(grid**2)), [0] * grid**2
    if puzzled:
        permutation, turns = draw_tiles(stream("tiles"), pretext, grid**2)

    filters = stream("filter")
    is_blurred = filters.chance(augmentation.blur)
    is_small = filters.chance(augmentation.down_scale)
    share = filters.uniform(*augmentation.down_scale_to)
    if filters.chance(augmentation.blur_or_down_scale):
        is_blurred = filters.chance(0.5)
        is_small = not is_blurred
    canvas = grid * -(-size // grid) if puzzled else size

    noise = stream("noise")
    is_noisy = noise.chance(augmentation.noise)
    deviation = noise.uniform(*augmentation.noise_deviation)

    return {
        "turn": turn,
        "box": draw_crop(stream("crop"), augmentation, fit, face, box),
        "color": (*(drawn if jitter else (1.0, 1.0, 1.0, 0.0)), is_grey),
        "mirror": stream("mirror", 0).chance(augmentation.mirror),
        "blur": is_blurred,
        "down_scale": max(1, round_half_away(share * canvas)) if is_small else 0,
        "noise_scale": noise_scale(deviation) if is_noisy else 0,
        "cutout": draw_cutout(stream("cutout"), augmentation, size),
        "puzzled": puzzled,
        "permutation": permutation,
        "turns": turns,
    }
