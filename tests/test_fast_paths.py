"""Kernels written for vector instructions give the bytes of their plain twins."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hypothesis import given, settings
from hypothesis import strategies as st

from hmtl import _core
from hmtl.data import Augmentation, Loader, open_dataset

Make = Callable[[], np.ndarray]

SIDES = st.one_of(st.integers(1, 40), st.integers(60, 300))
SEEDS = st.integers(0, 2**31)
MATRICES = st.builds(
    _core.color_matrix,
    brightness=st.floats(0.0, 2.0),
    contrast=st.floats(0.0, 2.0),
    saturation=st.floats(0.0, 2.0),
    hue=st.floats(-180.0, 180.0),
    grey=st.booleans(),
)


@contextmanager
def kernels(most: str) -> Iterator[None]:
    _core.limit_kernels(most=most)
    try:
        yield
    finally:
        _core.limit_kernels(most="wide")


def assert_same_bytes(make: Make) -> None:
    """Hold the widest kernels that the processor has, and those of AVX2, against the plain ones."""
    with kernels("plain"):
        plain = make()
    for most in ("avx2", "wide"):
        with kernels(most):
            assert np.array_equal(make(), plain), most


def pixels(seed: int, *shape: int) -> np.ndarray:
    """Noise between the extremes, and runs of 0 and 255, which give the largest sums."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    runs = rng.integers(0, 2, (*shape[:-1], 1), dtype=np.uint8) * np.uint8(255)
    return np.where(rng.random(shape) < 0.7, noise, runs).astype(np.uint8)


@st.composite
def boxes(draw: st.DrawFn, height: int, width: int) -> tuple[float, ...]:
    """Rectangles inside the image, across its border, outside it, and of a pixel's size."""

    def axis(length: int) -> tuple[float, float]:
        low, high = sorted(draw(st.floats(-0.5, 1.5, width=32)) * length for _ in range(2))
        return low, max(high, low + draw(st.floats(0.25, 4.0, width=32)))

    (x0, x1), (y0, y1) = axis(width), axis(height)
    return x0, y0, x1, y1


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=SEEDS, height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES))
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_resize_gives_the_plain_bytes(channels, data, seed, height, width, size):
    image = pixels(seed, height, width, channels)
    box = data.draw(boxes(height, width))
    border = data.draw(st.sampled_from([0, 128, 255]))
    assert_same_bytes(lambda: _core.crop_resize(image=image, box=box, size=size, border=border))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pixels_per_output", [0.1, 0.99, 1, 1.32, 1.34, 2, 4.6, 4.7, 9, 40])
def test_crop_resize_gives_the_plain_bytes_at_every_reach(channels, pixels_per_output):
    size = (3, 70)
    width = round(70 * pixels_per_output) + 9
    image = pixels(7, 50, width, channels)
    box = (4.3, 5.2, 4.3 + 70 * pixels_per_output, 40.1)
    assert_same_bytes(lambda: _core.crop_resize(image=image, box=box, size=size))


@pytest.mark.parametrize("shape", [(128_000, 40), (40, 128_000)])
def test_sums_are_clipped_where_rounding_makes_a_weight_negative(shape):
    image = np.zeros((*shape, 1), dtype=np.uint8)
    image[0 if shape[0] > shape[1] else slice(None), : 1 if shape[1] > shape[0] else None] = 255
    size = tuple(8 if side > 40 else 40 for side in shape)
    box = (0, 0, shape[1], shape[0])
    assert_same_bytes(lambda: _core.crop_resize(image=image, box=box, size=size))
    assert _core.crop_resize(image=image, box=box, size=size).max() == 0


@settings(max_examples=100, deadline=None)
@given(data=st.data(), seed=SEEDS, height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES))
@pytest.mark.parametrize("chroma", [(1, 1), (1, 2), (2, 2)])
def test_planes_develop_as_stage_by_stage(chroma, data, seed, height, width, size):
    small = (-(-height // chroma[0]), -(-width // chroma[1]))
    planes = [pixels(seed, height, width), pixels(seed + 1, *small), pixels(seed + 2, *small)]
    box, matrix = data.draw(boxes(height, width)), data.draw(MATRICES)
    mirrored = data.draw(st.booleans())

    def develop() -> np.ndarray:
        return _core.develop(planes=planes, box=box, size=size, matrix=matrix, mirrored=mirrored)

    assert_same_bytes(develop)
    halves = [np.float32(0.5 if small[axis] < (height, width)[axis] else 1.0) for axis in (1, 0)]
    on_chroma = tuple(np.float32(edge) * halves[i % 2] for i, edge in enumerate(box))
    y = _core.crop_resize(image=planes[0], box=box, size=size)
    cb, cr = (
        _core.crop_resize(image=plane, box=on_chroma, size=size, border=128) for plane in planes[1:]
    )
    one_by_one = _core.apply_color_ycc(y=y[..., 0], cb=cb[..., 0], cr=cr[..., 0], matrix=matrix)
    assert np.array_equal(develop(), one_by_one[:, ::-1] if mirrored else one_by_one)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), seed=SEEDS, height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES))
def test_rgb_develops_as_stage_by_stage(data, seed, height, width, size):
    image = pixels(seed, height, width, 3)
    box, mirrored = data.draw(boxes(height, width)), data.draw(st.booleans())
    contrast = st.builds(_core.color_matrix, contrast=st.floats(0.0, 2.0))
    matrix = data.draw(st.one_of(MATRICES, contrast, st.just(_core.color_matrix())))

    def develop() -> np.ndarray:
        return _core.develop(planes=[image], box=box, size=size, matrix=matrix, mirrored=mirrored)

    assert_same_bytes(develop)
    resized = _core.crop_resize(image=image, box=box, size=size)
    one_by_one = _core.apply_color(image=resized, matrix=matrix)
    assert np.array_equal(develop(), one_by_one[:, ::-1] if mirrored else one_by_one)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=SEEDS, height=st.integers(1, 4), width=SIDES)
def test_colour_gives_the_plain_bytes(data, seed, height, width):
    # Up to 16 and beyond the 8 that 16 bits hold; the offset is that of 128 · 16 levels.
    factors = st.one_of(
        st.integers(-(2**16), 2**16), st.sampled_from([-32769, -32768, -32767, 32767, 32768])
    )
    rows = [[*(data.draw(factors) for _ in range(3)), data.draw(st.integers(-(2**23), 2**23))]]
    rows += [[data.draw(factors), 0, -4096, 4096], [4096, 0, 0, 0]]
    matrix = np.array(rows, dtype=np.int32)
    image = pixels(seed, height, width, 3)
    y, cb, cr = (np.ascontiguousarray(image[..., c]) for c in range(3))
    assert_same_bytes(lambda: _core.apply_color(image=image, matrix=matrix))
    assert_same_bytes(lambda: _core.apply_color_ycc(y=y, cb=cb, cr=cr, matrix=matrix))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), seed=SEEDS, side=SIDES)
def test_down_scale_gives_the_plain_bytes(data, seed, side):
    image = pixels(seed, side, side, 3)
    small = data.draw(st.integers(1, side))
    assert_same_bytes(lambda: _core.down_scale(image=image, side=small))


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, height=st.integers(3, 40), width=SIDES.map(lambda side: side + 2))
def test_blur_gives_the_plain_bytes(seed, height, width):
    image = pixels(seed, height, width, 3)
    assert_same_bytes(lambda: _core.blur(image=image))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=SEEDS, height=st.integers(1, 9), width=SIDES)
def test_arrays_with_blue_first_are_turned_round(data, seed, height, width):
    bgr = pixels(seed, height, width, 3)
    left = data.draw(st.integers(0, width - 1))

    def decode() -> np.ndarray:
        region = (left, 0, width, height)
        picture = _core.decode(
            bgr.tobytes(), 2, "array", height=height, width=width, region=region, margin=0
        )
        return picture["planes"][0]["pixels"]

    assert_same_bytes(decode)
    assert np.array_equal(decode(), bgr[:, left:, ::-1])


@pytest.mark.parametrize("decode", ["planes", "rgb"])
def test_batches_have_the_plain_bytes(tmp_path, decode):
    dataset = open_dataset(write_300w_lp(tmp_path, count=8, subjects=4, size=150))
    everything = Augmentation(
        margin=(0.5, 2.0), mirror=0.5, brightness=(0.6, 1.4), hue=(-36, 36), grey=0.3, blur=0.5,
        down_scale=0.5, down_scale_to=(0.3, 0.5), cutout=0.5, cutout_area=(0.02, 0.1),
        turn=0.5, noise=0.5, noise_deviation=(0.02, 0.1),
    )  # fmt: skip

    def render() -> np.ndarray:
        loader = Loader(dataset, batch_size=8, size=64, augmentation=everything, decode=decode)
        return next(iter(loader)).images.numpy()

    assert_same_bytes(render)
