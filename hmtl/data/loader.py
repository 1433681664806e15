"""The loader: batches of rendered samples in a reproducible order, read ahead by threads."""

import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from hmtl import _core
from hmtl.data.augmentation import Augmentation, resolve_augmentation
from hmtl.data.batch import Batch
from hmtl.data.buffers import BufferPool, Pixels
from hmtl.data.dataset import Dataset
from hmtl.data.order import BatchPlan, epoch_order
from hmtl.data.parallel import usable_cores
from hmtl.data.rendering import (
    PADDING,
    Decode,
    Fit,
    Pending,
    Pretext,
    Renderer,
    RenderOptions,
    check_choice,
    check_range,
)
from hmtl.errors import ConfigError

_logger = logging.getLogger(__name__)

_STATE_VERSION = 1


class Loader:
    """Iterates over a dataset in batches of augmented, puzzled uint8 images with their labels.

    What is drawn for a sample depends on (seed, epoch, sample, view) alone: the bytes are the same
    for any number of threads, batch size and number of ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        size: int = 224,
        augmentation: str | Path | Augmentation = "level2",
        pretext: Pretext = "puzzle",
        grid: int = 3,
        views: int = 1,
        fit: Fit = "short-side",
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
        num_threads: int = 0,
        prefetch: int = 3,
        device: str | torch.device = "cpu",
        engine: Literal["native"] = "native",
        decode: Decode = "planes",
        puzzled_fraction: float = 1.0,
        on_error: Literal["raise", "substitute"] = "raise",
        exif: Literal["refuse", "ignore"] = "refuse",
        max_pixels: int = 100_000_000,
    ) -> None:
        """Open a loader.

        `batch_size` is per rank; `size` is the side of the square images in px; `rank` and
        `world_size` come from torch.distributed or the environment where they are None;
        `num_threads` = 0 takes all cores this process may use; `prefetch` batches are rendered
        ahead. Raises ConfigError for values that make no sense.
        """
        options = RenderOptions(
            size=size,
            augmentation=resolve_augmentation(augmentation),
            pretext=pretext,
            grid=grid,
            views=views,
            fit=fit,
            decode=decode,
            puzzled_fraction=puzzled_fraction,
            exif=exif,
            max_pixels=max_pixels,
        )
        check_choice("engine", engine, ("native",))
        check_choice("on_error", on_error, ("raise", "substitute"))
        check_range("prefetch", prefetch, 1, 1024)
        check_range("num_threads", num_threads, 0, 1024)
        check_range("seed", seed, 0, 2**64 - 1)

        self.dataset = dataset
        self._plan = _plan(len(dataset), batch_size, rank, world_size, drop_last)
        self._seed = seed
        self._shuffle = shuffle
        self._on_error = on_error
        self._prefetch = prefetch
        self._device = target = torch.device(device)
        threads = num_threads or usable_cores()
        shape = (batch_size, size, size, 3)
        self._renderer = Renderer(
            dataset,
            options,
            seed=seed,
            threads=threads,
            buffers=BufferPool(lambda: _allocate(shape, target), (prefetch + 2) * views),
        )
        # Nothing that the renderer holds may refer to the loader, or the loader would never go.
        self._finalizer = weakref.finalize(self, self._renderer.close)
        self._settings = {
            "dataset": dataset.fingerprint,
            "global_batch": self._plan.global_batch,
            "shuffle": shuffle,
            "drop_last": drop_last,
            **options.as_dict(),
        }
        self._epoch = 0
        self._handed = 0
        self._resume_at = 0
        self._counts = {"batches": 0, "samples": 0, "warnings": 0, "wait_s": 0.0}
        self._stages: dict[str, float] = {}
        self._about = {"engine": engine, "threads": threads}
        self._bad: dict[int, str] = {}
        self._uploads: deque[tuple[torch.cuda.Event, Batch]] = deque()

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on every rank."""
        return len(self._plan)

    @property
    def epoch(self) -> int:
        """The epoch that is being rendered or comes next."""
        return self._epoch

    def close(self) -> None:
        """Join the threads; happens at the latest when the loader or the interpreter goes."""
        self._finalizer()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; the present one keeps a restored position."""
        check_range("epoch", epoch, 0, 2**32 - 1)
        if epoch != self._epoch:
            self._epoch = epoch
            self._handed = self._resume_at = 0

    def state_dict(self) -> dict[str, Any]:
        """Return what continues behind the last batch handed out, as plain JSON."""
        return {
            "version": _STATE_VERSION,
            "seed": self._seed,
            "epoch": self._epoch,
            "samples": self._handed * self._plan.global_batch,
            "settings": self._settings,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; threads, prefetch and ranks may differ.

        Raises ConfigError naming what differs where the batches would not be the same.
        """
        if state.get("version") != _STATE_VERSION:
            raise ConfigError(
                f"loader state must have version {_STATE_VERSION}, got {state.get('version')!r}"
            )
        ours: dict[str, Any] = {**self._settings, "seed": self._seed}
        theirs: dict[str, Any] = {**state["settings"], "seed": state["seed"]}
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                raise ConfigError(
                    f"loader state was taken with {key} = {theirs.get(key)!r},"
                    f" this loader has {ours.get(key)!r}"
                )
        self._epoch = state["epoch"]
        self._handed = self._resume_at = state["samples"] // self._plan.global_batch

    def stats(self) -> dict[str, Any]:
        """Return counts since the loader was made; `bad` names each sample that failed and why.

        `wait_s` are the seconds that batches were waited for, `stages` those that all threads
        together spent on reading, decoding and so on.
        """
        names = self.dataset.name if self._bad else []
        bad = [
            {"index": sample, "name": names[sample], "reason": reason}
            for sample, reason in sorted(self._bad.items())
        ]
        return {**self._about, **self._counts, "stages": {**self._stages}, "bad": bad}

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch, from a restored position on; then advance the epoch."""
        epoch, following = self._epoch, self._resume_at
        self._handed, self._resume_at = following, 0
        order = epoch_order(self._seed, epoch, len(self.dataset), shuffle=self._shuffle)
        ahead: deque[tuple[Pending, npt.NDArray[np.int64]]] = deque()
        try:
            while following < len(self._plan) or ahead:
                while following < len(self._plan) and len(ahead) < self._prefetch:
                    positions = self._plan.positions(following)
                    index = np.where(positions == PADDING, PADDING, order[positions])
                    ahead.append((self._renderer.start(index, epoch), positions))
                    following += 1
                batch = self._finish(*ahead.popleft(), order, epoch)
                self._handed += 1
                yield batch
        finally:
            for pending, _ in ahead:
                self._renderer.cancel(pending)
        if self._epoch == epoch:
            self._epoch, self._handed = epoch + 1, 0

    def _finish(
        self,
        pending: Pending,
        positions: npt.NDArray[np.int64],
        order: npt.NDArray[np.int64],
        epoch: int,
    ) -> Batch:
        start = time.perf_counter()
        finished = self._renderer.finish(pending)
        valid = pending.index != PADDING
        for row, reason in finished.bad:
            if self._on_error == "raise":
                raise _core.DecodeError(reason)
            self._note_bad(int(pending.index[row]), reason)
            if self._shuffle:
                self._substitute(pending, row, int(positions[row]), order, epoch)
            else:
                valid[row] = False
        batch = self._renderer.to_batch(pending, valid)
        self._counts["wait_s"] += time.perf_counter() - start
        self._counts["batches"] += 1
        self._counts["samples"] += int(valid.sum())
        self._counts["warnings"] += finished.warnings
        for stage, seconds in finished.seconds.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        return batch if self._device.type == "cpu" else self._upload(batch)

    def _upload(self, batch: Batch) -> Batch:
        """Copy a batch to the GPU without waiting; its memory is kept until the copy has ended."""
        uploaded = batch.to(self._device)
        ended = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ended.record(torch.cuda.current_stream(self._device))
        self._uploads.append((ended, batch))
        while len(self._uploads) > 1 and self._uploads[0][0].query():  # type: ignore[no-untyped-call]
            self._uploads.popleft()
        return uploaded

    def _note_bad(self, sample: int, reason: str) -> None:
        if sample not in self._bad:
            _logger.warning("bad sample %d: %s", sample, reason)
            self._bad[sample] = reason

    def _substitute(
        self,
        pending: Pending,
        row: int,
        position: int,
        order: npt.NDArray[np.int64],
        epoch: int,
    ) -> None:
        """Put the next readable sample of the order into a row; raise where there is none."""
        for sample in np.roll(order, -position)[1:]:
            other = self._renderer.start(np.array([sample], dtype=np.int64), epoch)
            finished = self._renderer.finish(other)
            if not finished.bad:
                pending.copy_row(row, other, 0)
                return
            self._note_bad(int(sample), finished.bad[0][1])
        raise _core.DecodeError(
            f"no sample can be read; the first: {next(iter(self._bad.values()))}"
        )


def _plan(
    count: int, batch_size: int, rank: int | None, world_size: int | None, drop_last: bool
) -> BatchPlan:
    default_rank, default_world_size = _process_rank()
    return BatchPlan(
        count=count,
        batch_size=batch_size,
        rank=default_rank if rank is None else rank,
        world_size=default_world_size if world_size is None else world_size,
        drop_last=drop_last,
    )


def _process_rank() -> tuple[int, int]:
    """Return rank and world size of this process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _allocate(shape: tuple[int, int, int, int], device: torch.device) -> Pixels:
    """Return memory for a batch, pinned where a GPU will take it."""
    if device.type == "cuda":
        pinned: Pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
        return pinned
    return np.empty(shape, dtype=np.uint8)
