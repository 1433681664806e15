"""Memory for batches: taken again once nobody holds it, never before."""

import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def _with_references(arrays: Sequence[Pixels], count: int) -> Pixels | None:
    """Return the first array that has so many references, as seen from in here.

    The loop variable is one of them: another thread in the same loop sees one more.
    """
    for array in arrays:
        if sys.getrefcount(array) == count:
            return array
    return None


def _references_of_a_free_array() -> int:
    """Measure, because it depends on the version of Python and on what watches the interpreter.

    Raises RuntimeError where an array that is held looks like one that nobody holds.
    """
    free, to_be_held = [np.empty(1, np.uint8)], [np.empty(1, np.uint8)]
    held = to_be_held[0][:]
    count = next(count for count in range(1, 100) if _with_references(free, count) is not None)
    if held.base is not to_be_held[0] or _with_references(to_be_held, count) is not None:
        raise RuntimeError(
            f"an array in use must have more references than the {count} of one that is free"
        )
    return count


_REFERENCES_OF_A_FREE_ARRAY = _references_of_a_free_array()


class BufferPool:
    """Hands out arrays of one shape. Fresh pages cost more than rendering into them.

    Every tensor and view of an array holds a reference to it: an array that only the pool refers to
    can be written again.
    """

    def __init__(self, allocate: Callable[[], Pixels], keep: int) -> None:
        self._allocate = allocate
        self._keep = keep
        self._arrays: list[Pixels] = []

    def take(self) -> Pixels:
        """Return an array that nobody holds."""
        free = _with_references(self._arrays, _REFERENCES_OF_A_FREE_ARRAY)
        if free is not None:
            return free
        fresh = self._allocate()
        if len(self._arrays) < self._keep:
            self._arrays.append(fresh)
        return fresh
