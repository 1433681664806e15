"""The job as a user of albumentations and OpenCV writes it, for a DataLoader with workers."""

import os
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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

# Otherwise the import asks the network whether there is a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2


class Albumentations:
    """OpenCV decodes, crops and resizes; albumentations does what is drawn."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._before_tiling = A.Compose(_before_tiling(work.augmentation, work.canvas))
        self._after_tiling = A.Compose(_after_tiling(work.augmentation, floats=work.floats))

    def read_file(self, path: str) -> Pixels:
        """Return the pixels (H, W, 3), blue first."""
        return cv2.imread(path, cv2.IMREAD_COLOR)

    def from_bgr(self, rows: Pixels) -> Pixels:
        return rows

    def turned(self, picture: Pixels, quarters: int) -> Pixels:
        return np.ascontiguousarray(np.rot90(picture, quarters))

    def view(self, picture: Pixels, crop: Crop) -> tuple[Tensor, Tensor]:
        face = cv2.cvtColor(_crop(picture, crop), cv2.COLOR_BGR2RGB)
        image = self._before_tiling(image=face)["image"]
        grid, size = self._work.grid, self._work.size
        permutation = np.random.permutation(grid**2)  # noqa: NPY002 — seeded by worker
        if grid > 1:
            image = _move_tiles(image, permutation, grid)[:size, :size]
        return self._after_tiling(image=image)["image"], torch.from_numpy(permutation)


def _crop(picture: Pixels, crop: Crop) -> Pixels:
    """Return the crop, black where it leaves the picture."""
    x0, y0, x1, y1 = crop
    height, width = picture.shape[:2]
    inside = picture[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    margins = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    if not any(margins):
        return inside
    return cv2.copyMakeBorder(inside, *margins, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def _before_tiling(augmentation: Augmentation, canvas: int) -> list[A.BasicTransform]:
    # Its own default, which is not antialiased and so does less than the other sides.
    stages: list[A.BasicTransform] = [A.Resize(canvas, canvas, interpolation=cv2.INTER_LINEAR)]
    stages += _color(augmentation)
    blur = {"blur_limit": (5, 5), "sigma_limit": (1.0, 1.0)}
    down_scale = {
        "scale_range": augmentation.down_scale_to,
        "interpolation_pair": {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
    }
    if augmentation.blur:
        stages.append(A.GaussianBlur(**blur, p=augmentation.blur))
    if augmentation.down_scale:
        stages.append(A.Downscale(**down_scale, p=augmentation.down_scale))
    if augmentation.blur_or_down_scale:
        both = [A.GaussianBlur(**blur, p=1.0), A.Downscale(**down_scale, p=1.0)]
        stages.append(A.OneOf(both, p=augmentation.blur_or_down_scale))
    if augmentation.noise:
        stages.append(A.GaussNoise(augmentation.noise_deviation, p=augmentation.noise))
    return stages


def _color(augmentation: Augmentation) -> list[A.BasicTransform]:
    stages: list[A.BasicTransform] = []
    unchanged = Augmentation()
    low, high = augmentation.contrast
    names = ("brightness", "saturation", "hue")
    if any(getattr(augmentation, name) != getattr(unchanged, name) for name in names):
        jitter = A.ColorJitter(
            brightness=augmentation.brightness,
            contrast=augmentation.contrast,
            saturation=augmentation.saturation,
            hue=(augmentation.hue[0] / 360, augmentation.hue[1] / 360),
            p=augmentation.color,
        )
        stages.append(jitter)
    elif augmentation.contrast != unchanged.contrast:
        # Faster than ColorJitter.
        contrast = A.RandomBrightnessContrast(
            brightness_limit=(0.0, 0.0),
            contrast_limit=(low - 1.0, high - 1.0),
            p=augmentation.color,
        )
        stages.append(contrast)
    if augmentation.grey:
        stages.append(A.ToGray(p=augmentation.grey))
    return stages


def _after_tiling(augmentation: Augmentation, *, floats: bool) -> list[A.BasicTransform]:
    stages: list[A.BasicTransform] = []
    if augmentation.cutout:
        stages.append(
            A.Erasing(
                scale=augmentation.cutout_area,
                ratio=(1.0, 1.0),
                fill=MEAN_COLOR,
                p=augmentation.cutout,
            )
        )
    if floats:
        stages.append(A.Normalize(IMAGENET_MEAN, IMAGENET_DEVIATION))
    stages.append(A.ToTensorV2())
    return stages


def _move_tiles(image: Pixels, permutation: npt.NDArray[np.int64], grid: int) -> Pixels:
    """Return the image (H, H, 3) with tile `permutation[cell]` in each cell."""
    side = len(image) // grid
    moved = np.empty_like(image)
    for cell, tile in enumerate(permutation):
        top, left = cell // grid * side, cell % grid * side
        row, column = tile // grid * side, tile % grid * side
        moved[top : top + side, left : left + side] = image[
            row : row + side, column : column + side
        ]
    return moved


def _one_thread(_worker: int) -> None:
    """OpenCV's own threads would fight over the cores that the workers have."""
    cv2.setNumThreads(0)


def open_albumentations(dataset: Dataset, work: Work, running: Running) -> Iterable[Labelled]:
    """Return the DataLoader."""
    return data_loader(PeerSamples(dataset, work, Albumentations(work)), running, _one_thread)
