"""The batches of one epoch, rendered ahead of their use; what cannot be read is replaced."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.drawing import PADDING
from hmtl.data.order import BatchPlan
from hmtl.data.record import Record
from hmtl.data.renders import Renders, Sendable, Underway

Remedy = Literal["raise", "substitute", "mark"]
"""What becomes of a row whose sample cannot be read: an error, the next sample of the order, or a
black row that is not valid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What is read in which order."""

    number: int
    plan: BatchPlan
    order: npt.NDArray[np.int64]
    """Sample ids (N,)."""


class ReadAhead:
    """The batches of an epoch, one by one; so many are always on their way.

    Raises DecodeError for a sample that cannot be read where that is the remedy, or where no sample
    at all can be read. After any error nothing is on its way any more.
    """

    def __init__(
        self,
        epoch: Epoch,
        renderer: Renders[Any],
        record: Record,
        *,
        first: int,
        prefetch: int,
        remedy: Remedy,
    ) -> None:
        """Begin to render the batches from number `first` on."""
        self.bad: dict[int, str] = {}
        """Samples that could not be read in this pass so far, and why."""
        self._epoch = epoch
        self._ahead: deque[tuple[Any, npt.NDArray[np.int64]]] = deque()
        # Valid and substituted rows and seconds of waiting of batches not counted yet.
        self._taken: deque[tuple[int, int, float]] = deque()
        self._renderer = renderer
        self._record = record
        self._remedy: Remedy = remedy
        self._following = first
        for _ in range(prefetch):
            self._start_next()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is on its way."""
        self._following = len(self._epoch.plan)
        while self._ahead:
            self._renderer.cancel(self._ahead.popleft()[0])

    def is_ready(self) -> bool:
        """Return whether the next batch comes at once, with every row as it was ordered."""
        return bool(self._ahead) and self._renderer.is_whole(self._ahead[0][0])

    def count_next(self) -> None:
        """Record that the next of the batches that were taken is handed out."""
        self._record.add_batch(*self._taken.popleft())

    def __next__(self) -> Sendable:
        if not self._ahead:
            raise StopIteration
        try:
            batch = self._finish(*self._ahead[0])
            self._ahead.popleft()
            self._start_next()
        except BaseException:
            self.close()
            raise
        return batch

    def _start_next(self) -> None:
        plan, order = self._epoch.plan, self._epoch.order
        if self._following >= len(plan):
            return
        positions = plan.positions(self._following)
        index = np.where(positions == PADDING, PADDING, order[positions])
        self._ahead.append((self._renderer.start(index, self._epoch.number), positions))
        self._following += 1

    def _finish(self, pending: Underway, positions: npt.NDArray[np.int64]) -> Sendable:
        start = time.perf_counter()
        finished = self._renderer.finish(pending)
        self._record.add_rendered(finished)
        valid = pending.index != PADDING
        for row, reason in finished.bad:
            self._add_bad(int(pending.index[row]), reason)
            if self._remedy == "raise":
                raise _core.DecodeError(reason)
            if self._remedy == "mark":
                valid[row] = False
        if self._remedy == "substitute":
            for row, reason in finished.bad:
                self._substitute(pending, row, int(positions[row]), reason)
        batch = self._renderer.to_batch(pending, valid)
        substituted = len(finished.bad) if self._remedy == "substitute" else 0
        self._taken.append((int(valid.sum()), substituted, time.perf_counter() - start))
        return batch

    def _substitute(self, pending: Underway, row: int, position: int, reason: str) -> None:
        """Put the next readable sample of the order into a row; raise where there is none.

        The order is that of all ranks, so the batch size and the ranks do not matter.
        """
        order = self._epoch.order
        for step in range(1, len(order)):
            sample = int(order[(position + step) % len(order)])
            if sample in self.bad:
                continue
            other = self._renderer.start_row(sample, self._epoch.number)
            finished = self._renderer.finish(other)
            self._record.add_rendered(finished)
            if not finished.bad:
                pending.copy_row(row, other)
                return
            self._add_bad(sample, finished.bad[0][1])
        raise _core.DecodeError(f"no sample can be read; the first: {reason}")

    def _add_bad(self, sample: int, reason: str) -> None:
        self.bad[sample] = reason
        self._record.add_bad(sample, reason)
