"""Batches on their way to a GPU: a stream of their own, one batch ahead of the loop.

Note [Memory of uploaded batches]
A batch lives as long as any tensor, view, DLPack capsule or saved node of a graph refers to it,
which PyTorch's allocator alone knows. So its memory is the allocator's, taken on the stream of the
copies and recorded on the stream it is handed to: it is taken again once what was given to that
stream before the batch was dropped has ended. A host that runs ahead of the device would hold the
memory of every batch in between, so it may run ahead by a few. Nothing of this happens anywhere but
in the caller's `next`: no thread of ours calls CUDA while a graph is captured. DALI's do.
"""

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hmtl.data.batch import Batch
from hmtl.data.buffers import BufferPool, Pixels, aligned
from hmtl.data.devices import checked_device, refuse_capture
from hmtl.data.in_flight import Kept, Lead, Source, one_ahead
from hmtl.data.renders import Sendable
from hmtl.data.staging import lay_out, tensors_in, write

MOST_LEAD = 8
"""Batches by which the host may run ahead of a GPU before it waits: work enough for that one."""


class Uploader:
    """Hands batches out on a device; on the CPU as they are."""

    def __init__(self, device: str | torch.device) -> None:
        """Raise ConfigError unless the device is a CPU or a GPU that is there."""
        self.device = checked_device(device)
        self._copies = Copies(self.device) if self.device.type == "cuda" else None

    def buffers(self, shape: tuple[int, ...], keep: int) -> BufferPool:
        """Return memory for batches, pinned where a GPU will take them."""
        if self._copies is None:
            return BufferPool(lambda: aligned(shape), keep)
        return BufferPool(lambda: _pinned(shape).numpy(), keep)

    def allocate(self, count: int) -> Pixels:
        """Return so many bytes, pinned where a GPU will take them."""
        return aligned((count,)) if self._copies is None else _pinned((count,)).numpy()

    def refuse_capture(self) -> None:
        """Raise RuntimeError while the caller captures a graph that a batch would be lost to."""
        if self._copies is not None:
            refuse_capture()

    def send(self, batch: Sendable) -> Batch:
        """Return one batch on the device; its copy may still be under way there."""
        if self._copies is None:
            return _on_host(batch)
        return self._copies.hand_over(self._copies.start(batch))

    def send_all(self, batches: Source[Sendable]) -> Iterator[Batch]:
        """Yield batches on the device, on their way before they are asked for where ready."""
        if self._copies is not None:
            yield from self._copies.of(batches)
            return
        while (batch := next(batches, None)) is not None:
            whole = _on_host(batch)
            # The memory of a batch is free again once the caller drops it.
            del batch
            yield whole
            del whole


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Copy:
    """A batch on the device, and the event behind which it is whole."""

    batch: Batch
    ended: torch.cuda.Event


class Copies:
    """The copies to one GPU, on a stream of their own; several threads may use it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # Threads would render into what is still read.
        self._sources = Kept()
        # Who drops a loader leaves its last batches on their way, and DALI would use their memory
        # again. A process that ends needs no care, and a forked child cannot wait for a GPU.
        ending = weakref.finalize(self, _wait, self._sources, os.getpid())
        ending.atexit = False

    def start(self, batch: Sendable) -> Copy:
        """Begin to copy a batch whose images are pinned; they are kept until the copy has ended."""
        labels = batch.labels()
        parts = lay_out(labels.values())
        # The caller may have left its inference mode when it takes the batch.
        with torch.inference_mode(False), torch.cuda.stream(self._stream):
            # One copy for all labels; the images apart, so that who keeps labels keeps no images.
            block = _pinned((parts[-1].end,))
            write(block, parts, labels.values())
            on_device = tensors_in(block.to(self._device, non_blocking=True), parts)
            images = batch.images_on(self._device)
            ended = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ended.record(self._stream)
        self._sources.add((batch, block), until=ended)
        uploaded = _whole(dict(zip(labels, on_device, strict=True)), images)
        return Copy(batch=uploaded, ended=ended)

    def hand_over(self, copy: Copy) -> Batch:
        """Return the batch for use on the caller's present stream."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(copy.ended)
        copy.batch.record_stream(stream)
        self._sources.let_go()
        return copy.batch

    def of(self, batches: Source[Sendable]) -> Iterator[Batch]:
        """Yield batches on the device; raise RuntimeError while the caller captures a graph."""
        lead = Lead(MOST_LEAD)
        copies = one_ahead(batches, self.start)
        while True:
            refuse_capture()
            lead.add(self._now())
            copy = next(copies, None)
            if copy is None:
                return
            yield self.hand_over(copy)
            del copy

    def _now(self) -> torch.cuda.Event:
        """Return an event behind all that the caller's stream has; who waits for it sleeps."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event


def _wait(sources: Kept, process: int) -> None:
    if os.getpid() == process:
        sources.wait()


def _on_host(batch: Sendable) -> Batch:
    if isinstance(batch, Batch):
        return batch
    return _whole(batch.labels(), batch.images_on(torch.device("cpu")))


def _whole(labels: dict[str, Tensor], images: dict[str, Any]) -> Batch:
    nothing = {"permutation": None, "turns": None}
    return Batch(**(nothing | labels | images))


def _pinned(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8, device="cpu", pin_memory=True)
