"""The kernels for CUDA devices, where they were built."""

from types import ModuleType

from hmtl.errors import ConfigError

cuda: ModuleType | None
"""`hmtl._cuda`."""

try:
    from hmtl import _cuda as cuda
except ImportError:
    cuda = None


def require_kernels() -> ModuleType:
    """Return the kernels; raise ConfigError unless they were built."""
    if cuda is None:
        raise ConfigError(
            "the CUDA kernels were not built: install the CUDA toolkit, whose nvcc must be found,"
            " then hmtl anew; -Ccmake.define.HMTL_CUDA=ON tells what is missing"
        )
    return cuda
