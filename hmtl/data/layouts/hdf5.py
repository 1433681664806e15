"""Images in HDF5 files: where the bytes of each row lie, so that the core reads them by itself.

HDF5 is asked once, when an index is made. What it stores one image at a time, or in one piece,
needs no HDF5 library to be read; anything else is refused with the command that converts it.
"""

import contextlib
import itertools
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import h5py
import numpy as np
import numpy.typing as npt

from hmtl.data.columns import EXTENT_DTYPE, Codec
from hmtl.errors import DataError

# What h5py raises for files that are damaged, depending on what it meets first.
FAILURES = (LookupError, MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError)

_LAYOUTS = {h5py.h5d.COMPACT: "compact", h5py.h5d.VIRTUAL: "virtual"}
_DEFLATE, _SHUFFLE, _LZF = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_LZF
_CODECS = {_DEFLATE: Codec.DEFLATE_BGR, _LZF: Codec.LZF_BGR}
# Filters are numbered by the HDF Group; not every file names those that it uses.
_FILTERS = {
    _DEFLATE: "deflate",
    _SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_SZIP: "szip",
    h5py.h5z.FILTER_NBIT: "nbit",
    h5py.h5z.FILTER_SCALEOFFSET: "scale-offset",
    _LZF: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32015: "zstd",
    32026: "blosc2",
}
_REASON = re.compile(r"\((.*)\)$")
_SYSTEM = re.compile(r"[:,](?: (?:name|time) = .*?,)? errno = \d+, error message = '(.*?)'.*")


class Chunks(NamedTuple):
    """The chunks of a data set that were written."""

    first: npt.NDArray[np.int64]
    """(M,) the first row of each."""
    offset: npt.NDArray[np.int64]
    """(M,) as HDF5 tells it; see `_in_file`."""
    size: npt.NDArray[np.int64]
    """(M,) in bytes."""
    skipped: npt.NDArray[np.int64]
    """(M,) HDF5's filter mask: bit i is set where filter i was left out."""


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file to be read; what HDF5 finds wrong with it becomes a DataError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except FAILURES as error:
        raise DataError(f"cannot read HDF5 file {path}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return what HDF5 says in one line, without the name of the call that failed."""
    text = " ".join(str(error).split())
    inner = _REASON.search(text)
    return _SYSTEM.sub(r": \1", inner[1] if inner else text) or type(error).__name__


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a data set of the file; DataError where there is none."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"no data set {name} in {file.filename}")
    return found


def image_extents(file: h5py.File, name: str) -> npt.NDArray[Any]:
    """Return the extents (N,) of a uint8 data set (N, height, width, 3), blue first.

    `file` is left 0. A row that was never written has size 0, so that it fails when it is read.
    Raises DataError where the rows do not lie in this file as images that the core can read.
    """
    images = find_dataset(file, name)
    if images.file.filename != file.filename:
        _refuse(images, f"lies in {images.file.filename}", file.filename)
    shape = images.shape
    if images.dtype != np.uint8 or len(shape or ()) != 4 or shape[3] != 3:
        raise DataError(
            f"data set {_name(images)} must be uint8 of shape (N, height, width, 3), "
            f"got {images.dtype} {shape} in {file.filename}"
        )
    count, height, width, _ = shape
    limits = np.iinfo(EXTENT_DTYPE["row"]).max, np.iinfo(EXTENT_DTYPE["height"]).max
    if count > limits[0] or not (0 < height <= limits[1] and 0 < width <= limits[1]):
        raise DataError(
            f"data set {_name(images)} must have at most {limits[0]:,} images with sides of 1 to "
            f"{limits[1]:,} px, got {shape} in {file.filename}"
        )
    # Rows that were never written take no room: a small file could declare more than fit memory.
    size = Path(file.filename).stat().st_size
    if count > size:
        raise DataError(
            f"data set {_name(images)} must not have more images than its file has bytes, "
            f"got {count:,} and {size:,} in {file.filename}"
        )
    extent = np.zeros(count, dtype=EXTENT_DTYPE)
    extent["codec"] = Codec.BGR
    extent["height"], extent["width"] = height, width
    extent["row"] = np.arange(count)
    if images.chunks is None:
        _fill_contiguous(extent, images)
    else:
        _fill_chunked(extent, images)
    return extent


def written_rows(dataset: h5py.Dataset) -> npt.NDArray[np.bool_]:
    """Return which rows (N,) have a chunk in the file: HDF5 reads all others as zeros."""
    count = dataset.shape[0]
    if dataset.chunks is None:
        stored = dataset.is_virtual or dataset.id.get_storage_size() > 0
        return np.full(count, stored)
    expected = np.prod([-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)])
    if dataset.id.get_num_chunks() == expected:
        return np.ones(count, dtype=np.bool_)
    written = np.zeros(count, dtype=np.bool_)
    for first in np.unique(stored_chunks(dataset).first).tolist():
        written[first : first + dataset.chunks[0]] = True
    return written


def stored_chunks(dataset: h5py.Dataset, *, iterate: bool | None = None) -> Chunks:
    """Return the chunks that were written, in no order.

    `iterate` takes HDF5's own iteration, about 1.5 µs a chunk, instead of asking for one chunk
    after the other, 36 µs; by default where this HDF5 has it (1.12.3 and newer).
    """
    if iterate is None:
        iterate = hasattr(dataset.id, "chunk_iter")
    # Plain integers: a million of HDF5's answers at once would be hundreds of megabytes.
    numbers = array("q")

    def keep(chunk: Any) -> None:
        numbers.extend((chunk.chunk_offset[0], chunk.byte_offset, chunk.size, chunk.filter_mask))

    if iterate:
        dataset.id.chunk_iter(keep)
    else:
        steps = (range(0, n, c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
        for place in itertools.product(*steps):
            chunk = dataset.id.get_chunk_info_by_coord(place)
            if chunk.byte_offset is not None:
                keep(chunk)
    return Chunks(*np.frombuffer(numbers, dtype=np.int64).reshape(-1, 4).T)


def _fill_chunked(extent: npt.NDArray[Any], images: h5py.Dataset) -> None:
    single = (1, *images.shape[1:])
    if images.chunks != single:
        _refuse(images, f"has chunks of {images.chunks}, not of one image {single}")
    codec, place = _codec(images)
    chunks = stored_chunks(images)
    rows = chunks.first

    def stored(number: int) -> bytes:
        content = images.id.read_direct_chunk((int(rows[number]), 0, 0, 0))[1]
        return bytes(content)

    extent["offset"][rows] = _in_file(images, chunks.offset, stored)
    extent["size"][rows] = chunks.size
    # An image that would not have become smaller lies there as it is.
    extent["codec"][rows] = np.where(chunks.skipped >> place & 1, Codec.BGR, codec)


def _codec(images: h5py.Dataset) -> tuple[Codec, int]:
    """Return how chunks are encoded, and the number of the filter that does it."""
    properties = images.id.get_create_plist()
    codec, place = Codec.BGR, 0
    for number in range(properties.get_nfilters()):
        code, _, values, name = properties.get_filter(number)
        # Shuffling the bytes of elements of one byte leaves them where they are.
        if code == _SHUFFLE and values[:1] == (1,):
            continue
        if code not in _CODECS or codec != Codec.BGR:
            known = _FILTERS.get(code) or name.decode(errors="replace") or f"number {code}"
            _refuse(images, f"has the filter {known}")
        codec, place = _CODECS[code], number
    return codec, place


def _fill_contiguous(extent: npt.NDArray[Any], images: h5py.Dataset) -> None:
    stored_as = images.id.get_create_plist().get_layout()
    if images.external is not None:
        _refuse(images, f"has its values in other files ({images.external[0][0]!r})")
    if stored_as != h5py.h5d.CONTIGUOUS:
        _refuse(images, f"has {_LAYOUTS.get(stored_as, f'unknown ({stored_as})')} storage")
    # The offset of what has no place is not always None: behind a user block it is a number.
    if len(extent) == 0 or images.id.get_storage_size() == 0:
        return
    size = int(np.prod(images.shape[1:]))
    offset = images.id.get_offset() + size * np.arange(len(extent), dtype=np.int64)
    extent["offset"] = _in_file(images, offset, lambda row: images[row].tobytes())
    extent["size"] = size


def _in_file(
    images: h5py.Dataset, offset: npt.NDArray[np.int64], stored: Callable[[int], bytes]
) -> npt.NDArray[np.int64]:
    """Return offsets (M,) counted from the start of the file.

    `stored` reads the bytes at one of them through HDF5. Before 1.14.4 HDF5 counts chunks from the
    end of the user block (HDFGroup/hdf5 issue 3003), so what lies there decides.
    """
    path = images.file.filename
    shifts = sorted({0, images.file.userblock_size})
    with Path(path).open("rb") as file:
        for number in range(len(offset)):
            expected = stored(number)
            shifts = [s for s in shifts if _bytes_at(file, offset[number] + s, expected)]
            if len(shifts) < 2:
                break
    if not shifts:
        _refuse(images, f"does not lie where HDF5 {h5py.version.hdf5_version} says")
    return np.asarray(offset + shifts[0])


def _bytes_at(file: Any, offset: int, expected: bytes) -> bool:
    file.seek(offset)
    return bool(file.read(len(expected)) == expected)


def _name(dataset: h5py.Dataset) -> str:
    return str(dataset.name).lstrip("/")


def _refuse(dataset: h5py.Dataset, found: str, path: str | None = None) -> NoReturn:
    path = path or dataset.file.filename
    raise DataError(
        f"data set {_name(dataset)} {found}, expected one image in each chunk, raw, LZF or "
        f"deflate, or all in one piece: {path} (`hmtl data rechunk {path} OUT.h5` converts it)"
    )
