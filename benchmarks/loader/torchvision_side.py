"""The job as a user of torchvision's transforms v2 writes it, for a DataLoader with workers."""

import random

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from benchmarks.loader.work import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    MEAN_COLOR,
    Faces,
    Labelled,
    Running,
    Work,
)
from hmtl.data import Augmentation, Dataset


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


class TorchvisionFaces(torch.utils.data.Dataset[Labelled]):
    """Pillow decodes and crops; the rest works on uint8 tensors, as torchvision advises."""

    def __init__(self, dataset: Dataset, work: Work) -> None:
        self.faces = Faces.of(dataset)
        self.work = work
        self.before_tiling = v2.Compose(_before_tiling(work.augmentation, work.canvas))
        self.after_tiling = v2.Compose(_after_tiling(work.augmentation, floats=work.floats))

    def __len__(self) -> int:
        return len(self.faces.paths)

    def __getitem__(self, index: int) -> Labelled:
        # Pillow pads with black where the crop leaves the image.
        crop = self.faces.draw_crop(index, self.work.augmentation)
        with Image.open(self.faces.paths[index]) as file:
            face = file.convert("RGB").crop(crop)
        image = self.before_tiling(face)
        permutation = torch.randperm(self.work.grid**2)
        image = _move_tiles(image, permutation, self.work.grid)
        image = self.after_tiling(image[:, : self.work.size, : self.work.size])
        return image, self.faces.pose[index], permutation


def _before_tiling(augmentation: Augmentation, canvas: int) -> list[torch.nn.Module]:
    stages: list[torch.nn.Module] = [v2.ToImage(), v2.Resize([canvas, canvas])]
    if augmentation.contrast != (1.0, 1.0):
        stages.append(v2.ColorJitter(contrast=augmentation.contrast))
    if augmentation.blur:
        # The deviation of the binomial kernel 1 4 6 4 1 is 1.
        stages.append(v2.RandomApply([v2.GaussianBlur(5, sigma=1.0)], p=augmentation.blur))
    if augmentation.down_scale:
        down_scale = DownScale(augmentation.down_scale_to)
        stages.append(v2.RandomApply([down_scale], p=augmentation.down_scale))
    return stages


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


def open_torchvision(dataset: Dataset, work: Work, running: Running) -> DataLoader[Labelled]:
    """Return the DataLoader."""
    return DataLoader(
        TorchvisionFaces(dataset, work),
        batch_size=running.batch_size,
        shuffle=running.shuffle,
        num_workers=running.threads,
        persistent_workers=True,
        drop_last=running.shuffle,
    )
