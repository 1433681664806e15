"""The job as a user of torchvision's transforms v2 writes it, for a DataLoader with workers."""

import random
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.loader.peers import Crop, PeerSamples, Pixels, data_loader
from benchmarks.loader.work import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    MEAN_COLOR,
    Labelled,
    Running,
    Work,
)
from hmtl.data import Augmentation, Dataset

_UNCHANGED = (1.0, 1.0)


class DownScale(torch.nn.Module):
    """Resizes down by a drawn share and back."""

    def __init__(self, share: tuple[float, float]) -> None:
        super().__init__()
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        """Return the image (3, H, H), coarser."""
        height = image.shape[-1]
        side = round(height * random.uniform(*self.share))
        return v2.functional.resize(v2.functional.resize(image, [side, side]), [height, height])


class Torchvision:
    """Pillow decodes and crops files; the rest works on uint8 tensors, as torchvision advises."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._before_tiling = v2.Compose(_before_tiling(work.augmentation, work.canvas))
        self._after_tiling = v2.Compose(_after_tiling(work.augmentation, floats=work.floats))

    def read_file(self, path: str) -> Image.Image:
        """Return the picture as Pillow has it, which crops before it converts."""
        with Image.open(path) as file:
            return file.convert("RGB")

    def from_bgr(self, rows: Pixels) -> Tensor:
        """Return a tensor (3, H, W)."""
        return torch.from_numpy(np.ascontiguousarray(rows[..., ::-1].transpose(2, 0, 1)))

    def turned(self, picture: Tensor, quarters: int) -> Tensor:
        return torch.rot90(picture, quarters, (1, 2))

    def view(self, picture: Image.Image | Tensor, crop: Crop) -> tuple[Tensor, Tensor]:
        image = self._before_tiling(_crop(picture, crop))
        grid, size = self._work.grid, self._work.size
        permutation = torch.randperm(grid**2)
        if grid > 1:
            image = _move_tiles(image, permutation, grid)[:, :size, :size]
        return self._after_tiling(image), permutation


def _crop(picture: Image.Image | Tensor, crop: Crop) -> Tensor:
    """Return the crop (3, H, W), black where it leaves the picture."""
    x0, y0, x1, y1 = crop
    if isinstance(picture, Tensor):
        return v2.functional.crop(picture, y0, x0, y1 - y0, x1 - x0)
    return v2.functional.pil_to_tensor(picture.crop(crop))


def _before_tiling(augmentation: Augmentation, canvas: int) -> list[torch.nn.Module]:
    stages: list[torch.nn.Module] = [v2.Resize([canvas, canvas])]
    jitter = _jitter(augmentation)
    if jitter:
        stages.append(v2.RandomApply([v2.ColorJitter(**jitter)], p=augmentation.color))
    if augmentation.grey:
        stages.append(v2.RandomGrayscale(augmentation.grey))
    # The deviation of the binomial kernel 1 4 6 4 1 is 1.
    blur, down_scale = v2.GaussianBlur(5, sigma=1.0), DownScale(augmentation.down_scale_to)
    if augmentation.blur:
        stages.append(v2.RandomApply([blur], p=augmentation.blur))
    if augmentation.down_scale:
        stages.append(v2.RandomApply([down_scale], p=augmentation.down_scale))
    if augmentation.blur_or_down_scale:
        one = v2.RandomChoice([blur, down_scale])
        stages.append(v2.RandomApply([one], p=augmentation.blur_or_down_scale))
    if augmentation.noise:
        noise = v2.GaussianNoise(sigma=augmentation.noise_deviation[1])
        stages.append(v2.RandomApply([noise], p=augmentation.noise))
    return stages


def _jitter(augmentation: Augmentation) -> dict[str, tuple[float, float]]:
    """Return what of the colour changes."""
    jitter = {
        name: factor
        for name in ("brightness", "contrast", "saturation")
        if (factor := getattr(augmentation, name)) != _UNCHANGED
    }
    low, high = augmentation.hue
    return jitter | ({"hue": (low / 360, high / 360)} if low or high else {})


def _after_tiling(augmentation: Augmentation, *, floats: bool) -> list[torch.nn.Module]:
    stages: list[torch.nn.Module] = [v2.Identity()]
    if augmentation.cutout:
        cutout = v2.RandomErasing(
            p=augmentation.cutout,
            scale=augmentation.cutout_area,
            ratio=(1.0, 1.0),
            value=list(MEAN_COLOR),
        )
        stages.append(cutout)
    if floats:
        stages.append(v2.ToDtype(torch.float32, scale=True))
        stages.append(v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_DEVIATION)))
    return stages


def _move_tiles(image: Tensor, permutation: Tensor, grid: int) -> Tensor:
    """Return the image (3, H, H) with tile `permutation[cell]` in each cell."""
    side = image.shape[-1] // grid
    tiles = image.unflatten(2, (grid, side)).unflatten(1, (grid, side))  # (3, G, t, G, t)
    tiles = tiles.transpose(2, 3).flatten(1, 2)[:, permutation]  # (3, T, t, t)
    return tiles.unflatten(1, (grid, grid)).transpose(2, 3).reshape(image.shape)


def open_torchvision(dataset: Dataset, work: Work, running: Running) -> Iterable[Labelled]:
    """Return the DataLoader."""
    return data_loader(PeerSamples(dataset, work, Torchvision(work)), running)
