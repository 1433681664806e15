"""Which samples make which batch: a pure function of seed, epoch, rank and counts.

One permutation of the whole dataset per epoch. Global batch b is the window [b·B·W, (b+1)·B·W) of
it, for B samples per rank and W ranks; rank r takes every W-th of the window, from r on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.rendering import PADDING
from hmtl.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPlan:
    """How an epoch of `count` samples is cut into batches."""

    count: int
    batch_size: int
    """Per rank."""
    rank: int
    world_size: int
    drop_last: bool

    def __post_init__(self) -> None:
        for name in ("batch_size", "world_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank must be in [0, {self.world_size}), got {self.rank}")
        if len(self) == 0:
            raise ConfigError(
                f"an epoch has no full batch: {self.count} samples,"
                f" a global batch of {self.global_batch}"
            )

    @property
    def global_batch(self) -> int:
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.global_batch)
        return whole if self.drop_last or rest == 0 else whole + 1

    def positions(self, batch: int) -> npt.NDArray[np.int64]:
        """Return where this rank's rows of a batch stand in the epoch's order; -1 for padding."""
        start = batch * self.global_batch
        size = min(self.global_batch, self.count - start)
        local = -(-size // self.world_size)
        inside = np.arange(local, dtype=np.int64) * self.world_size + self.rank
        return np.where(inside < size, start + inside, PADDING)


def epoch_order(seed: int, epoch: int, count: int, *, shuffle: bool) -> npt.NDArray[np.int64]:
    """Return the sample ids (count,) of an epoch in the order they are handed out."""
    if not shuffle:
        return np.arange(count, dtype=np.int64)
    return _core.epoch_order(seed=seed, epoch=epoch, count=count)
