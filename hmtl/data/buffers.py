"""Memory for batches: taken again once nobody holds it, never before."""

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# References that `take` itself sees: the list's, the loop variable's and getrefcount's argument.
_REFERENCES_OF_A_FREE_ARRAY = 3


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
        for array in self._arrays:
            if sys.getrefcount(array) == _REFERENCES_OF_A_FREE_ARRAY:
                return array
        fresh = self._allocate()
        if len(self._arrays) < self._keep:
            self._arrays.append(fresh)
        return fresh
