"""Each stage of the core against its slow twin in `reference`."""

import colorsys

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hmtl import _core


def picture(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth shapes with noise on top, the way photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), dtype=np.uint8)
    smooth = np.stack(
        [
            np.asarray(Image.fromarray(coarse[..., c]).resize((width, height)))
            for c in range(channels)
        ],
        axis=-1,
    )
    noise = rng.integers(-20, 21, smooth.shape)
    return np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, words):
    assert tuple(_core.philox(counter=counter, key=key)) == words
    assert reference.philox4x32(counter, key) == words


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    channels=st.sampled_from([1, 3]),
    edges=st.tuples(*[st.floats(-0.5, 1.5, width=32) for _ in range(4)]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    border=st.sampled_from([0, 128]),
)
def test_crop_resize_equals_the_reference(seed, height, width, channels, edges, size, border):
    image = picture(seed, height, width, channels)
    x0, x1 = sorted(np.float32(edge * width) for edge in edges[:2])
    y0, y1 = sorted(np.float32(edge * height) for edge in edges[2:])
    box = (x0, y0, max(x1, x0 + np.float32(2)), max(y1, y0 + np.float32(2)))
    ours = _core.crop_resize(image=image, box=box, size=size, border=border)
    assert np.array_equal(ours, reference.crop_resize(image, box, size, border))


@pytest.mark.parametrize("box", [(3.25, 7.5, 61.0, 58.75), (0, 0, 70, 64), (20, 20, 31.5, 30.25)])
def test_crop_resize_is_within_one_level_of_pillow(box):
    image = picture(1, 64, 70)
    ours = _core.crop_resize(image=image, box=box, size=(24, 24))
    pillow = Image.fromarray(image).resize((24, 24), Image.Resampling.BILINEAR, box=box)
    assert np.abs(ours.astype(int) - np.asarray(pillow)).max() <= 1


def test_crop_outside_the_image_is_that_of_a_padded_image():
    image = picture(2, 50, 60)
    padded = np.pad(image, ((40, 40), (40, 40), (0, 0)))
    box = np.array([-20.5, -10.25, 70.0, 65.5])
    ours = _core.crop_resize(image=image, box=box, size=(33, 33))
    shifted = Image.fromarray(padded).resize(
        (33, 33), Image.Resampling.BILINEAR, box=tuple(box + 40)
    )
    assert np.abs(ours.astype(int) - np.asarray(shifted)).max() <= 1


def test_resize_to_the_same_size_copies_the_pixels():
    image = picture(3, 31, 47)
    assert np.array_equal(_core.crop_resize(image=image, box=(0, 0, 47, 31), size=(31, 47)), image)


def test_a_crop_far_outside_is_all_border():
    image = picture(4, 20, 20)
    far = _core.crop_resize(image=image, box=(500, 500, 520, 520), size=(8, 8), border=7)
    assert (far == 7).all()


def test_the_first_of_two_largest_weights_takes_what_rounding_loses():
    # At 6 samples for each, the two in the middle weigh the same and the sum is 2 too many.
    image = np.random.default_rng(1).integers(0, 256, (60, 600, 1), dtype=np.uint8)
    box, size = (0, 0, 600, 60), (10, 100)
    ours = _core.crop_resize(image=image, box=box, size=size)
    assert np.array_equal(ours, reference.crop_resize(image, box, size))


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (0, float("nan"), 5, 5)])
def test_an_empty_crop_is_refused(box):
    with pytest.raises(ValueError, match="a crop must have x0 < x1"):
        _core.crop_resize(image=picture(5, 20, 20), box=box, size=(8, 8))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    brightness=st.floats(0.5, 1.5),
    contrast=st.floats(0.5, 1.5),
    saturation=st.floats(0.0, 1.5),
    hue=st.floats(-180, 180),
    grey=st.booleans(),
)
def test_colour_is_within_two_levels_of_floats(seed, brightness, contrast, saturation, hue, grey):
    image = picture(seed, 12, 17)
    matrix = _core.color_matrix(
        brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, grey=grey
    )
    ours = _core.apply_color(image=image, matrix=matrix)
    assert np.array_equal(ours, reference.apply_matrix(image, matrix))
    exact = reference.color_float(image, brightness, contrast, saturation, hue, grey)
    assert np.abs(ours - exact).max() <= 1.0


def test_a_crop_beyond_all_measure_is_refused():
    with pytest.raises(ValueError, match="a crop may have 16384 pixels for each output pixel"):
        _core.crop_resize(image=picture(5, 20, 20), box=(-1e9, 0, 1e9, 20), size=(8, 8))


def test_neutral_colour_is_the_identity():
    assert np.array_equal(_core.color_matrix(), np.eye(3, 4, dtype=np.int32) << 12)


def test_colour_leaves_greys_grey():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    turned = _core.apply_color(image=ramp, matrix=_core.color_matrix(saturation=1.2, hue=100.0))
    assert np.abs(turned.astype(int) - ramp).max() <= 1


def test_hue_turns_red_to_yellow_and_on_to_green():
    red = np.array([[[200, 60, 60]]], dtype=np.uint8)
    hues = []
    for degrees in (0, 60, 120, 240):
        matrix = _core.color_matrix(hue=degrees)
        r, g, b = _core.apply_color(image=red, matrix=matrix)[0, 0] / 255
        hues.append(colorsys.rgb_to_hsv(r, g, b)[0] * 360)
    assert np.allclose(hues, [0, 60, 120, 240], atol=20)


def test_ycc_planes_convert_as_pillow_converts_them():
    ycc = picture(6, 40, 30)
    planes = [np.ascontiguousarray(ycc[..., c]) for c in range(3)]
    ours = _core.apply_color_ycc(
        y=planes[0], cb=planes[1], cr=planes[2], matrix=_core.color_matrix()
    )
    merged = Image.merge("YCbCr", [Image.fromarray(plane) for plane in planes])
    pillow = np.asarray(merged.convert("RGB"))
    assert np.abs(ours.astype(int) - pillow).max() <= 1


@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (37, 29)])
def test_blur_equals_the_reference(shape):
    image = picture(7, *shape)
    assert np.array_equal(_core.blur(image=image), reference.blur(image))


def test_down_scale_equals_two_resizes():
    image = picture(8, 45, 45)
    small = reference.crop_resize(image, (0, 0, 45, 45), (17, 17))
    back = reference.crop_resize(small, (0, 0, 17, 17), (45, 45))
    assert np.array_equal(_core.down_scale(image=image, side=17), back)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), grid=st.integers(2, 5), size=st.integers(20, 47))
def test_tile_equals_the_reference_and_returns_its_labels(data, grid, size):
    side = -(-size // grid)
    canvas = picture(9, grid * side, grid * side)
    permutation = data.draw(st.permutations(range(grid**2)))
    turns = data.draw(st.lists(st.integers(0, 3), min_size=grid**2, max_size=grid**2))
    image, permutation_label, turns_label = _core.tile(
        canvas=canvas, grid=grid, permutation=permutation, turns=turns, size=size
    )
    assert np.array_equal(image, reference.tile(canvas, grid, permutation, turns, size))
    assert permutation_label.tolist() == permutation
    assert turns_label.tolist() == turns
    if size % grid == 0:
        assert np.array_equal(reference.untile(image, grid, permutation, turns), canvas)


def test_a_turn_is_counter_clockwise():
    canvas = np.zeros((4, 4, 3), dtype=np.uint8)
    canvas[0, 1] = 255  # top right of tile 0
    turned, _, _ = _core.tile(
        canvas=canvas, grid=2, permutation=[0, 1, 2, 3], turns=[1, 0, 0, 0], size=4
    )
    assert turned[0, 0].tolist() == [255, 255, 255]
    assert turned.sum() == 3 * 255


def test_tile_refuses_a_canvas_of_the_wrong_side():
    with pytest.raises(ValueError, match="has side 225, got 224 × 224"):
        _core.tile(
            canvas=picture(10, 224, 224), grid=3, permutation=range(9), turns=[0] * 9, size=224
        )


def test_mirror_reverses_rows():
    image = picture(11, 6, 9)
    assert np.array_equal(_core.mirror(image=image), image[:, ::-1])


def test_cutout_fills_its_rectangle_and_nothing_else():
    image = picture(12, 20, 20)
    expected = image.copy()
    expected[3:9, 5:16] = (124, 116, 104)
    assert np.array_equal(_core.cutout(image=image, rect=(5, 3, 16, 9)), expected)
    assert np.array_equal(_core.cutout(image=image, rect=(0, 0, 0, 0)), image)
    with pytest.raises(ValueError, match="must lie inside"):
        _core.cutout(image=image, rect=(5, 3, 21, 9))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
def test_normalize_is_the_formula_to_the_last_bit(count):
    rgb = picture(13, 10, 10).reshape(-1, 3)[:count]
    out = np.empty(rgb.shape, dtype=np.float32)
    _core.normalize(rgb=rgb, out=out)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scale = (1 / (255 * deviation)).astype(np.float32)
    offset = (-mean / deviation).astype(np.float32)
    assert np.array_equal(out, rgb.astype(np.float32) * scale + offset)
    assert np.allclose(out, (rgb / 255 - mean) / deviation, atol=1e-6)
