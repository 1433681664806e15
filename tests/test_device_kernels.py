"""The kernels for devices, run on the host, against the stages of the core and slow references."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from augmentations import PRETEXTS, UNSHRUNK, augmentations, draw_params
from hypothesis import given, settings
from hypothesis import strategies as st

from hmtl import _core
from hmtl.data import Augmentation, normalize
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.columns import EXTENT_DTYPE, Codec

Pictures = list[np.ndarray]


def pictures(seed: int, *sides: tuple[int, int]) -> Pictures:
    """Noise between the extremes and smooth parts."""
    rng = np.random.default_rng(seed)
    found = []
    for height, width in sides:
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        smooth = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        found.append(np.where(rng.random((height, width, 1)) < 0.3, noise, smooth))
    return found


def sources_of(images: Pictures) -> np.ndarray:
    """Return whole pictures as DECODED_SOURCE."""
    sources = np.zeros(len(images), _core.DECODED_SOURCE)
    for source, image in zip(sources, images, strict=True):
        height, width = image.shape[:2]
        source["pixels"], source["stride"] = image.ctypes.data, image.strides[0]
        source["height"], source["width"] = height, width
        source["full_height"], source["full_width"] = height, width
    sources["denominator"] = 1
    return sources


def on_host(
    sources: np.ndarray,
    params: np.ndarray,
    *,
    size: int,
    grid: int,
    valid: np.ndarray | None = None,
    backwards: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images (V, N, S, S, 3) and both labels (N, V, T) of the kernels."""
    count, views = params.shape
    images = np.full((views, count, size, size, 3), 77, np.uint8)
    labels = np.full((2, count, views, grid * grid), -9, np.int64)
    plan = _core.DevicePlan(
        sources=sources,
        params=params,
        valid=np.ones(count, np.bool_) if valid is None else valid,
        size=size,
        grid=grid,
    )
    plan.render_on_host(
        images=list(images), permutation=labels[0], turns=labels[1], backwards=backwards
    )
    return images, labels[0], labels[1]


def by_the_core(
    images: Pictures, params: np.ndarray, folder: Path, *, size: int, grid: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same from the stages of the core, which read the pictures as they are."""
    count, views = params.shape
    path = folder / "pictures.raw"
    path.write_bytes(b"".join(image.tobytes() for image in images))
    extent = np.zeros(count, EXTENT_DTYPE)
    extent["codec"], extent["row"] = Codec.RGB, np.arange(count)
    extent["size"] = [image.size for image in images]
    extent["offset"] = np.cumsum(extent["size"]) - extent["size"]
    extent["height"] = [image.shape[0] for image in images]
    extent["width"] = [image.shape[1] for image in images]
    rendered = np.zeros((views, count, size, size, 3), np.uint8)
    labels = np.zeros((2, count, views, grid * grid), np.int64)
    renderer = _core.BatchRenderer([bytes(path)], 1)
    ticket = renderer.submit(
        extent=extent, params=params, images=list(rendered), permutation=labels[0],
        turns=labels[1], pose=np.zeros((count, 3), np.float32),
        settings=_core.RenderSettings(
            size=size, grid=grid, planes=False, ignore_exif=False, max_pixels=10**8
        ),
    )  # fmt: skip
    bad, _, _ = renderer.wait(ticket)
    renderer.close()
    assert bad == []
    return rendered, labels[0], labels[1]


def assert_same(found: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


SIDES = [(150, 210), (263, 120), (190, 190), (101, 333)]


@settings(max_examples=60, deadline=None, phases=UNSHRUNK)
@given(
    augmentation=augmentations(),
    pretext=st.sampled_from(sorted(PRETEXTS)),
    grid=st.integers(2, 4),
    size=st.integers(16, 70),
    views=st.integers(1, 2),
    fraction=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**40),
    backwards=st.booleans(),
)
def test_kernels_render_what_the_core_renders(
    tmp_path_factory, augmentation, pretext, grid, size, views, fraction, seed, backwards
):
    grid = 1 if pretext == "none" else grid
    images = pictures(seed % 1000, *SIDES)
    params = draw_params(
        augmentation, samples=range(len(images)), views=views, pretext=pretext, grid=grid,
        size=size, puzzled_fraction=fraction, seed=seed,
    )  # fmt: skip
    found = on_host(sources_of(images), params, size=size, grid=grid, backwards=backwards)
    folder = tmp_path_factory.mktemp("raw")
    assert_same(found, by_the_core(images, params, folder, size=size, grid=grid))


@pytest.mark.parametrize("name", ["none", "level1", "level2", "xgaze", "xgaze-heavy", "barlow"])
def test_presets_are_rendered_at_the_size_of_a_network(tmp_path, name):
    images = pictures(1, (450, 450), (224, 224), (260, 310))
    options = {"size": 224, "grid": 3}
    params = draw_params(resolve_augmentation(name), samples=range(3), views=2, **options)
    expected = by_the_core(images, params, tmp_path, **options)
    for backwards in (False, True):
        found = on_host(sources_of(images), params, backwards=backwards, **options)
        assert_same(found, expected)


@pytest.mark.parametrize("turn", range(4))
def test_a_part_is_enough_where_it_holds_what_the_crop_needs(tmp_path, turn):
    """What is not held lies in memory that the kernels must not read: sanitizers watch it."""
    images = pictures(2, (200, 300), (310, 240))
    params = draw_params(Augmentation(area=(0.3, 0.6)), samples=range(2), size=50)
    params["turn"] = turn
    expected = by_the_core(images, params, tmp_path, size=50, grid=3)
    sources, parts = sources_of(images), []
    for source, image, drawn in zip(sources, images, params[:, 0], strict=True):
        box = [float(drawn["box"][name]) for name in ("x0", "y0", "x1", "y1")]
        reach = int(max(box[2] - box[0], box[3] - box[1]) / 50) + 3
        left, top = (max(0, int(edge) - reach) for edge in box[:2])
        part = np.ascontiguousarray(
            image[top : int(box[3]) + reach + 1, left : int(box[2]) + reach + 1]
        )
        parts.append(part)
        source["pixels"], source["stride"] = part.ctypes.data, part.strides[0]
        source["height"], source["width"] = part.shape[:2]
        source["top"], source["left"] = top, left
    assert_same(on_host(sources, params, size=50, grid=3), expected)


@pytest.mark.parametrize("denominator", [2, 4, 8])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_picture_that_was_scaled_down_is_cropped_where_it_was(denominator, turn):
    images = pictures(3, (160, 200))
    params = draw_params(Augmentation(), samples=[0], size=40, pretext="none", grid=1)
    params["turn"] = turn
    plain = on_host(sources_of(images), params, size=40, grid=1)
    scaled, larger = sources_of(images), params.copy()
    scaled["denominator"] = denominator
    for name in ("x0", "y0", "x1", "y1"):
        larger["box"][name] *= denominator
    assert_same(on_host(scaled, larger, size=40, grid=1), plain)


@pytest.mark.parametrize("side", [3000, 700])
def test_many_source_pixels_for_each_of_the_output(tmp_path, side):
    """More columns than are summed at a time, and weights by the hundred."""
    images = pictures(4, (side, 2 * side))
    params = draw_params(Augmentation(), samples=[0], size=20, pretext="none", grid=1)
    for name, edge in zip(("x0", "y0", "x1", "y1"), (-50, -100, 2 * side + 9, side), strict=True):
        params["box"][name] = edge
    found = on_host(sources_of(images), params, size=20, grid=1)
    assert_same(found, by_the_core(images, params, tmp_path, size=20, grid=1))


def test_rows_that_are_not_valid_are_black_and_need_no_picture():
    images = pictures(5, (90, 90), (80, 80))
    params = draw_params(resolve_augmentation("barlow"), samples=range(2), views=2, size=30)
    sources = sources_of(images)
    sources[1] = np.zeros((), _core.DECODED_SOURCE)
    found, permutation, turns = on_host(
        sources, params, size=30, grid=3, valid=np.array([True, False])
    )
    assert found[:, 0].any()
    assert not found[:, 1].any()
    assert not permutation[1].any()
    assert not turns[1].any()


def test_a_batch_may_be_empty():
    params = draw_params(Augmentation(), samples=[], views=1, size=30)
    found, permutation, _ = on_host(sources_of([]), params, size=30, grid=3)
    assert found.shape == (1, 0, 30, 30, 3)
    assert permutation.shape == (0, 1, 9)


def changed(**changes: Any) -> tuple[np.ndarray, np.ndarray, Pictures]:
    """Return a source and params that can be rendered but for the changes."""
    images = pictures(6, (60, 70))
    sources = sources_of(images)
    params = draw_params(Augmentation(), samples=[0], size=30)
    for name, value in changes.items():
        where = sources if name in sources.dtype.names else params
        head, _, tail = name.partition("__")
        if tail:
            params[head][tail] = value
        else:
            where[name] = value
    return sources, params, images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "must hold a part of it, got 0 × 70 at 0, 0"),
        ({"left": 1}, "must hold a part of it, got 60 × 70 at 0, 1"),
        ({"denominator": 3}, "scaled down by 1, 2, 4 or 8, got 3"),
        ({"turn": 4}, "turned by 0 … 3 quarters"),
        ({"down_scale": 31}, "the side on the way must be 0 … 30, got 31"),
        ({"down_scale": -1}, "the side on the way must be 0 … 30, got -1"),
        ({"permutation": 9}, "a tile number must be below grid² and a turn below 4"),
        ({"turns": 4}, "a tile number must be below grid² and a turn below 4"),
        ({"cutout__x1": 31}, "a cutout must lie inside the image"),
        ({"box__x1": -1e6}, "a crop must have x0 < x1 and y0 < y1"),
        ({"box__y1": np.nan}, "a crop must have x0 < x1 and y0 < y1"),
        ({"box__x1": 1e7}, "a crop may have 16384 pixels for each output pixel"),
        ({"height": 10}, "resampling reads rows that are not held"),
        ({"width": 10}, "resampling reads columns that are not held"),
    ],
)
def test_what_cannot_be_rendered_is_refused(changes, message):
    sources, params, _images = changed(**changes)
    with pytest.raises(ValueError, match=message):
        on_host(sources, params, size=30, grid=3)


def test_sizes_that_cannot_be_are_refused():
    sources, params, _images = changed()
    for size, grid in ((0, 3), (30, 0), (30, 9)):
        with pytest.raises(ValueError, match=f"got size {size}, grid {grid} and 1 views"):
            _core.DevicePlan(
                sources=sources, params=params, valid=np.ones(1, np.bool_), size=size, grid=grid
            )


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("pixels", [1, 3, 256, 1027])
def test_bytes_become_the_floats_that_the_host_makes(name, pixels):
    values = np.arange(3 * pixels, dtype=np.int64) // 3 % 256
    rgb = values.astype(np.uint8).reshape(-1, 3)
    expected = normalize(torch.from_numpy(rgb).view(1, -1, 1, 3).permute(0, 3, 1, 2))
    expected = expected.permute(0, 2, 3, 1).reshape(-1, 3).to(getattr(torch, name))
    found = torch.from_numpy(_core.normalize_on_host(rgb, type=name))
    assert torch.equal(found.view(expected.dtype), expected)
