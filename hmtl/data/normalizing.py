"""From a batch's bytes to a network's floats."""

import functools

import torch
from torch import Tensor

from hmtl import _core
from hmtl.data import kernels
from hmtl.data.buffers import aligned

_CACHED_FLOATS = 2**18
_KERNEL_TYPES = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
_KERNEL_ALIGNMENT = 16


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
    memory takes one pass. A GPU is not waited for; where the CUDA kernels were not built, its
    float32 values may differ by 1e-6. Raises ValueError for images or memory of another kind.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 (N, 3, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    wanted = _checked_type(images, out, dtype)
    if images.device.type != "cpu":
        by = _normalize_by_kernel if _kernel_takes(images, out, wanted) else _normalize_by_torch
        return by(images, out, wanted)

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


def _kernel_takes(images: Tensor, out: Tensor | None, dtype: torch.dtype) -> bool:
    """Return whether the kernel of hmtl can be used; what torch compiles it makes of its own."""

    def is_plain(tensor: Tensor) -> bool:
        rows = tensor.permute(0, 2, 3, 1)
        return rows.is_contiguous() and tensor.data_ptr() % _KERNEL_ALIGNMENT == 0

    return (
        kernels.cuda is not None
        and dtype in _KERNEL_TYPES
        and not torch.compiler.is_compiling()
        and is_plain(images)
        and (out is None or is_plain(out))
    )


def _normalize_by_kernel(images: Tensor, out: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Normalise to the bits of the CPU."""
    assert kernels.cuda is not None
    if out is None:
        out = torch.empty_like(images, dtype=dtype, memory_format=torch.channels_last)
    if images.numel() == 0:
        return out
    bits = out if dtype == torch.float32 else out.view(torch.int16)
    with torch.cuda.device(images.device):
        kernels.cuda.normalize(
            rgb=images.permute(0, 2, 3, 1),
            out=bits.permute(0, 2, 3, 1),
            type=_KERNEL_TYPES[dtype],
            stream=torch.cuda.current_stream().cuda_stream,
        )
    return out


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
