"""What every side is asked to do, and what the peers' data sets have in common."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.loader.files import sample_paths
from hmtl.data import Augmentation, Dataset

MEAN_COLOR = (124, 116, 104)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# Images (N, 3, S, S), pose (N, 3), and where the images are puzzled permutation (N, T).
Labelled = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The operations, the same for all sides."""

    augmentation: Augmentation
    size: int = 224
    """Side of the output, px."""
    grid: int = 3
    """Tiles per side; 1 leaves the image whole."""
    floats: bool = False
    """Whether batches end as normalised float32 instead of uint8."""

    @property
    def canvas(self) -> int:
        """Side of what is cut into tiles, px."""
        return self.grid * math.ceil(self.size / self.grid)


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How a side may run."""

    batch_size: int
    threads: int
    """Threads, or worker processes where a side has those."""
    shuffle: bool = True


# Opens a loader that can be iterated over more than once.
Open = Callable[[Dataset, Work, Running], Iterable[Labelled]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Faces:
    """The labels, read beforehand: most projects parse a label file per sample and are slower."""

    paths: list[str]
    face: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]
    pose: Tensor

    @classmethod
    def of(cls, dataset: Dataset) -> "Faces":
        return cls(
            paths=sample_paths(dataset),
            face=dataset.face,
            box=dataset.box,
            pose=torch.from_numpy(np.array(dataset.pose)),
        )

    def draw_crop(self, index: int, augmentation: Augmentation) -> tuple[int, int, int, int]:
        """Return a square of whole pixels (x0, y0, x1, y1), drawn by margin and area."""
        margin = random.uniform(*augmentation.margin)
        zoom = math.sqrt(random.uniform(*augmentation.area))
        edges = zip(self.face[index].tolist(), self.box[index].tolist(), strict=True)
        x0, y0, x1, y1 = (inner + margin * (outer - inner) for inner, outer in edges)
        side = round(min(x1 - x0, y1 - y0) * zoom)
        left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
        return left, top, left + side, top + side


def drawn(probability: float) -> bool:
    """Return True with this probability."""
    return random.random() < probability
