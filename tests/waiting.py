"""What must not wait for a GPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def forbid_waiting() -> None:
    """Let whatever waits for the GPU raise, until `allow_waiting`."""
    with warnings.catch_warnings():
        # Of torch, once in a process: that the mode is a prototype.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")


def allow_waiting() -> None:
    torch.cuda.set_sync_debug_mode("default")


@contextmanager
def without_waiting() -> Iterator[None]:
    try:
        forbid_waiting()
        yield
    finally:
        allow_waiting()
