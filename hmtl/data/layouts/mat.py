"""Numbers in MAT files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from hmtl.data.columns import LARGEST
from hmtl.data.layouts.files import read_bytes, wrong

Numbers = npt.NDArray[Any]


def read_numbers(root: Path, name: str, variables: tuple[str, ...]) -> list[Numbers]:
    """Return real variables of a MAT file, up to LARGEST; SampleError for any other or none."""
    file: Any = io.BytesIO(read_bytes("label", root, name))
    try:
        found = scipy.io.loadmat(file, appendmat=False, variable_names=variables)
    # SciPy's parser meets damaged files with whatever breaks first: zlib.error, TypeError,
    # KeyError, struct.error, its own MatReadError, ….
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise wrong("label", root, name, f"cannot read MAT file ({reason})") from error
    return [_numbers(root, name, variable, found.get(variable)) for variable in variables]


def _numbers(root: Path, name: str, variable: str, values: Any) -> Numbers:
    if values is None:
        raise wrong("label", root, name, f"no variable {variable}")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise wrong("label", root, name, f"{variable} must be a real array, got {_kind(values)}")
    usable = np.abs(values) <= LARGEST
    if not usable.all():
        reason = f"must be finite and within ±{LARGEST:g}, got {values[~usable][0]:g}"
        raise wrong("label", root, name, f"{variable} {reason}")
    return values


def _kind(values: Any) -> str:
    return str(values.dtype) if isinstance(values, np.ndarray) else type(values).__name__
