"""Memory for batches: taken again once nobody holds it, never before."""

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_ALIGNMENT = 64


def aligned(shape: tuple[int, ...]) -> Pixels:
    """Return memory that begins with a line of the cache, as PyTorch's own does.

    NumPy asks the system for huge pages, which PyTorch does not: page faults of fresh memory cost
    ten times as much as what is computed into it.
    """
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    if size == 0:
        return memory[:0].reshape(shape)
    start = -memory.ctypes.data % _ALIGNMENT
    # Through a memoryview: views of a view of an array would refer to that array alone.
    return np.asarray(memory.data[start : start + size].cast("B", shape))


def fresh(count: int) -> Pixels:
    """Return so many bytes, anywhere."""
    return np.empty(count, np.uint8)


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
    free, to_be_held = [aligned((1,))], [aligned((1,))]
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
