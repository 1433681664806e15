"""Processes that are not to outlive the one that started them."""

import ctypes
import os
import signal
import sys

# Linux's prctl(2): the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have this process told to stop, by SIGTERM, when its parent is gone, however that ended.

    `parent` is the parent's number; where it is gone already, that comes at once. A training that
    went on alone would hold its run's folder, and nobody would know of it. On Linux only.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)
