"""The job with this project's own Loader, and the limit under it: decoding alone."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks.loader.files import sample_paths
from benchmarks.loader.work import Labelled, Running, Work
from hmtl import _core
from hmtl.data import Dataset, Loader

_JPEG = 0


class HmtlLoader:
    """The Loader's batches in the form that the peers' have."""

    def __init__(self, dataset: Dataset, work: Work, running: Running) -> None:
        self._floats = work.floats
        self._loader = Loader(
            dataset,
            batch_size=running.batch_size,
            size=work.size,
            augmentation=work.augmentation,
            pretext="puzzle" if work.grid > 1 else "none",
            grid=work.grid,
            shuffle=running.shuffle,
            drop_last=running.shuffle,
            num_threads=running.threads,
        )

    def __iter__(self) -> Iterator[Labelled]:
        for batch in self._loader:
            images = batch.normalized() if self._floats else batch.images
            whole = torch.zeros((len(batch), 1), dtype=torch.int64)
            yield images, batch.pose, whole if batch.permutation is None else batch.permutation


class Decoding:
    """libjpeg-turbo alone: every file, whole, from memory to RGB, and nothing is kept.

    Each call allocates its picture and copies it into an array, which a decoder with a buffer of
    its own is spared.
    """

    def __init__(self, dataset: Dataset, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        encoded = [Path(path).read_bytes() for path in sample_paths(dataset)]
        # A share per thread: handing over single images would cost Python more than it should.
        self._shares = [encoded[first::threads] for first in range(threads)]

    def images_per_s(self, seconds: float) -> float:
        """Return the speed over whole passes that take at least so long."""
        start = time.perf_counter()
        count = 0
        while (elapsed := time.perf_counter() - start) < seconds or not count:
            count += sum(self._pool.map(_decode_all, self._shares))
        return count / elapsed


def _decode_all(share: list[bytes]) -> int:
    for encoded in share:
        _core.decode(encoded, _JPEG, "benchmark")
    return len(share)
