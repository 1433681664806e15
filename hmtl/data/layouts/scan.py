"""What a data set's files look like from outside: names, sizes and times of change."""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

from hmtl.errors import DataError

Row = tuple[str, int, int]

UNREADABLE = -1
"""The size of a file whose status cannot be read, such as a link to nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The files that an index is made from, in an order that depends on their names alone.

    `names` lie below the root, with "/"; `sizes` are in bytes, `mtimes` in nanoseconds.
    """

    names: list[str]
    sizes: list[int]
    mtimes: list[int]

    def __add__(self, other: "Scan") -> "Scan":
        return Scan(
            names=self.names + other.names,
            sizes=self.sizes + other.sizes,
            mtimes=self.mtimes + other.mtimes,
        )


def from_rows(rows: Iterable[Row]) -> Scan:
    """Return the scan of (name, size, mtime) rows, sorted by name."""
    ordered = sorted(rows, key=itemgetter(0))
    return Scan(
        names=[row[0] for row in ordered],
        sizes=[row[1] for row in ordered],
        mtimes=[row[2] for row in ordered],
    )


def scan_folders(root: Path, folders: Iterable[str], suffixes: tuple[str, ...]) -> Scan:
    """Return the files of some folders of `root` ("" for `root` itself) that end so, sorted.

    Names that start with "_" or "." are left out, and what is no file. Raises DataError for a
    folder that cannot be read; a file whose status cannot be read is of the size UNREADABLE.
    """
    names: list[str] = []
    sizes: list[int] = []
    mtimes: list[int] = []
    for prefix in sorted(f"{folder}/" if folder else "" for folder in folders):
        # Names below an open folder take the system half as long to look up as whole paths.
        descriptor = _open_folder(root / prefix)
        try:
            for name in sorted(_listed(descriptor, suffixes)):
                try:
                    status = os.stat(name, dir_fd=descriptor)
                except OSError:
                    size, mtime = UNREADABLE, 0
                else:
                    if not stat.S_ISREG(status.st_mode):
                        continue
                    size, mtime = status.st_size, status.st_mtime_ns
                names.append(prefix + name)
                sizes.append(size)
                mtimes.append(mtime)
        finally:
            os.close(descriptor)
    return Scan(names=names, sizes=sizes, mtimes=mtimes)


def scan_folder(root: Path, folder: str, suffixes: tuple[str, ...]) -> list[Row]:
    """Return the rows of one folder; see `scan_folders`."""
    scan = scan_folders(root, [folder], suffixes)
    return list(zip(scan.names, scan.sizes, scan.mtimes, strict=True))


def subfolders(root: Path) -> list[str]:
    """Return the names of the folders in `root` that do not start with "_" or "."."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.name[0] not in "_." and e.is_dir())
    except OSError as error:
        _refuse(root, error)


def matching(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the names in a folder that match in whole; none where there is no such folder.

    Raises DataError for a folder that is there and cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if pattern.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _refuse(folder, error)


def _open_folder(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        _refuse(path, error)


def _listed(descriptor: int, suffixes: tuple[str, ...]) -> list[str]:
    return [n for n in os.listdir(descriptor) if n.endswith(suffixes) and n[0] not in "_."]


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
