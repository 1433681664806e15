"""How the C library hands memory back to the system."""

import ctypes
import platform

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process use freed memory again, whatever its size; True where that can be told.

    By default glibc gives large pieces back when they are freed. A training step on the CPU frees
    its gradients and activations and takes as much again, and for every page the system has to find
    one and fill it with zeros: some 10,000 times a step for a ResNet18. The process keeps its peak.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _LARGEST) and mallopt(_MMAP_THRESHOLD, _LARGEST))
