"""What a data set's files look like from outside: names, sizes and times of change."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from hmtl.errors import DataError

Row = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The files that an index is made from, sorted by name.

    `names` lie below the root, with "/"; `sizes` are in bytes, `mtimes` in nanoseconds.
    """

    names: list[str]
    sizes: list[int]
    mtimes: list[int]


def from_rows(rows: Iterable[Row]) -> Scan:
    """Return the scan of (name, size, mtime) rows."""
    ordered = sorted(rows, key=itemgetter(0))
    return Scan(
        names=[row[0] for row in ordered],
        sizes=[row[1] for row in ordered],
        mtimes=[row[2] for row in ordered],
    )


def scan_folder(root: Path, folder: str, suffixes: tuple[str, ...]) -> list[Row]:
    """Return the rows of the files of a folder of `root` ("" for `root`) that end so.

    Names that start with "_" or "." are left out. Raises DataError for a file that cannot be read.
    """
    prefix = f"{folder}/" if folder else ""
    rows: list[Row] = []
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(suffixes) and name[0] not in "_.":
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        rows.append((prefix + name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
    return rows


def subfolders(root: Path) -> list[str]:
    """Return the names of the folders in `root` that do not start with "_" or "."."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.name[0] not in "_." and e.is_dir())
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
