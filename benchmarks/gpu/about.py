"""Which GPU, libraries and kernels the figures are of."""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torchvision

from benchmarks.gpu.scale import Scale
from hmtl.data import kernels

_DRIVER = Path("/proc/driver/nvidia/version")
_PACKAGES = re.compile(r"triton|kornia|nvidia-(dali|nvimgcodec|nvjpeg)(-cu.*)?")


def about(scale: Scale) -> dict[str, Any]:
    """Return plain values, None for what is not there."""
    is_gpu = scale.device == "cuda"
    return {
        "scale": scale.name,
        "device": torch.cuda.get_device_name() if is_gpu else "cpu, no verdict",
        "driver": _DRIVER.read_text().splitlines()[0] if _DRIVER.exists() else None,
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "cuda": torch.version.cuda if is_gpu else None,
        "kernels_built": kernels.cuda is not None,
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Return the versions of what compiles, decodes and augments, by the names of the packages.

    DALI cannot tell its nvJPEG: since 2.4 it does not link with it, and says that it is -1.
    """
    found = metadata.distributions()
    return {one.name: one.version for one in found if _PACKAGES.fullmatch(one.name or "")}
