"""What users of ETH-XGaze write with h5py: rows as they are, read by processes or threads."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from benchmarks.loader.patches import SIDE_PX
from benchmarks.loader.peers import Hdf5Rows, Labels, data_loader
from benchmarks.loader.work import Labelled, Running, Work
from hmtl.data import Dataset


class RowSamples(torch.utils.data.Dataset[Labelled]):
    """One row at a time, red first."""

    def __init__(self, dataset: Dataset) -> None:
        self._rows = Hdf5Rows(dataset)
        self._pose = Labels.of(dataset).pose

    def __len__(self) -> int:
        return len(self._pose)

    def __getitem__(self, index: int) -> Labelled:
        image = torch.from_numpy(np.ascontiguousarray(self._rows(index)[..., ::-1]))
        return Labelled(
            (image.permute(2, 0, 1),), self._pose[index], torch.zeros(1, dtype=torch.int64)
        )


def open_processes(dataset: Dataset, _work: Work, running: Running) -> Iterable[Labelled]:
    """Return a DataLoader whose workers keep their files open."""
    return data_loader(RowSamples(dataset), running)


class RowThreads:
    """Threads that read rows into a batch, one batch ahead, all through the same open files.

    HDF5's library lets one of them in at a time.
    """

    def __init__(self, dataset: Dataset, _work: Work, running: Running) -> None:
        self._rows = Hdf5Rows(dataset)
        self._pose = Labels.of(dataset).pose
        self._running = running
        self._pool = ThreadPoolExecutor(max(running.threads, 1))

    def __iter__(self) -> Iterator[Labelled]:
        count, size = len(self._pose), self._running.batch_size
        order = torch.randperm(count) if self._running.shuffle else torch.arange(count)
        last = count - count % size if self._running.shuffle else count
        pending = None
        for start in range(0, last, size):
            following = self._start(order[start : start + size])
            if pending is not None:
                yield _finished(*pending)
            pending = following
        if pending is not None:
            yield _finished(*pending)

    def _start(self, index: torch.Tensor) -> tuple[Labelled, list[Future[None]]]:
        pixels = np.empty((len(index), SIDE_PX, SIDE_PX, 3), dtype=np.uint8)

        def read(place: int, row: int) -> None:
            pixels[place] = self._rows(row)[..., ::-1]

        places = enumerate(index.tolist())
        jobs = [self._pool.submit(read, place, row) for place, row in places]
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        whole = torch.zeros((len(index), 1), dtype=torch.int64)
        return Labelled((images,), self._pose[index], whole), jobs


def _finished(batch: Labelled, jobs: list[Future[None]]) -> Labelled:
    for job in jobs:
        job.result()
    return batch
