"""`python -m hmtl.reproduce.child PARENT …`: `hmtl …`, told to stop when the process PARENT ends.

A training that went on alone would hold its run's folder, and nobody would know of it.
"""

import ctypes
import os
import runpy
import signal
import sys

# Linux's prctl(2): the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, on Linux, and become the command."""
    parent = int(sys.argv.pop(1))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            signal.raise_signal(signal.SIGTERM)
    runpy.run_module("hmtl", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
