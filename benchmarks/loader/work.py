"""What every side is asked to do, and in which form it answers."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hmtl.data import Augmentation, Dataset

MEAN_COLOR = (124, 116, 104)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Labelled(NamedTuple):
    """A batch, or before it is collated a sample."""

    views: tuple[Tensor, ...]
    """V images (N, 3, S, S)."""
    pose: Tensor
    """(N, 3)"""
    permutation: Tensor
    """(N, T) of the first view."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The operations, the same for all sides."""

    augmentation: Augmentation
    size: int = 224
    """Side of the output, px."""
    grid: int = 3
    """Tiles per side; 1 leaves the image whole."""
    views: int = 1
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
    """Threads, or worker processes where a side has those; peers with 0 work in the main one."""
    shuffle: bool = True


# Opens a loader that can be iterated over more than once.
Open = Callable[[Dataset, Work, Running], Iterable[Labelled]]
