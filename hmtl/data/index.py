"""The index: a layout's columns, kept in one file beside the data set or in the user's cache.

It is one `.npz` file, read without pickle, named after the layout and the crop rule. It holds the
fingerprint of the files it was made from; where that differs from the files found, and where the
index is torn or of another version, it is made anew.
"""

import hashlib
import json
import logging
import os
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import EXTENT_DTYPE, Columns
from hmtl.data.layouts.layout import Layout
from hmtl.data.layouts.scan import Scan

VERSION = 1
"""Goes up when the same files give other columns, or the columns are kept in another way."""

FOLDER = ".hmtl-index"

# RuntimeError is what zipfile raises for flags and methods that it does not know.
_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
_logger = logging.getLogger(__name__)


class StaleIndexError(Exception):
    """An index cannot be used; the message says why."""


def open_columns(layout: Layout, location: Path, crop: str) -> tuple[Columns, str]:
    """Return the columns of the data set at `location` and their fingerprint.

    They come from an index where one fits; else they are read from the files and kept.
    """
    scan = layout.scan(location)
    fingerprint = fingerprint_of(scan, layout=layout.name, crop=crop)
    paths = index_paths(layout.name, location, crop)
    reason = "no index yet"
    for path in paths:
        if path.exists():
            try:
                return load_index(path, fingerprint), fingerprint
            except StaleIndexError as stale:
                reason = str(stale)
    _logger.info("indexing %s, %s files: %s", location, f"{len(scan.names):,}", reason)
    columns = layout.read(location, scan, crop)
    _save_where_possible(paths, columns, fingerprint)
    return columns, fingerprint


def fingerprint_of(scan: Scan, *, layout: str, crop: str) -> str:
    """Return the SHA-256 of names, sizes and times of change, layout, crop rule and version."""
    digest = hashlib.sha256(json.dumps([VERSION, layout, crop, len(scan.names)]).encode())
    digest.update(os.fsencode("\0".join(scan.names)))
    digest.update(np.asarray(scan.sizes, dtype="<i8").tobytes())
    digest.update(np.asarray(scan.mtimes, dtype="<i8").tobytes())
    return digest.hexdigest()


def index_paths(layout: str, location: Path, crop: str) -> tuple[Path, Path]:
    """Return where the index may lie: beside the data set, and in the user's cache folder."""
    root = location if location.is_dir() else location.parent
    parts = [layout, crop] if location.is_dir() else [layout, crop, location.stem]
    name = "-".join(parts)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = hashlib.sha256(os.fsencode(location.absolute())).hexdigest()[:16]
    return root / FOLDER / f"{name}.npz", cache / "hmtl" / f"{name}-{place}.npz"


def save_index(path: Path, columns: Columns, fingerprint: str) -> None:
    """Write an index: to a temporary file first, so that no reader meets half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            np.savez(
                file,
                version=np.int64(VERSION),
                fingerprint=_pack([fingerprint]),
                files=_pack(columns.files),
                extent=columns.extent,
                pose=columns.pose,
                face=columns.face,
                box=columns.box,
                subject=columns.subject,
                subjects=_pack(columns.subjects),
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_index(path: Path, fingerprint: str) -> Columns:
    """Return the columns of an index.

    Raises StaleIndexError when it is of another version, of other files, or not whole.
    """
    try:
        # Opened here, as np.load leaves a file open that it cannot make sense of.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if (version := int(arrays["version"])) != VERSION:
                raise StaleIndexError(f"version {version} of the index, expected {VERSION}")
            if _unpack(arrays["fingerprint"]) != (fingerprint,):
                raise StaleIndexError("changed files")
            return Columns(
                files=_unpack(arrays["files"]),
                extent=arrays["extent"].astype(EXTENT_DTYPE, copy=False),
                pose=arrays["pose"],
                face=arrays["face"],
                box=arrays["box"],
                subject=arrays["subject"],
                subjects=_unpack(arrays["subjects"]),
            )
    except _UNREADABLE as error:
        raise StaleIndexError(f"unreadable index {path}") from error


def _save_where_possible(paths: Sequence[Path], columns: Columns, fingerprint: str) -> None:
    for path in paths:
        try:
            save_index(path, columns, fingerprint)
        except OSError:
            continue
        _logger.info("index written to %s", path)
        return
    _logger.warning("index not kept: cannot write %s", " or ".join(map(str, paths)))


def _pack(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return names as one array of bytes: as many small strings they would load slowly."""
    return np.frombuffer(os.fsencode("\0".join(names)), dtype=np.uint8)


def _unpack(packed: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(os.fsdecode(packed.tobytes()).split("\0"))
