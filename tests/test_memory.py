"""Freed memory is used again."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    from hmtl.memory import keep_freed_memory
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    before = faults()
    # Larger than any threshold that glibc finds by itself.
    parts = [torch.ones(12 * 2**20) for _ in range(3)]
    del parts
    last = faults() - before
print(last)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_not_asked_of_the_system_again() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-P", "-c", COUNT, how]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert faults("kept") < faults("given back") / 4
