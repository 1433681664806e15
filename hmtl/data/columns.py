"""The columns that a layout fills and an index keeps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

EXTENT_DTYPE = np.dtype(
    [("file", "<i4"), ("codec", "<i4"), ("offset", "<i8"), ("size", "<i8")], align=True
)
"""Where a sample's encoded bytes lie; the memory layout is that of the core's `Extent`."""

CODECS = {".jpg": 0, ".jpeg": 0, ".png": 1}
"""The core's number of the codec by the suffix of a loose file, in lower case."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Columns:
    """What a layout knows of N samples; the fields mean what they mean in `Dataset`."""

    files: tuple[str, ...]
    extent: npt.NDArray[Any]
    pose: npt.NDArray[np.float32]
    face: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]
    subject: npt.NDArray[np.int32]
    subjects: tuple[str, ...]
