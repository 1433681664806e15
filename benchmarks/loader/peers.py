"""What the peers' data sets have in common: labels, pictures, draws, tiles' labels, the DataLoader.

The libraries differ in how they read and render (`Library`); all else is the same lines for both,
so that neither side is slower for how it is used here.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.loader.files import sample_paths
from benchmarks.loader.work import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Labelled,
    Open,
    Running,
    Work,
)
from hmtl.data import Augmentation, Dataset

Pixels = npt.NDArray[np.uint8]
Crop = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels."""


class Library(Protocol):
    """How one library reads and renders; a picture is whatever it likes best."""

    def read_file(self, path: str) -> Any:
        """Decode an image file."""

    def from_bgr(self, rows: Pixels) -> Any:
        """Make a picture of an array (H, W, 3), blue first."""

    def turned(self, picture: Any, quarters: int) -> Any:
        """Turn a picture counter-clockwise."""

    def view(self, picture: Any, crop: Crop) -> tuple[Tensor, Tensor]:
        """Render an image (3, S, S) and its permutation (T,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The labels, read beforehand: most projects parse a label file per sample and are slower."""

    face: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]
    pose: Tensor

    @classmethod
    def of(cls, dataset: Dataset) -> "Labels":
        pose = torch.from_numpy(np.array(dataset.pose))
        return cls(face=dataset.face, box=dataset.box, pose=pose)

    def draw_crop(self, index: int, augmentation: Augmentation) -> Crop:
        """Return a part of the sample's square, drawn by margin, area, aspect and place.

        The width over height is drawn on a logarithmic scale, as by torchvision; a part that does
        not fit into the square is made narrower.
        """
        margin = random.uniform(*augmentation.margin)
        area = random.uniform(*augmentation.area)
        low, high = (min(max(aspect, area), 1 / area) for aspect in augmentation.aspect)
        aspect = math.exp(random.uniform(math.log(low), math.log(high)))
        edges = zip(self.face[index].tolist(), self.box[index].tolist(), strict=True)
        x0, y0, x1, y1 = (inner + margin * (outer - inner) for inner, outer in edges)
        side = min(x1 - x0, y1 - y0)
        width, height = (
            round(side * math.sqrt(area * aspect)),
            round(side * math.sqrt(area / aspect)),
        )
        off_centre = augmentation.off_centre
        x = (x0 + x1) / 2 + off_centre * (random.random() - 0.5) * (side - width)
        y = (y0 + y1) / 2 + off_centre * (random.random() - 0.5) * (side - height)
        left, top = round(x - width / 2), round(y - height / 2)
        return left, top, left + width, top + height


class Hdf5Rows:
    """Rows of HDF5 files, each kept open by the process that reads it: h5py at its best."""

    def __init__(self, dataset: Dataset) -> None:
        self._paths = sample_paths(dataset)
        self._rows: list[int] = dataset.extent["row"].tolist()
        self._open: dict[str, h5py.Dataset] = {}

    def __call__(self, index: int) -> Pixels:
        """Return the pixels (H, W, 3), blue first."""
        path = self._paths[index]
        if path not in self._open:
            self._open[path] = h5py.File(path, "r")["face_patch"]
        pixels: Pixels = self._open[path][self._rows[index]]
        return pixels


class PeerSamples(torch.utils.data.Dataset[Labelled]):
    """Samples as a user of a library renders them, one at a time."""

    def __init__(self, dataset: Dataset, work: Work, library: Library) -> None:
        self._labels = Labels.of(dataset)
        self._work = work
        self._library = library
        self._paths = sample_paths(dataset)
        self._rows = Hdf5Rows(dataset) if (dataset.extent["row"] >= 0).all() else None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Labelled:
        augmentation = self._work.augmentation
        picture = self._read(index)
        if augmentation.turn and drawn(augmentation.turn):
            picture = self._library.turned(picture, random.randrange(4))
        views = [
            self._library.view(picture, self._labels.draw_crop(index, augmentation))
            for _ in range(self._work.views)
        ]
        images = tuple(image for image, _ in views)
        return Labelled(images, self._labels.pose[index], views[0][1])

    def _read(self, index: int) -> Any:
        if self._rows is None:
            return self._library.read_file(self._paths[index])
        return self._library.from_bgr(self._rows(index))


def drawn(probability: float) -> bool:
    """Return True with this probability."""
    return random.random() < probability


def data_loader(
    samples: torch.utils.data.Dataset[Labelled],
    running: Running,
    start_worker: Callable[[int], None] | None = None,
) -> DataLoader[Labelled]:
    """Return the DataLoader of a peer; its workers live as long as it does."""
    return DataLoader(
        samples,
        batch_size=running.batch_size,
        shuffle=running.shuffle,
        num_workers=running.threads,
        persistent_workers=running.threads > 0,
        drop_last=running.shuffle,
        worker_init_fn=start_worker,
    )


class NormalisedBatches:
    """A peer's uint8 batches, normalised in the main process into memory that is used again."""

    def __init__(self, loader: Iterable[Labelled]) -> None:
        self._loader = loader
        deviation = torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1)
        self._scale = 1 / (255 * deviation)
        self._offset = -torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) / deviation
        self._memory: list[Tensor] = []

    def __iter__(self) -> Iterator[Labelled]:
        for views, pose, permutation in self._loader:
            if not self._memory or self._memory[0].shape != views[0].shape:
                self._memory = [torch.empty(view.shape) for view in views]
            for view, floats in zip(views, self._memory, strict=True):
                torch.mul(view, self._scale, out=floats).add_(self._offset)
            yield Labelled(tuple(self._memory), pose, permutation)


def normalised_by_batch(open_side: Open) -> Open:
    """Return the same side with floats made batch by batch instead of sample by sample."""

    def open_it(dataset: Dataset, work: Work, running: Running) -> Iterable[Labelled]:
        return NormalisedBatches(open_side(dataset, replace(work, floats=False), running))

    return open_it
