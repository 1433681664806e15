"""Memory of batches is taken again once nobody holds it, never before."""

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hmtl.data import buffers
from hmtl.data.buffers import BufferPool, Pixels, aligned

WAYS_TO_HOLD: dict[str, Callable[[Pixels], Any]] = {
    "array": lambda array: array,
    "numpy view": lambda array: array[:2],
    "row view": lambda array: array[1],
    "tensor": torch.from_numpy,
    "row of a tensor": lambda array: torch.from_numpy(array)[1],
    "dlpack": np.from_dlpack,
    "dlpack of a tensor": lambda array: torch.utils.dlpack.to_dlpack(torch.from_numpy(array)),
    "memoryview": memoryview,
    "row of a memoryview": lambda array: memoryview(array)[1:2],
}


def pool_of_one() -> BufferPool:
    return BufferPool(lambda: aligned((3, 5)), keep=1)


def address(array: Pixels) -> int:
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 7, 7, 3), (0, 4)])
def test_memory_begins_with_a_line_of_the_cache(shape):
    arrays = [aligned(shape) for _ in range(9)]
    assert all(address(array) % 64 == 0 for array in arrays if array.size)
    assert all(array.shape == shape and array.flags.writeable for array in arrays)


@pytest.mark.parametrize("way", WAYS_TO_HOLD)
def test_an_array_is_taken_again_when_its_last_holder_goes(way):
    pool = pool_of_one()
    array = pool.take()
    first = address(array)
    held = WAYS_TO_HOLD[way](array)
    del array
    gc.collect()
    assert [address(pool.take()) == first for _ in range(3)] == [False] * 3
    del held
    gc.collect()
    assert [address(pool.take()) == first for _ in range(3)] == [True] * 3


def test_a_frame_that_waits_with_the_array_holds_it():
    """The only reference is a local variable of another function."""
    pool = pool_of_one()

    def hold():
        array = pool.take()
        yield address(array)
        yield address(array)

    frame = hold()
    first = next(frame)
    assert address(pool.take()) != first
    frame.close()
    assert address(pool.take()) == first


def test_two_threads_never_have_the_same_array():
    pool = BufferPool(lambda: np.zeros(8, np.uint8), keep=4)
    mixed = []

    def work(number: int) -> None:
        for _ in range(20_000):
            array = pool.take()
            array[:] = number
            if (array != number).any():
                mixed.append(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not mixed


def test_a_count_that_cannot_tell_is_refused(monkeypatch):
    """As in an interpreter where views do not count."""
    monkeypatch.setattr(buffers.sys, "getrefcount", lambda _: 3)
    with pytest.raises(RuntimeError, match="an array in use must have more references than the 3"):
        buffers._references_of_a_free_array()
