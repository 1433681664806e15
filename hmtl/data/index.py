"""The index: a layout's columns, kept in one file beside the data set or in the user's cache.

It is one `.npz` file, read without pickle, named after the layout and what was asked of it. It
holds the fingerprint of the files it was made from; where that differs from the files found, and
where the index is torn or of another version, it is made anew.
"""

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import COLUMNS, Codec, Columns, as_column
from hmtl.data.layouts.layout import Layout, Request, refuse
from hmtl.data.layouts.scan import Scan
from hmtl.data.packing.record import Packing
from hmtl.errors import DataError

VERSION = 3
"""Of the indexes made here: goes up when the same files give other columns, or the columns are kept
in another way. The index that comes with packed data has a version of its own."""

FOLDER = ".hmtl-index"
MISSING = "no index yet"

_logger = logging.getLogger(__name__)


class StaleIndexError(Exception):
    """An index cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """The columns of a data set, and what became of its index."""

    columns: Columns
    fingerprint: str
    path: Path | None
    """The index; None where it could not be written."""
    reason: str | None
    """Why the columns were read from the files; None where an index had them."""


def open_columns(layout: Layout, location: Path, request: Request) -> Indexed:
    """Return the columns of the data set at `location`.

    They come from an index where one fits; else they are read from the files and kept. Raises
    DataError for the first file that is wrong.
    """
    reason = MISSING
    if layout.own_index is not None:
        try:
            path, columns, fingerprint = layout.own_index(location)
            return Indexed(columns=columns, fingerprint=fingerprint, path=path, reason=None)
        except FileNotFoundError:
            pass
        except StaleIndexError as stale:
            reason = str(stale)
    scan = layout.scan(location, request)
    fingerprint = fingerprint_of(scan, layout=layout.name, request=request)
    paths = index_paths(layout.name, location, request)
    for path in paths:
        try:
            columns = load_index(path, fingerprint)
            return Indexed(columns=columns, fingerprint=fingerprint, path=path, reason=None)
        except FileNotFoundError:
            continue
        except StaleIndexError as stale:
            reason = str(stale)
    _logger.info("indexing %s, %s files: %s", location, f"{len(scan.names):,}", reason)
    columns = layout.read(location, scan, request, refuse)
    kept = _save_where_possible(paths, columns, fingerprint)
    return Indexed(columns=columns, fingerprint=fingerprint, path=kept, reason=reason)


def fingerprint_of(scan: Scan, *, layout: str, request: Request) -> str:
    """Return the SHA-256 of names, sizes and times of change, layout, request and version."""
    boxes: list[str | int] = []
    if request.boxes is not None:
        status = request.boxes.stat()
        boxes = [os.fspath(request.boxes.absolute()), status.st_size, status.st_mtime_ns]
    key = [VERSION, layout, request.crop, request.split, boxes, len(scan.names)]
    digest = hashlib.sha256(json.dumps(key).encode())
    digest.update(os.fsencode("\0".join(scan.names)))
    digest.update(np.asarray(scan.sizes, dtype="<i8").tobytes())
    digest.update(np.asarray(scan.mtimes, dtype="<i8").tobytes())
    return digest.hexdigest()


def index_paths(layout: str, location: Path, request: Request) -> tuple[Path, Path]:
    """Return where the index may lie: beside the data set, and in the user's cache folder."""
    root = location if location.is_dir() else location.parent
    parts = [layout, request.crop]
    if request.split is not None:
        parts.append(request.split)
    if not location.is_dir():
        parts.append(location.stem)
    if request.boxes is not None:
        parts += [request.boxes.stem, _digest_of_path(request.boxes)]
    name = "-".join(parts)
    place = _digest_of_path(location)
    return root / FOLDER / f"{name}.npz", cache_folder() / f"{name}-{place}.npz"


def cache_folder() -> Path:
    """Return the user's cache folder for what cannot be kept beside a data set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hmtl"


def _digest_of_path(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]


def save_index(path: Path, columns: Columns, fingerprint: str) -> None:
    """Write an index: to a temporary file first, so that no reader meets half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            write_arrays(file, to_arrays(columns, fingerprint, VERSION))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_arrays(file: BinaryIO, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as `open_arrays` reads them."""
    np.savez(file, **arrays)  # type: ignore[arg-type]


def to_arrays(columns: Columns, fingerprint: str, version: int) -> dict[str, npt.NDArray[Any]]:
    """Return what an index holds, by name."""
    return {
        "version": np.array(version, dtype=np.int64),
        "fingerprint": pack_names([fingerprint]),
        **column_arrays(columns),
    }


def column_arrays(columns: Columns) -> dict[str, npt.NDArray[Any]]:
    """Return everything that columns hold, by name."""
    arrays = {
        "files": pack_names(columns.files),
        **{name: getattr(columns, name) for name in COLUMNS},
        "subjects": pack_names(columns.subjects),
        "boxes": pack_names([columns.boxes]),
    }
    if columns.origin is not None:
        arrays["origin"] = columns.origin
        arrays["origins"] = pack_names(columns.origins)
    if columns.packings:
        arrays["packings"] = pack_names([packing.to_json() for packing in columns.packings])
    return arrays


def load_index(path: Path, fingerprint: str) -> Columns:
    """Return the columns of an index.

    Raises StaleIndexError when it is of another version, of other files, not whole or not readable,
    and FileNotFoundError when there is none.
    """
    with open_arrays(path, VERSION) as arrays:
        if unpack_names(arrays["fingerprint"]) != (fingerprint,):
            raise StaleIndexError("changed files")
        return from_arrays(arrays)


@contextlib.contextmanager
def open_arrays(path: Path, expected: int) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """Yield the arrays of an index of the expected version, each read when it is asked for.

    Whatever goes wrong with them, within the block too, is a StaleIndexError; FileNotFoundError
    where there is no index.
    """
    try:
        # Opened here, as np.load leaves a file open that it cannot make sense of.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if (version := int(arrays["version"])) != expected:
                raise StaleIndexError(f"version {version} of the index, expected {expected}")
            yield arrays
    except (DataError, FileNotFoundError, StaleIndexError):
        raise
    # NumPy's parser meets damaged files with whatever breaks first; see `read_boxes`.
    except Exception as error:
        raise StaleIndexError(f"unreadable index {path}") from error


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Columns:
    """Return the columns that `to_arrays` took apart; any error where they do not fit together."""
    columns = {name: arrays[name] for name in COLUMNS}
    count = len(columns["extent"])
    files, subjects = unpack_names(arrays["files"]), unpack_names(arrays["subjects"])
    read = {name: as_column(name, values, count) for name, values in columns.items()}
    _check_extents(read["extent"], files)
    _check_numbers(read["subject"], subjects)
    origin: npt.NDArray[Any] | None = None
    origins: tuple[str, ...] = ()
    if "origin" in arrays:
        origin = as_column("origin", arrays["origin"], count)
        origins = unpack_names(arrays["origins"])
        _check_numbers(origin["file"], origins)
    packings = unpack_names(arrays["packings"]) if "packings" in arrays else ()
    return Columns(
        files=files,
        **read,
        subjects=subjects,
        boxes=unpack_names(arrays["boxes"])[0],
        origin=origin,
        origins=origins,
        packings=tuple(Packing.from_json(text) for text in packings),
    )


def _check_extents(extent: npt.NDArray[Any], files: Sequence[str]) -> None:
    """Raise ValueError for what is no error of a file when the core meets it, but of its caller."""
    _check_numbers(extent["file"], files)
    written = extent["size"] != 0
    if (extent["size"] < 0).any() or (extent["offset"][written] < 0).any():
        raise ValueError("extents must have offset >= 0 and size >= 0")
    if not np.isin(extent["codec"], list(Codec)).all():
        raise ValueError("unknown codecs")


def _check_numbers(numbers: npt.NDArray[Any], names: Sequence[str]) -> None:
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(names):
        raise ValueError("numbers of names that are not there")


def _save_where_possible(paths: Sequence[Path], columns: Columns, fingerprint: str) -> Path | None:
    for path in paths:
        try:
            save_index(path, columns, fingerprint)
        except OSError:
            continue
        _logger.info("index written to %s", path)
        return path
    _logger.warning("index not kept: cannot write %s", " or ".join(map(str, paths)))
    return None


def pack_names(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return names as one array of bytes: as many small strings they would load slowly."""
    return np.frombuffer(os.fsencode("\0".join(names)), dtype=np.uint8)


def unpack_names(packed: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(os.fsdecode(packed.tobytes()).split("\0"))
