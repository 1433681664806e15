"""A rendered batch, and the way from its bytes to a network's floats."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from hmtl import _core
from hmtl.data.buffers import aligned

_CACHED_FLOATS = 2**18


@functools.cache
def _coefficients(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and offset (1, 3, 1, 1); kept, because making them waits for the device."""
    numbers = torch.tensor(_core.normalize_coefficients(), device=device).view(2, 1, 3, 1, 1)
    return numbers[0], numbers[1]


def normalize(
    images: Tensor, out: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return images minus ImageNet's mean over its deviation, on their device, channels_last.

    `images` is uint8 (N, 3, H, W); the result has its shape, in `out` if that is given, and the
    type of `out`, else `dtype`, else float32. On the CPU channels_last memory takes one fused pass.
    Raises ValueError for images or memory of another kind.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    wanted = _checked_type(images, out, dtype)
    if images.device.type != "cpu":
        scale, offset = _coefficients(images.device)
        floats = (images * scale + offset).to(wanted)
        return floats if out is None else out.copy_(floats)

    target = _fresh(images, wanted) if out is None else out
    rows = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    to = target.permute(0, 2, 3, 1)
    if wanted == torch.float32 and to.is_contiguous():
        _core.normalize(rows.numpy(), to.numpy())
    else:
        _normalize_in_parts(rows, to)
    return target


def _checked_type(images: Tensor, out: Tensor | None, dtype: torch.dtype | None) -> torch.dtype:
    """Return the type of the result; raise ValueError unless `out` and `dtype` can hold it."""
    wanted = out.dtype if out is not None else dtype or torch.float32
    if not wanted.is_floating_point:
        raise ValueError(f"normalized images must be floating-point, got {wanted}")
    if out is None:
        return wanted
    if out.shape != images.shape or out.device != images.device:
        raise ValueError(
            f"out must be {tuple(images.shape)} on {images.device},"
            f" got {tuple(out.shape)} on {out.device}"
        )
    if dtype is not None and dtype != wanted:
        raise ValueError(f"out must be of the dtype asked for, {dtype}, got {wanted}")
    if out.requires_grad:
        raise ValueError("out must not require gradients: its values are overwritten")
    return wanted


def _fresh(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return memory for the result, channels_last."""
    count, channels, height, width = images.shape
    memory = torch.from_numpy(aligned((images.numel() * dtype.itemsize,)))
    return memory.view(dtype).view(count, height, width, channels).permute(0, 3, 1, 2)


def _normalize_in_parts(rows: Tensor, to: Tensor) -> None:
    """Fill (N, H, W, 3) of any type and strides by way of float32 that stays in the cache."""
    length = max(1, _CACHED_FLOATS // max(1, rows[:1].numel()))
    floats = torch.empty(rows[:length].shape)
    for start in range(0, len(rows), length):
        part = rows[start : start + length]
        of_part = floats[: len(part)]
        _core.normalize(part.numpy(), of_part.numpy())
        to[start : start + length].copy_(of_part)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """N samples rendered in V views. Nobody writes to its memory once it was handed out."""

    views: tuple[Tensor, ...]
    """V tensors uint8 (N, 3, S, S), channels_last."""
    pose: Tensor
    """float32 (N, 3): yaw, pitch, roll in degrees, as the images show it; NaN where unknown."""
    permutation: Tensor | None
    """int64 (N, T), with V > 1 (N, V, T): `permutation[cell] = tile`. None if nothing moves."""
    turns: Tensor | None
    """int64 like `permutation`: counter-clockwise quarter turns by cell. None if nothing turns."""
    index: Tensor
    """int64 (N,): the sample's row in the dataset, -1 for padding."""
    valid: Tensor
    """bool (N,): False for padding and for samples that could not be read."""
    puzzled: Tensor
    """bool (N,): whether the pretext task was applied to this sample."""

    @property
    def images(self) -> Tensor:
        """The first view."""
        return self.views[0]

    def __len__(self) -> int:
        return len(self.index)

    def normalized(self, out: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Return the first view as a network takes it; see `normalize`."""
        return normalize(self.images, out, dtype)

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device; from pinned memory the copies do not block."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            views=tuple(move(view) for view in self.views),
            pose=move(self.pose),
            permutation=None if self.permutation is None else move(self.permutation),
            turns=None if self.turns is None else move(self.turns),
            index=move(self.index),
            valid=move(self.valid),
            puzzled=move(self.puzzled),
        )
