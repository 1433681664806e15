"""The index of a packed data set, a file beside its shards."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import Columns
from hmtl.data.index import (
    StaleIndexError,
    column_arrays,
    from_arrays,
    open_arrays,
    to_arrays,
    unpack_names,
    write_arrays,
)

INDEX = "hmtl-packed.npz"

VERSION = 4
"""Goes up when an index that was written cannot be read any more, or has another fingerprint; 1 to
3 were those of all indexes."""


class OwnIndex(NamedTuple):
    """What the index of a packed data set says; the shards are `columns.files`."""

    columns: Columns
    sizes: npt.NDArray[np.int64]
    """(S,) of the shards, in bytes."""
    crcs: npt.NDArray[np.uint32]
    """(S,) CRC-32 of all bytes of each shard."""

    @property
    def fingerprint(self) -> str:
        """Changes with every column and with the content of the shards.

        It does not with where or when they were copied.
        """
        digest = hashlib.sha256()
        for name, values in column_arrays(self.columns).items():
            digest.update(f"{name} {values.nbytes}\0".encode() + _bytes(values))
        digest.update(self.sizes.astype("<i8").tobytes() + self.crcs.astype("<u4").tobytes())
        return digest.hexdigest()


def _bytes(values: npt.NDArray[Any]) -> bytes:
    """Return what an array holds, without what lies between its fields."""
    names = values.dtype.names
    return b"".join(values[name].tobytes() for name in names) if names else values.tobytes()


def write_own_index(path: Path, index: OwnIndex) -> None:
    """Write an index into a folder that nobody reads yet."""
    arrays = to_arrays(index.columns, index.fingerprint, VERSION)
    with path.open("xb") as file:
        write_arrays(file, arrays | {"shard_sizes": index.sizes, "shard_crcs": index.crcs})


def read_own_index(folder: Path) -> OwnIndex:
    """Return the index of a folder.

    Raises FileNotFoundError where there is none and StaleIndexError where it cannot be read.
    """
    with open_arrays(folder / INDEX, VERSION) as arrays:
        columns = from_arrays(arrays)
        sizes, crcs = arrays["shard_sizes"], arrays["shard_crcs"]
        if sizes.dtype != np.int64 or crcs.dtype != np.uint32:
            raise ValueError("other types")
        if not sizes.shape == crcs.shape == (len(columns.files),):
            raise ValueError("other shapes")
        if len(columns.packings) != 1 or columns.origin is None:
            raise ValueError("no packed data set")
        if not all(name.endswith(".tar") and "/" not in name for name in columns.files):
            raise ValueError("other names")
        index = OwnIndex(columns, sizes, crcs)
        if unpack_names(arrays["fingerprint"]) != (index.fingerprint,):
            raise StaleIndexError(f"columns are not those that were written: {folder / INDEX}")
        return index
