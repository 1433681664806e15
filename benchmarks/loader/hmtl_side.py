"""The job with this project's own Loader, and the limit under it: decoding alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.loader.work import Labelled, Running, Work
from hmtl import _core
from hmtl.bench.limits import decoding_speed
from hmtl.data import Dataset, Loader, normalize


class HmtlLoader:
    """The Loader's batches in the form that the peers' have."""

    def __init__(self, dataset: Dataset, work: Work, running: Running) -> None:
        self._floats = work.floats
        self._memory: list[Tensor] = []
        self._loader = Loader(
            dataset,
            batch_size=running.batch_size,
            size=work.size,
            augmentation=work.augmentation,
            pretext="puzzle" if work.grid > 1 else "none",
            grid=work.grid,
            views=work.views,
            shuffle=running.shuffle,
            drop_last=running.shuffle,
            num_threads=running.threads,
        )

    def __iter__(self) -> Iterator[Labelled]:
        for batch in self._loader:
            views = self._normalised(batch.views) if self._floats else batch.views
            if batch.permutation is None:
                permutation = torch.zeros((len(batch), 1), dtype=torch.int64)
            else:
                permutation = batch.permutation.view(len(batch), len(views), -1)[:, 0]
            yield Labelled(views, batch.pose, permutation)

    def _normalised(self, views: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the views as floats, in memory that is used again."""
        if not self._memory or self._memory[0].shape != views[0].shape:
            self._memory = [torch.empty_like(view, dtype=torch.float32) for view in views]
        pairs = zip(views, self._memory, strict=True)
        return tuple(normalize(view, out=floats) for view, floats in pairs)


class Decoding:
    """The decoder alone: whole samples, from memory, into a buffer that is used again.

    Of JPEG files it is libjpeg-turbo, to RGB; of LZF chunks what expands them and makes them RGB.
    Every thread decodes all samples; nothing is allocated or copied in between.
    """

    def __init__(self, dataset: Dataset, threads: int) -> None:
        self._threads = threads
        self._extent = dataset.extent
        paths = dataset.paths()
        extents = (dataset.extent[row : row + 1] for row in range(len(dataset)))
        self._encoded = [_core.read_extent(paths, extent) for extent in extents]

    def images_per_s(self, seconds: float) -> float:
        return decoding_speed(self._encoded, self._extent, self._threads, seconds)
