"""Batches on their way to a GPU: memory that it can copy from, and how long that must stay."""

import threading
from collections import deque

import torch

from hmtl.data.batch import Batch
from hmtl.data.buffers import BufferPool, Pixels, aligned
from hmtl.errors import ConfigError


class Uploader:
    """Copies batches to a device without waiting; on the CPU it hands them through."""

    def __init__(self, device: str | torch.device) -> None:
        """Raise ConfigError unless the device is a CPU or a GPU that is there."""
        self._device = _checked(device)
        self._under_way: deque[tuple[torch.cuda.Event, Batch]] = deque()
        # Passes on several threads share it.
        self._lock = threading.Lock()

    def buffers(self, shape: tuple[int, ...], keep: int) -> BufferPool:
        """Return memory for batches, pinned where a GPU will take them."""
        return BufferPool(lambda: self._allocate(shape), keep)

    def _allocate(self, shape: tuple[int, ...]) -> Pixels:
        if self._device.type == "cpu":
            return aligned(shape)
        pinned: Pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
        return pinned

    def send(self, batch: Batch) -> Batch:
        """Return the batch on the device; its memory here is kept until the copy has ended."""
        if self._device.type == "cpu":
            return batch
        uploaded = batch.to(self._device)
        ended = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ended.record(torch.cuda.current_stream(self._device))
        with self._lock:
            self._under_way.append((ended, batch))
            while len(self._under_way) > 1 and self._under_way[0][0].query():  # type: ignore[no-untyped-call]
                self._under_way.popleft()
        return uploaded


def _checked(device: str | torch.device) -> torch.device:
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device must be cpu or cuda, got {device!r}") from None
    if checked.type not in ("cpu", "cuda"):
        raise ConfigError(f"device must be cpu or cuda, got {str(checked)!r}")
    if checked.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {str(checked)!r} is not there: PyTorch finds no GPU")
    return checked
