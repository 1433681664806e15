"""Rows of a dataset to pixels and labels: what an engine is given, and what becomes of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hmtl.data.batch import Batch
from hmtl.data.buffers import BufferPool, Pixels
from hmtl.data.by_engine import ByEngine
from hmtl.data.dataset import Dataset
from hmtl.data.drawing import real_rows
from hmtl.data.engine import Engine, Work
from hmtl.data.options import RenderOptions


@dataclass(slots=True, eq=False)
class Pending:
    """A batch on its way. Threads write to its arrays until it is finished."""

    ticket: Any
    """What the engine calls it."""
    index: npt.NDArray[np.int64]
    """(N,) rows of the dataset; padding comes last."""
    images: list[Pixels]
    """V arrays (N, S, S, 3)."""
    puzzled: npt.NDArray[np.bool_]
    permutation: npt.NDArray[np.int64]
    """(N, V, T), like `turns`."""
    turns: npt.NDArray[np.int64]
    pose: npt.NDArray[np.float32]

    def copy_row(self, row: int, other: "Pending") -> None:
        """Take over the one row of another finished batch."""
        self.index[row] = other.index[0]
        for view, other_view in zip(self.images, other.images, strict=True):
            view[row] = other_view[0]
        for name in ("puzzled", "permutation", "turns", "pose"):
            getattr(self, name)[row] = getattr(other, name)[0]


class Renderer(ByEngine[Pending]):
    """Renders rows of a dataset with an engine: draws, makes the arrays, and batches of them."""

    def __init__(
        self,
        dataset: Dataset,
        options: RenderOptions,
        engine: Engine[Any],
        *,
        seed: int,
        buffers: BufferPool,
    ) -> None:
        super().__init__(dataset, options, engine, seed=seed)
        self._buffers = buffers

    def start(self, index: npt.NDArray[np.int64], epoch: int) -> Pending:
        """Begin to render these rows; where `index` is PADDING, rows stay black."""
        images = [self._buffers.take()[: len(index)] for _ in range(self._options.views)]
        return self._start(index, epoch, images, urgent=False)

    def start_row(self, row: int, epoch: int) -> Pending:
        """Begin to render one row, before all that was started earlier."""
        size = self._options.size
        images = [np.empty((1, size, size, 3), np.uint8) for _ in range(self._options.views)]
        return self._start(np.array([row], dtype=np.int64), epoch, images, urgent=True)

    def _start(
        self, index: npt.NDArray[np.int64], epoch: int, images: list[Pixels], *, urgent: bool
    ) -> Pending:
        rows = real_rows(index)
        real, count = len(rows), len(index)
        views, tiles = self._options.views, self._options.grid**2
        params = self.draw(rows, epoch)
        pending = Pending(
            ticket=-1,
            index=index,
            images=images,
            puzzled=np.zeros(count, dtype=np.bool_),
            permutation=np.zeros((count, views, tiles), dtype=np.int64),
            turns=np.zeros((count, views, tiles), dtype=np.int64),
            pose=np.full((count, 3), np.nan, dtype=np.float32),
        )
        pending.puzzled[:real] = params["puzzled"][:, 0] != 0
        pending.pose[:real] = self._drawing.turned_poses(rows, params)
        for view in pending.images:
            view[real:] = 0
        work = Work(
            extent=self._dataset.extent[rows],
            params=params,
            target={
                "images": [view[:real] for view in pending.images],
                "permutation": pending.permutation[:real],
                "turns": pending.turns[:real],
                "pose": pending.pose[:real],
            },
        )
        pending.ticket = self._engine.start(work, urgent=urgent)
        return pending

    def to_batch(self, pending: Pending, valid: npt.NDArray[np.bool_]) -> Batch:
        """Return a finished batch as tensors; rows that are not valid are black."""
        if not valid.all():
            for view in pending.images:
                view[~valid] = 0

        def labels(numbers: npt.NDArray[np.int64]) -> torch.Tensor:
            tensor = torch.from_numpy(numbers)
            return tensor if self._options.views > 1 else tensor[:, 0]

        return Batch(
            views=tuple(torch.from_numpy(view).permute(0, 3, 1, 2) for view in pending.images),
            pose=torch.from_numpy(pending.pose),
            permutation=labels(pending.permutation) if self._options.has_permutation else None,
            turns=labels(pending.turns) if self._options.has_turns else None,
            index=torch.from_numpy(pending.index),
            valid=torch.from_numpy(valid),
            puzzled=torch.from_numpy(pending.puzzled & valid),
        )
