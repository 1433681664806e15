"""The job as a user of albumentations and OpenCV writes it, for a DataLoader with workers."""

import os

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

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

# Otherwise the import asks the network whether there is a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2

Pixels = npt.NDArray[np.uint8]


class AlbumentationsFaces(torch.utils.data.Dataset[Labelled]):
    """OpenCV decodes, crops and resizes; albumentations does what is drawn."""

    def __init__(self, dataset: Dataset, work: Work) -> None:
        self.faces = Faces.of(dataset)
        self.work = work
        self.before_tiling = A.Compose(_before_tiling(work.augmentation, work.canvas))
        self.after_tiling = A.Compose(_after_tiling(work.augmentation, floats=work.floats))

    def __len__(self) -> int:
        return len(self.faces.paths)

    def __getitem__(self, index: int) -> Labelled:
        picture = cv2.imread(self.faces.paths[index], cv2.IMREAD_COLOR)
        crop = self.faces.draw_crop(index, self.work.augmentation)
        face = cv2.cvtColor(_crop(picture, crop), cv2.COLOR_BGR2RGB)
        image = self.before_tiling(image=face)["image"]
        permutation = np.random.permutation(self.work.grid**2)  # noqa: NPY002 — seeded by worker
        image = _move_tiles(image, permutation, self.work.grid)
        image = image[: self.work.size, : self.work.size]
        tensor = self.after_tiling(image=image)["image"]
        return tensor, self.faces.pose[index], torch.from_numpy(permutation)


def _crop(picture: Pixels, crop: tuple[int, int, int, int]) -> Pixels:
    """Return the crop (x0, y0, x1, y1), black where it leaves the picture."""
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
    if augmentation.contrast != (1.0, 1.0):
        low, high = augmentation.contrast
        stages.append(
            A.RandomBrightnessContrast(
                brightness_limit=(0.0, 0.0), contrast_limit=(low - 1.0, high - 1.0), p=1.0
            )
        )
    if augmentation.blur:
        stages.append(
            A.GaussianBlur(blur_limit=(5, 5), sigma_limit=(1.0, 1.0), p=augmentation.blur)
        )
    if augmentation.down_scale:
        ways = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
        stages.append(
            A.Downscale(
                scale_range=augmentation.down_scale_to,
                interpolation_pair=ways,
                p=augmentation.down_scale,
            )
        )
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


def open_albumentations(dataset: Dataset, work: Work, running: Running) -> DataLoader[Labelled]:
    """Return the DataLoader."""
    return DataLoader(
        AlbumentationsFaces(dataset, work),
        batch_size=running.batch_size,
        shuffle=running.shuffle,
        num_workers=running.threads,
        persistent_workers=True,
        drop_last=running.shuffle,
        worker_init_fn=_one_thread,
    )
