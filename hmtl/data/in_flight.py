"""Work beside the caller: started one item ahead, its memory kept until it has ended."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

Item_co = TypeVar("Item_co", covariant=True)
Item = TypeVar("Item")
Started = TypeVar("Started")


class Ending(Protocol):
    """Something that ends by itself, as what an event of a GPU stands behind."""

    def query(self) -> bool:
        """Return whether it has ended, without waiting."""

    def synchronize(self) -> None:
        """Wait until it has ended."""


class Source(Protocol[Item_co]):
    """Items that become ready one after the other."""

    def __next__(self) -> Item_co:
        """Return the next item; waits for it where it is not ready."""

    def is_ready(self) -> bool:
        """Return whether the next item comes without waiting and without an error."""


def one_ahead(items: Source[Item], start: Callable[[Item], Started]) -> Iterator[Started]:
    """Yield what `start` makes of each item; the next is started before the present one is yielded.

    Only where it is ready, so nobody waits for an item before asking for it, nor meets its error.
    """
    following: Started | None = None
    while True:
        if following is None:
            try:
                following = start(next(items))
            except StopIteration:
                return
        present = following
        following = start(next(items)) if items.is_ready() else None
        yield present
        # Not held while the next one is waited for.
        del present


class Kept:
    """Things that must not go before something has ended; several threads may add to it."""

    def __init__(self) -> None:
        self._held: deque[tuple[Ending, object]] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, thing: object, until: Ending) -> None:
        """Hold a thing; what is added later must end later."""
        with self._lock:
            self._held.append((until, thing))

    def let_go(self) -> None:
        """Drop the things whose time is over."""
        with self._lock:
            while self._held and self._held[0][0].query():
                self._held.popleft()

    def wait(self) -> None:
        """Wait until all has ended, and drop it."""
        with self._lock:
            while self._held:
                self._held[0][0].synchronize()
                self._held.popleft()


class Lead:
    """Holds one who runs ahead of a device to so many steps, which the device has to do yet."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._steps: deque[Ending] = deque()

    def add(self, step: Ending) -> None:
        """Begin a step; wait only while more than `most` of those before have not ended."""
        self._steps.append(step)
        if len(self._steps) > self._most:
            self._steps.popleft().synchronize()
