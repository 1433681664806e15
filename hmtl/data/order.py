"""Which samples make which batch: a pure function of seed, epoch, rank and counts.

One permutation of the whole dataset per epoch. Global batch b is the window [b·B·W, (b+1)·B·W) of
it, for B samples per rank and W ranks; rank r takes every W-th of the window, from r on.
"""

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hmtl import _core
from hmtl.data.arguments import whole_number, yes_or_no
from hmtl.data.drawing import PADDING
from hmtl.errors import ConfigError

LARGEST_EPOCH = 2**32 - 1
"""The counter that chance is drawn from has 32 bits for it."""

_LARGEST = 2**40


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
        for name in ("batch_size", "world_size", "rank"):
            low = 0 if name == "rank" else 1
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, _LARGEST))
        if self.rank >= self.world_size:
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


def process_plan(
    count: int, batch_size: int, rank: int | None, world_size: int | None, drop_last: bool
) -> BatchPlan:
    """Return the plan of this process.

    Rank and world size that are None are those of torch.distributed, else of the environment.
    Raises ConfigError where one of them is known and the other would be a guess.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank = torch.distributed.get_rank() if rank is None else rank
        world_size = torch.distributed.get_world_size() if world_size is None else world_size
    rank = _from_environment("RANK") if rank is None else rank
    world_size = _from_environment("WORLD_SIZE") if world_size is None else world_size
    if rank is None and world_size not in (None, 1):
        raise ConfigError(
            f"rank must be given, or RANK in the environment, for a world_size (WORLD_SIZE) of"
            f" {world_size!r}"
        )
    if world_size is None and rank not in (None, 0):
        raise ConfigError(
            f"world_size must be given, or WORLD_SIZE in the environment, for a rank (RANK) of"
            f" {rank!r}"
        )
    return BatchPlan(
        count=count,
        batch_size=batch_size,
        rank=0 if rank is None else rank,
        world_size=1 if world_size is None else world_size,
        drop_last=yes_or_no("drop_last", drop_last),
    )


def _from_environment(name: str) -> int | None:
    value = os.environ.get(name, "")
    if not value:
        return None
    if not value.isdecimal():
        raise ConfigError(f"environment variable {name} must be a whole number, got {value!r}")
    return int(value)


def epoch_order(seed: int, epoch: int, count: int, *, shuffle: bool) -> npt.NDArray[np.int64]:
    """Return the sample ids (count,) of an epoch in the order they are handed out."""
    if not shuffle:
        return np.arange(count, dtype=np.int64)
    return _core.epoch_order(seed=seed, epoch=epoch, count=count)
