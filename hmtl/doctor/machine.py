"""The machine: what computes, and how much of it this process may use."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from hmtl.data.parallel import usable_cores
from hmtl.doctor.finding import Finding
from hmtl.provenance import versions

MACHINE, GPU = "machine", "GPU"

_CPU_INFO = Path("/proc/cpuinfo")
_DRIVER = Path("/proc/driver/nvidia/version")
_GIB = 2**30


def machine() -> Iterator[Finding]:
    """Yield versions, processor, memory and the compiler that `train.compile` needs."""
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield Finding(part=MACHINE, name="versions", state="ok", text=found)
    cores = f"{usable_cores()} of {os.cpu_count()} cores usable, {_processor()}"
    yield Finding(part=MACHINE, name="processor", state="ok", text=cores)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    yield Finding(part=MACHINE, name="memory", state="ok", text=f"{memory:.1f} GiB")
    # As torch's compiler looks for it.
    compiler = os.environ.get("CXX") or "g++"
    path = shutil.which(compiler)
    yield Finding(
        part=MACHINE,
        name="C++ compiler",
        state="ok" if path else "missing",
        text=path or f"there is no {compiler}: train.compile cannot be used on the CPU",
        remedy="" if path else "Debian/Ubuntu: apt install build-essential",
    )


def _processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> Iterator[Finding]:
    """Yield each GPU that torch can use, or why there is none."""
    cuda = torch.version.cuda
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        text = (
            f"{device.name}, {device.total_memory / _GIB:.0f} GiB,"
            f" compute capability {device.major}.{device.minor}, CUDA {cuda}"
        )
        yield Finding(part=GPU, name=f"cuda:{number}", state="ok", text=text)
    if torch.cuda.device_count():
        return
    if not _DRIVER.exists():
        yield Finding(
            part=GPU,
            name="cuda",
            state="missing",
            text="there is no NVIDIA driver: everything runs on the CPU",
        )
        return
    driver = _DRIVER.read_text().splitlines()[0].partition(":")[2].strip()
    yield Finding(
        part=GPU,
        name="cuda",
        state="broken",
        text=f"there is a driver ({driver}), but torch {torch.__version__} sees no GPU",
        remedy=(
            f"torch needs a driver for CUDA {cuda}, and CUDA_VISIBLE_DEVICES must not hide the GPU"
            if cuda
            else "this torch is for CPUs only: install one for CUDA"
        ),
    )
