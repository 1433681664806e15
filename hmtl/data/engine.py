"""What renders: the work an engine is given, and what it says of it."""

from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.buffers import Pixels

Ticket = TypeVar("Ticket")


Sources = npt.NDArray[Any]
"""(N,) DECODED_SOURCE."""


class Images(TypedDict):
    """Where rows go that are rendered on the host."""

    images: list[Pixels]
    """V arrays (N, S, S, 3)."""
    permutation: npt.NDArray[np.int64]
    """(N, V, T), like `turns`."""
    turns: npt.NDArray[np.int64]
    pose: npt.NDArray[np.float32]
    """(N, 3): in as labelled and turned, out mirrored where the view is."""


@dataclass(kw_only=True, slots=True, eq=False)
class Pictures:
    """Where rows go that a device is to render: decoded pictures, or the parts that are needed."""

    sources: Sources
    """(N,) with addresses; without height where there is none."""
    pixels: Pixels
    """(bytes,) on the host."""
    elsewhere: npt.NDArray[np.bool_]
    """(N,) whose pixels are not among those, but on the device already."""
    memory: object = None
    """Keeps pixels that are elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Work:
    """A batch to render."""

    extent: npt.NDArray[Any]
    """(N,) where the samples' bytes lie."""
    params: npt.NDArray[Any]
    """(N, V) what was drawn for them."""
    target: Images | Pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What became of a batch."""

    bad: list[tuple[int, str]]
    """Rows that could not be rendered, and why, by row."""
    warnings: int
    """Of the decoder."""
    seconds: dict[str, float]
    """By stage, of all threads together."""
    decoded_by_core: int
    """Rows that no other decoder took."""


class Engine(Protocol[Ticket]):
    """Renders batches ahead of their use, first come, first served, on threads of its own.

    Any thread may call anything, at any time. In a forked child `start` and `finish` raise
    RuntimeError, and the others do nothing.
    """

    def start(self, work: Work, *, urgent: bool) -> Ticket:
        """Begin a batch, before all that was begun earlier if it is urgent.

        The arrays of its target are written to until it is finished.
        """

    def finish(self, ticket: Ticket) -> Finished:
        """Wait for a batch, once. Raises RuntimeError where the engine is closed before."""

    def is_whole(self, ticket: Ticket) -> bool:
        """Return whether `finish` would not wait, and find no row that could not be rendered."""

    def cancel(self, ticket: Ticket) -> None:
        """Give a batch up, without waiting; its arrays are kept as long as they are written to."""

    def close(self) -> None:
        """Join the threads."""


class Way(Protocol):
    """What the core does for a batch, up to that which a target is for."""

    def from_files(self, work: Work, *, urgent: bool) -> int:
        """Begin with a batch's files; return the core's ticket."""

    def from_pictures(
        self, work: Work, sources: Sources, elsewhere: npt.NDArray[np.bool_], memory: "Parts"
    ) -> int | None:
        """Go on from pictures that are decoded; return the core's ticket, None if all is done.

        Those that are `elsewhere` (N,) another decoder has put into its memory.
        """

    def allocate(self, count: int) -> Pixels:
        """Return so many bytes for decoded pixels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parts:
    """What keeps decoded pixels alive."""

    by_core: Pixels
    by_other: object


class Native:
    """The compiled core alone."""

    def __init__(self, core: _core.BatchRenderer, way: Way) -> None:
        self._core = core
        self._way = way

    def start(self, work: Work, *, urgent: bool) -> tuple[int, int]:
        """Return the core's ticket, and the number of rows."""
        return self._way.from_files(work, urgent=urgent), len(work.extent)

    def finish(self, ticket: tuple[int, int]) -> Finished:
        bad, warnings, seconds = self._core.wait(ticket[0])
        return Finished(bad=bad, warnings=warnings, seconds=seconds, decoded_by_core=ticket[1])

    def is_whole(self, ticket: tuple[int, int]) -> bool:
        return self._core.is_whole(ticket[0])

    def cancel(self, ticket: tuple[int, int]) -> None:
        self._core.cancel(ticket[0])

    def close(self) -> None:
        self._core.close()
