"""Small tensors of any types as one block of bytes, which one copy takes to a device."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# As wide as the widest type.
_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Where in a block a tensor lies."""

    start: int
    """In bytes."""
    dtype: torch.dtype
    shape: torch.Size

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def lay_out(tensors: Iterable[Tensor]) -> list[Part]:
    """Return a place for each tensor, one behind the other."""
    parts: list[Part] = []
    for tensor in tensors:
        end = parts[-1].end if parts else 0
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        parts.append(Part(start=start, dtype=tensor.dtype, shape=tensor.shape))
    return parts


def tensors_in(block: Tensor, parts: Sequence[Part]) -> list[Tensor]:
    """Return the tensors in a block, uint8 (bytes,), on its device; they share its memory."""
    return [block[part.start : part.end].view(part.dtype).view(part.shape) for part in parts]


def write(block: Tensor, parts: Sequence[Part], tensors: Iterable[Tensor]) -> None:
    """Copy tensors to their places in a block on the CPU."""
    for place, tensor in zip(tensors_in(block, parts), tensors, strict=True):
        place.copy_(tensor)
