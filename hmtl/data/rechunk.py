"""HDF5 files rewritten so that each image is a chunk of its own, which the core can read."""

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hmtl.data.layouts.hdf5 import FAILURES, open_hdf5, reason, written_rows
from hmtl.errors import ConfigError, DataError

OnProgress = Callable[[int, int], None]
"""Called with the numbers of images that are done and that there are."""

BLOCK_BYTES = 64 << 20
"""How many bytes are held at a time, unless the chunks of the source are larger."""

_logger = logging.getLogger(__name__)


def rechunk(source: Path, target: Path, on_progress: OnProgress) -> None:
    """Write a copy of an HDF5 file in which each image is a chunk of its own, LZF-compressed.

    Images are the data sets of uint8 (N, height, width, 3), wherever they lie. Rows that were never
    written stay so. All else is copied as it is; what lies in other files becomes part of the copy.
    Raises ConfigError where the target exists, DataError where the source cannot be read or the
    target cannot be written; the target is there as a whole or not at all.
    """
    if target.exists() or target.is_symlink():
        raise ConfigError(f"target must not exist yet, got {target}")
    if not target.parent.is_dir():
        raise DataError(f"cannot write {target}: there is no folder {target.parent}")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with open_hdf5(source) as file:
        items = list(_items(file, {_identity(file): "/"}))
        total = sum(len(item) for _, item in items if _holds_images(item))
        if total == 0:
            raise DataError(f"no data set of uint8 (N, height, width, 3) in {source}")
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            on_progress(done, total)

        try:
            with _writing(target), _new_file(temporary) as copy:
                _copy_attributes(file, copy)
                for path, item in items:
                    _copy(path, item, copy, advance)
            with _writing(target):
                temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    with h5py.File(path, "x", rdcc_nbytes=0) as file:
        try:
            yield file
        except BaseException:
            # Makes room: where the disk is full, HDF5 cannot close the file, and a file that it
            # cannot close crashes the process at its end.
            os.truncate(path, 0)
            raise


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FAILURES as error:
        raise DataError(f"cannot write {target}: {reason(error)}") from error


def _items(group: h5py.Group, seen: dict[Any, str]) -> Iterator[tuple[str, Any]]:
    """Yield what lies below a group, groups before their members: its path in the copy and itself.

    It is a SoftLink, the path (str) under which the same object comes earlier, or an object.
    """
    place = seen[_identity(group)]
    for name in group:
        path = f"{place.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            yield path, link
            continue
        item = group[name]
        first = seen.setdefault(_identity(item), path)
        yield path, item if first == path else first
        if first == path and isinstance(item, h5py.Group):
            yield from _items(item, seen)


def _identity(item: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _holds_images(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.dtype != np.uint8:
        return False
    shape: tuple[int, ...] = item.shape or ()
    return len(shape) == 4 and shape[3] == 3 and min(shape) > 0


def _copy(path: str, item: Any, copy: h5py.File, advance: Callable[[int], None]) -> None:
    if isinstance(item, str):
        copy[path] = copy[item]
    elif isinstance(item, h5py.SoftLink):
        copy[path] = item
    elif isinstance(item, h5py.Group):
        _copy_attributes(item, copy.create_group(path))
    elif _holds_images(item):
        storage = {"chunks": (1, *item.shape[1:]), "compression": "lzf"}
        _copy_values(item, copy, path, advance, storage)
    elif isinstance(item, h5py.Dataset) and (item.is_virtual or item.external is not None):
        _copy_values(item, copy, path, lambda _rows: None, {"chunks": None})
    else:
        copy.copy(item, path)


def _copy_values(
    values: h5py.Dataset,
    copy: h5py.File,
    path: str,
    advance: Callable[[int], None],
    storage: dict[str, Any],
) -> None:
    """Copy a data set row by row; `advance` is told how many rows are done more."""
    if values.is_virtual:
        _demand_sources(values)
    limits = values.maxshape if storage["chunks"] else None
    made = copy.create_dataset(
        path, values.shape, values.dtype, maxshape=limits, fillvalue=values.fillvalue, **storage
    )
    _copy_attributes(values, made)
    written = written_rows(values)
    step = _rows_at_a_time(values)
    for start in range(0, len(values), step):
        part = written[start : start + step]
        for first, end in _runs(part):
            made[start + first : start + end] = _read(values, start + first, start + end)
        advance(len(part))


def _read(values: h5py.Dataset, first: int, end: int) -> npt.NDArray[Any]:
    try:
        return np.asarray(values[first:end])
    except FAILURES as error:
        raise DataError(
            f"cannot read rows {first} to {end - 1} of data set {values.name.lstrip('/')} "
            f"in {values.file.filename}: {reason(error)}"
        ) from error


def _rows_at_a_time(values: h5py.Dataset) -> int:
    """Return how many rows make up about BLOCK_BYTES: whole chunks, if they are not too large."""
    row_bytes: int = max(1, values.dtype.itemsize * int(np.prod(values.shape[1:])))
    rows = max(1, BLOCK_BYTES // row_bytes)
    per_chunk: int = values.chunks[0] if values.chunks else 1
    if per_chunk <= rows:
        return rows - rows % per_chunk
    return per_chunk if per_chunk * row_bytes <= 4 * BLOCK_BYTES else rows


def _runs(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield where each run of True starts and ends."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _demand_sources(values: h5py.Dataset) -> None:
    """Raise DataError where a virtual data set lacks a file: HDF5 would read zeros for it."""
    here = Path(values.file.filename)
    for source in values.virtual_sources():
        name = source.file_name
        # A pattern stands for as many files as there are.
        known = name == "." or "%b" in name
        if not known and not (here.parent / name).exists() and not Path(name).exists():
            raise DataError(
                f"virtual data set {values.name.lstrip('/')} needs the file {name}, which is not "
                f"there: {here}"
            )


def _copy_attributes(source: Any, target: Any) -> None:
    for name, value in source.attrs.items():
        dtype = source.attrs.get_id(name).dtype
        if _refers(dtype):
            _logger.warning(
                "attribute %s of %s refers to objects and is left out: %s",
                name,
                source.name,
                source.file.filename,
            )
        elif isinstance(value, h5py.Empty):
            target.attrs.create(name, value)
        else:
            target.attrs.create(name, value, dtype=dtype)


def _refers(dtype: np.dtype[Any]) -> bool:
    """Return whether values of this type point to objects of their file."""
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return _refers(inner)
    if dtype.names is not None:
        return any(_refers(dtype[name]) for name in dtype.names)
    return h5py.check_ref_dtype(dtype) is not None
