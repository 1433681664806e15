"""The columns that a layout fills and an index keeps."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hmtl.data.packing.record import Packing

if TYPE_CHECKING:
    from hmtl.data.dataset import Dataset

EXTENT_DTYPE = np.dtype(
    [
        ("file", "<i4"),
        ("codec", "<i4"),
        ("offset", "<i8"),
        ("size", "<i8"),
        ("height", "<u2"),
        ("width", "<u2"),
        ("row", "<i4"),
        ("crc", "<u4"),
    ],
    align=True,
)
"""Where a sample's encoded bytes lie; the memory layout is that of the core's `Extent`.

`height` and `width` are the sides in px of an image whose bytes do not say it themselves, else 0;
`row` is the number of the image in a file that holds several, -1 for a file that is one image;
`crc` is zlib's CRC-32 of the bytes, 0 where it is not known.
"""


ORIGIN_DTYPE = np.dtype([("file", "<i4"), ("row", "<i4")])
"""Which image a packed sample was made from: a row of `origins`, and `row` as in an extent."""


class Codec(enum.IntEnum):
    """How a sample's bytes are encoded; the numbers are the core's."""

    JPEG = 0
    PNG = 1
    BGR = 2
    """Raw uint8, height × width × 3, blue first."""
    LZF_BGR = 3
    DEFLATE_BGR = 4
    RGB = 5
    """The same as BGR, red first."""


LARGEST = 1e9
"""The largest number that a label may hold, in any unit: what is made of such numbers fits in
float32."""

CODEC_OF_SUFFIX = {".jpg": Codec.JPEG, ".jpeg": Codec.JPEG, ".png": Codec.PNG}
"""The codec of a loose file by its suffix in lower case."""

COLUMNS: dict[str, tuple[npt.DTypeLike, tuple[int, ...]]] = {
    "extent": (EXTENT_DTYPE, ()),
    "pose": (np.float32, (3,)),
    "face": (np.float32, (4,)),
    "box": (np.float32, (4,)),
    "subject": (np.int32, ()),
}
"""Of each column the type and the shape behind N."""

OPTIONAL_COLUMNS: dict[str, tuple[npt.DTypeLike, tuple[int, ...]]] = {"origin": (ORIGIN_DTYPE, ())}
"""The same of columns that may be None."""


def as_column(name: str, values: npt.ArrayLike, count: int) -> npt.NDArray[Any]:
    """Return a column of `count` samples in its type; ValueError where it has another shape."""
    dtype, behind = (COLUMNS | OPTIONAL_COLUMNS)[name]
    column = np.ascontiguousarray(values, dtype=dtype)
    if column.shape != (count, *behind):
        raise ValueError(f"{name} must be of shape {(count, *behind)}, got {column.shape}")
    return column


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
    boxes: str = ""
    """Where the boxes come from, of a layout that has a choice."""
    origin: npt.NDArray[Any] | None = None
    origins: tuple[str, ...] = ()
    packings: tuple[Packing, ...] = ()


def number_names(names: Iterable[str], numbers: dict[str, int]) -> npt.NDArray[np.int32]:
    """Return the number (N,) of each name; `numbers` holds those given so far, and the new ones."""
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int32)


def sample_name(file: str, row: int) -> str:
    """Return a sample's name: its file, with the number of the image where that holds several."""
    return file if row < 0 else f"{file}#{row}"


def sample_names(samples: "Columns | Dataset") -> list[str]:
    """Return the name of every sample: that of its image, or of the one it was packed from."""
    origin, files = samples.origin, samples.origins
    if origin is None:
        origin, files = samples.extent, samples.files
    places = zip(origin["file"].tolist(), origin["row"].tolist(), strict=True)
    return [sample_name(files[file], row) for file, row in places]


def file_extents(sizes: npt.ArrayLike, codecs: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return the extents of N files of one image each, of these sizes in bytes and codecs."""
    lengths = np.asarray(sizes, dtype=np.int64)
    extent = np.zeros(len(lengths), dtype=EXTENT_DTYPE)
    extent["file"] = np.arange(len(lengths))
    extent["codec"] = codecs
    extent["size"] = lengths
    extent["row"] = -1
    return extent
