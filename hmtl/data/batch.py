"""A rendered batch, and the way from its bytes to a network's floats."""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmtl import _core
from hmtl.data.buffers import aligned

_CACHED_FLOATS = 2**18
_LABELS = ("pose", "permutation", "turns", "index", "valid", "puzzled")


@functools.cache
def _coefficients(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and offset (1, 3, 1, 1); kept, because making them waits for the device."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            f"images must be normalized on {device} once before a graph that does so is captured"
        )
    # The caller may have left its inference mode when they are used again.
    with torch.inference_mode(False):
        numbers = torch.tensor(_core.normalize_coefficients(), device=device).view(2, 1, 3, 1, 1)
    return numbers[0], numbers[1]


def normalize(
    images: Tensor, out: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return images minus ImageNet's mean over its deviation, on their device, channels_last.

    `images` is uint8 (N, 3, H, W); the result has its shape, in `out` if that is given, and the
    type of `out`, else `dtype`, else float32: float32 values that are rounded once. Channels_last
    memory takes one pass. A GPU is not waited for; its float32 values may differ by 1e-6. Raises
    ValueError for images or memory of another kind.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    wanted = _checked_type(images, out, dtype)
    if images.device.type != "cpu":
        return _normalize_by_torch(images, out, wanted)

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


def _normalize_by_torch(images: Tensor, out: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Normalise with one operator of torch, on a GPU one kernel whatever the types.

    It computes in float32 and rounds once, as the core does; a GPU may do product and sum in one.
    """
    scale, offset = _coefficients(images.device)
    if out is None:
        out = torch.empty_like(images, dtype=dtype, memory_format=torch.channels_last)
    return torch.addcmul(offset, images, scale, out=out)


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

    def labels(self) -> dict[str, Tensor]:
        """Return what there is beside the images, by name."""
        found = {name: getattr(self, name) for name in _LABELS}
        return {name: label for name, label in found.items() if label is not None}

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device; copies to a GPU do not block where memory is pinned."""
        # Towards the CPU nobody would know when the bytes are there.
        free = torch.device(device).type != "cpu"
        return replace(
            self,
            views=tuple(view.to(device, non_blocking=free) for view in self.views),
            **{name: label.to(device, non_blocking=free) for name, label in self.labels().items()},
        )

    def copy_into(self, other: "Batch") -> None:
        """Overwrite another batch with this one, such as the one that a captured CUDA graph reads.

        Raises ValueError, before anything is written, unless both have the same tensors.
        """
        own, others = self._shapes(), other._shapes()
        if own != others:
            raise ValueError(f"a batch of {own} cannot be copied into one of {others}")
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        for source, target in pairs:
            target.copy_(source, non_blocking=target.device.type != "cpu")

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory, once dropped, until what `stream` was given by then has ended.

        Needed for any stream but the one that was current when the batch came.
        """
        for tensor in self._tensors():
            tensor.record_stream(stream)

    def _tensors(self) -> list[Tensor]:
        return [*self.views, *self.labels().values()]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        views = {f"views[{number}]": tuple(view.shape) for number, view in enumerate(self.views)}
        return views | {name: tuple(label.shape) for name, label in self.labels().items()}
