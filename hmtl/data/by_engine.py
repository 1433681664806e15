"""What every renderer does by its engine: rows are drawn, waited for and given up alike."""

from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hmtl.data.dataset import Dataset
from hmtl.data.drawing import Drawing
from hmtl.data.engine import Engine, Finished
from hmtl.data.options import RenderOptions


class Ticketed(Protocol):
    """A batch on its way."""

    @property
    def ticket(self) -> Any:
        """What the engine calls it."""


Pending = TypeVar("Pending", bound=Ticketed)


class ByEngine(Generic[Pending]):
    """The part of a renderer that does not depend on what its batches are made of."""

    def __init__(
        self, dataset: Dataset, options: RenderOptions, engine: Engine[Any], *, seed: int
    ) -> None:
        self._dataset = dataset
        self._options = options
        self._drawing = Drawing(dataset, options, seed)
        self._engine = engine

    def draw(self, rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[Any]:
        """Return the params (N, V) of these rows."""
        return self._drawing.params(rows, epoch)

    def finish(self, pending: Pending) -> Finished:
        """Wait for a batch; whatever ends the wait early, as Ctrl-C does, gives the batch up."""
        try:
            return self._engine.finish(pending.ticket)
        except BaseException:
            self.cancel(pending)
            raise

    def is_whole(self, pending: Pending) -> bool:
        """Return whether `finish` would not wait, and find no bad row."""
        return self._engine.is_whole(pending.ticket)

    def cancel(self, pending: Pending) -> None:
        """Give a batch up, without waiting; its memory is kept as long as threads write to it."""
        self._engine.cancel(pending.ticket)

    def close(self) -> None:
        """Join the threads."""
        self._engine.close()
