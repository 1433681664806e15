"""What the loader asks of that which makes its batches, whatever engine is behind it."""

from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hmtl.data.engine import Finished


class Underway(Protocol):
    """A batch on its way. Threads write to its arrays until it is finished."""

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """(N,) rows of the dataset; padding comes last."""

    def copy_row(self, row: int, other: Self) -> None:
        """Take over the one row of another finished batch."""


class Sendable(Protocol):
    """A batch that is ready for a device, or what its images will be made of there."""

    def labels(self) -> dict[str, Tensor]:
        """Return what is copied as it is, by the names of a batch's fields."""

    def images_on(self, device: torch.device) -> dict[str, Any]:
        """Return the other fields on a device; on a GPU by work on the present stream."""


Pending = TypeVar("Pending", bound=Underway)


class Renders(Protocol[Pending]):
    """Makes batches of rows of a dataset ahead of their use, first come, first served."""

    def draw(self, rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[Any]:
        """Return the params (N, V) of these rows."""

    def start(self, index: npt.NDArray[np.int64], epoch: int) -> Pending:
        """Begin with these rows; where `index` is PADDING, rows become black."""

    def start_row(self, row: int, epoch: int) -> Pending:
        """Begin with one row, before all that was started earlier."""

    def finish(self, pending: Pending) -> Finished:
        """Wait for a batch; whatever ends the wait early, as Ctrl-C does, gives the batch up."""

    def is_whole(self, pending: Pending) -> bool:
        """Return whether `finish` would not wait, and find no bad row."""

    def cancel(self, pending: Pending) -> None:
        """Give a batch up, without waiting; its memory is kept as long as threads write to it."""

    def to_batch(self, pending: Pending, valid: npt.NDArray[np.bool_]) -> Sendable:
        """Return a finished batch; rows that are not valid are black."""

    def close(self) -> None:
        """Join the threads."""
