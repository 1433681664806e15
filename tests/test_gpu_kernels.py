"""The kernels on a GPU against the stages of the core: bytes, streams, devices, memory."""

from typing import Any

import numpy as np
import pytest
import torch
from augmentations import draw_params
from waiting import without_waiting

from hmtl import _core
from hmtl.data import normalize
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.device_render import DeviceRenderer, Rendered, whole_pictures

pytestmark = pytest.mark.gpu

PRESETS = ["none", "level1", "level2", "xgaze", "xgaze-heavy", "barlow"]
HEIGHT, WIDTH = 240, 260


def random_pixels(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def by_the_core(pixels: np.ndarray, params: np.ndarray, size: int, grid: int) -> dict[str, Any]:
    """Return what threads of the core render of pixels in memory."""
    count, views = params.shape
    sources = whole_pictures(*pixels.shape[:3])
    sources["pixels"] += np.uint64(pixels.ctypes.data)
    rendered = {
        "images": [np.zeros((count, size, size, 3), np.uint8) for _ in range(views)],
        "permutation": np.zeros((count, views, grid**2), np.int64),
        "turns": np.zeros((count, views, grid**2), np.int64),
    }
    settings = _core.RenderSettings(
        size=size, grid=grid, planes=False, ignore_exif=False, max_pixels=10**8
    )
    core = _core.BatchRenderer([], 8)
    ticket = core.submit_decoded(
        sources=sources, params=params, pose=np.zeros((count, 3), np.float32), pixels=pixels,
        settings=settings, **rendered,
    )  # fmt: skip
    assert core.wait(ticket)[0] == []
    core.close()
    return rendered


def assert_same(found: Rendered, expected: dict[str, Any]) -> None:
    for view, image in zip(found.views, expected["images"], strict=True):
        assert view.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(view.permute(0, 2, 3, 1).cpu(), torch.from_numpy(image))
    for name in ("permutation", "turns"):
        assert torch.equal(getattr(found, name).cpu(), torch.from_numpy(expected[name]))


@pytest.mark.parametrize("name", PRESETS)
def test_a_thousand_samples_of_each_preset_have_the_bytes_of_the_core(name: str) -> None:
    pixels, size = random_pixels(100), 224
    renderer = DeviceRenderer(size=size, grid=3, device="cuda")
    on_gpu = torch.from_numpy(pixels).cuda()
    for epoch in range(10):
        params = draw_params(
            resolve_augmentation(name), samples=range(100), views=2, epoch=epoch, size=size,
            puzzled_fraction=0.7, pretext="puzzle-rotation",
        )  # fmt: skip
        found = renderer.render(on_gpu, whole_pictures(100, HEIGHT, WIDTH), params)
        assert_same(found, by_the_core(pixels, params, size, 3))


@pytest.mark.parametrize(("size", "grid"), [(8, 2), (33, 4), (97, 3), (225, 8), (500, 3)])
def test_odd_sizes_have_the_bytes_of_the_core(size: int, grid: int) -> None:
    pixels = random_pixels(7, 151, 203)
    params = draw_params(
        resolve_augmentation("barlow"), samples=range(7), size=size, grid=grid, views=2
    )
    found = DeviceRenderer(size=size, grid=grid, device="cuda").render(
        torch.from_numpy(pixels).cuda(), whole_pictures(7, 151, 203), params
    )
    assert_same(found, by_the_core(pixels, params, size, grid))


def test_an_empty_batch_is_a_batch() -> None:
    params = draw_params(resolve_augmentation("level2"), samples=[], size=32)
    found = DeviceRenderer(size=32, grid=3, device="cuda").render(
        torch.empty(0, dtype=torch.uint8, device="cuda"), whole_pictures(0, 9, 9), params
    )
    assert found.views[0].shape == (0, 3, 32, 32)


def test_rows_that_are_not_valid_are_black() -> None:
    params = draw_params(resolve_augmentation("barlow"), samples=range(3), size=32)
    found = DeviceRenderer(size=32, grid=3, device="cuda").render(
        torch.from_numpy(random_pixels(3)).cuda(),
        whole_pictures(3, HEIGHT, WIDTH),
        params,
        np.array([True, False, True]),
    )
    assert not found.views[0][1].any()
    assert found.views[0][0].any()
    assert not found.permutation[1].any()


def test_work_is_queued_on_the_callers_stream_without_waiting() -> None:
    """Pixels that are written late, on the same stream, are those that are rendered."""
    pixels = random_pixels(16)
    params = draw_params(resolve_augmentation("level2"), samples=range(16), size=64)
    renderer = DeviceRenderer(size=64, grid=3, device="cuda")
    source, late = torch.from_numpy(pixels).cuda(), torch.zeros(pixels.shape, dtype=torch.uint8)
    late = late.cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # Kernels are loaded, and memory is taken, when they are first used.
        renderer.render(source, whole_pictures(16, HEIGHT, WIDTH), params)
        torch.cuda.synchronize()
        torch.cuda._sleep(1_000_000_000)
        late.copy_(source)
        with without_waiting():
            found = renderer.render(late, whole_pictures(16, HEIGHT, WIDTH), params)
        assert not stream.query()
    stream.synchronize()
    assert_same(found, by_the_core(pixels, params, 64, 3))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_a_second_gpu_renders_while_the_first_is_current() -> None:
    pixels = random_pixels(4)
    params = draw_params(resolve_augmentation("level2"), samples=range(4), size=64)
    found = DeviceRenderer(size=64, grid=3, device="cuda:1").render(
        torch.from_numpy(pixels).to("cuda:1"), whole_pictures(4, HEIGHT, WIDTH), params
    )
    assert found.views[0].device == torch.device("cuda:1")
    assert_same(found, by_the_core(pixels, params, 64, 3))


def test_ten_thousand_batches_take_no_more_memory() -> None:
    renderer = DeviceRenderer(size=32, grid=3, device="cuda")
    pixels = torch.from_numpy(random_pixels(4, 60, 60)).cuda()
    sources = whole_pictures(4, 60, 60)
    params = [
        draw_params(resolve_augmentation("barlow"), samples=range(4), size=32, views=2, epoch=n)
        for n in range(20)
    ]
    for drawn in params:
        renderer.render(pixels, sources, drawn)
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved()
    for number in range(10_000):
        renderer.render(pixels, sources, params[number % len(params)])
        if number % 100 == 0:
            torch.cuda.synchronize()
    assert torch.cuda.memory_reserved() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 37), (64, 224)])
def test_normalised_images_have_the_bits_of_the_cpu(
    dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    count, size = shape
    images = torch.from_numpy(random_pixels(count, size, size)).permute(0, 3, 1, 2)
    found = normalize(images.cuda(), dtype=dtype)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.cpu(), normalize(images, dtype=dtype))


def test_pictures_are_not_rendered_into_a_graph() -> None:
    """What is drawn for them would be that of the capture, again and again."""
    pixels = torch.from_numpy(random_pixels(1)).cuda()
    params = draw_params(resolve_augmentation("none"), samples=range(1), size=32)
    renderer = DeviceRenderer(size=32, grid=3, device="cuda")
    sources = whole_pictures(1, HEIGHT, WIDTH)
    renderer.render(pixels, sources, params)
    with (
        torch.cuda.graph(torch.cuda.CUDAGraph()),
        pytest.raises(RuntimeError, match="while a CUDA graph is captured"),
    ):
        renderer.render(pixels, sources, params)
