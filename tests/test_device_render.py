"""Pixels in memory to finished images, by the kernels for devices."""

import numpy as np
import pytest
import torch
from augmentations import draw_params
from loader_data import write_small
from PIL import Image

from hmtl.data import Augmentation, Loader
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.device_render import DeviceRenderer, whole_pictures
from hmtl.errors import ConfigError


def random_pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_crops_of_a_tensor_are_those_of_numpy():
    """With nothing drawn, and a box in whole pixels, a crop is a slice."""
    pixels = random_pixels(3, 50, 60)
    params = draw_params(Augmentation(), samples=range(3), size=40, pretext="none", grid=1)
    for number in range(3):
        corner = np.array([4 * number, 3 * number])
        box = params["box"][number, 0]
        box["x0"], box["y0"] = corner
        box["x1"], box["y1"] = corner + 40
    rendered = DeviceRenderer(size=40, grid=1, device="cpu").render(
        pixels, whole_pictures(3, 50, 60), params
    )
    (images,) = rendered.views
    assert images.is_contiguous(memory_format=torch.channels_last)
    for number in range(3):
        left, top = 4 * number, 3 * number
        expected = pixels[number, top : top + 40, left : left + 40].permute(2, 0, 1)
        assert torch.equal(images[number], expected)
    assert rendered.permutation.tolist() == [[[0]]] * 3


def test_two_views_of_puzzled_samples_can_be_put_together_again():
    size, grid = 48, 3
    pixels = random_pixels(4, 80, 80)
    params = draw_params(Augmentation(), samples=range(4), views=2, size=size, grid=grid)
    params["box"]["x0"] = params["box"]["y0"] = 0
    params["box"]["x1"] = params["box"]["y1"] = 80
    renderer = DeviceRenderer(size=size, grid=grid, device="cpu")
    rendered = renderer.render(pixels, whole_pictures(4, 80, 80), params)
    plain = params.copy()
    plain["puzzled"] = 0
    whole = renderer.render(pixels, whole_pictures(4, 80, 80), plain).views
    side = size // grid
    for view in range(2):
        for row in range(4):
            for cell, tile in enumerate(rendered.permutation[row, view].tolist()):
                y, x = (side * n for n in divmod(cell, grid))
                ty, tx = (side * n for n in divmod(tile, grid))
                moved = rendered.views[view][row, :, y : y + side, x : x + side]
                assert torch.equal(moved, whole[view][row, :, ty : ty + side, tx : tx + side])


def test_params_of_a_loader_give_the_loaders_images(tmp_path):
    dataset = write_small(tmp_path, count=6)
    options = {"size": 64, "augmentation": "barlow", "views": 2, "seed": 5}
    loader = Loader(dataset, batch_size=6, decode="rgb", **options)
    batch = loader.render(range(6))
    pixels = torch.from_numpy(
        np.stack([np.asarray(Image.open(path).convert("RGB")) for path in dataset.paths()])
    )
    rendered = DeviceRenderer(size=64, grid=3, device="cpu").render(
        pixels, whole_pictures(6, *pixels.shape[1:3]), loader.draw(range(6))
    )
    for view, expected in zip(rendered.views, batch.views, strict=True):
        assert torch.equal(view, expected)
    assert batch.permutation is not None
    assert torch.equal(rendered.permutation, batch.permutation)


def test_pictures_outside_the_tensor_are_refused():
    params = draw_params(resolve_augmentation("none"), samples=range(2), size=20)
    renderer = DeviceRenderer(size=20, grid=3, device="cpu")
    pixels = random_pixels(2, 30, 30)
    sources = whole_pictures(2, 30, 30)
    with pytest.raises(ValueError, match="ends at byte 5400 of pixels that have 2700"):
        renderer.render(pixels[0], sources, params)
    sources["stride"] = 10
    with pytest.raises(ValueError, match="rows of a picture must not overlap"):
        renderer.render(pixels, sources, params)
    with pytest.raises(ValueError, match="pixels must be uint8 without gaps"):
        renderer.render(pixels[:, ::2], sources, params)
    with pytest.raises(ValueError, match="pixels must be uint8 without gaps"):
        renderer.render(pixels.float(), sources, params)


def test_pixels_of_another_device_are_refused():
    params = draw_params(resolve_augmentation("none"), samples=range(2), size=20)
    renderer = DeviceRenderer(size=20, grid=3, device="cpu:0")
    pixels, sources = random_pixels(2, 30, 30), whole_pictures(2, 30, 30)
    assert renderer.render(pixels, sources, params).views[0].shape == (2, 3, 20, 20)
    with pytest.raises(ValueError, match="pixels must be on cpu, got meta"):
        renderer.render(pixels.to("meta"), sources, params)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="device must be cpu or cuda, got 'meta'"):
        DeviceRenderer(size=20, grid=3, device="meta")
