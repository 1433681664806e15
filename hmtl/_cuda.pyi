"""Typed face of the stages for CUDA devices. Streams are addresses of cudaStream_t."""

from collections.abc import Sequence
from typing import Protocol, type_check_only

from hmtl._core import DevicePlan

@type_check_only
class _OnDevice(Protocol):
    """Memory of a CUDA device without gaps, of whatever library."""

    @property
    def __cuda_array_interface__(self) -> dict[str, object]: ...

def device_count() -> int:
    """Return how many devices can be used; 0 without a driver."""

def render(
    *,
    plan: DevicePlan,
    memory: _OnDevice,
    images: Sequence[_OnDevice],
    permutation: _OnDevice,
    turns: _OnDevice,
    stream: int,
) -> None:
    """Queue a planned batch on a stream of the current device, where all memory lies.

    `memory` (uint8) has the plan's `bytes` and begins with its `jobs`; `images` are V arrays uint8
    (N, S, S, 3), `permutation` and `turns` int64 (N, V, T). Raises ValueError for memory of another
    kind, RuntimeError with CUDA's own words.
    """

def normalize(*, rgb: _OnDevice, out: _OnDevice, type: str, stream: int) -> None:
    """Queue the way from uint8 (…, 3) to floats of the same shape.

    `type` is float32, float16 or bfloat16; memory of the last two may come as 16-bit integers.
    """
