"""One CSV file beside the images: `path,x0,y0,x1,y1,yaw,pitch,roll[,subject]`.

Paths are relative to the CSV's folder, boxes in pixels, angles in degrees.
"""

import contextlib
import csv
import math
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from hmtl.data.columns import CODEC_OF_SUFFIX, LARGEST, Columns, file_extents
from hmtl.data.crops import BOX
from hmtl.data.layouts.layout import Layout, OnProblem, Problem, Request
from hmtl.data.layouts.scan import Row, Scan, from_rows
from hmtl.errors import DataError

NUMBERS = ("x0", "y0", "x1", "y1", "yaw", "pitch", "roll")
COLUMNS = ("path", *NUMBERS)
SUBJECT = "subject"
_HEADER = f"{','.join(COLUMNS)}[,{SUBJECT}]"
_LOOKS_FOR = f"exactly one .csv file, its first line {_HEADER}"
# In characters: any header, and what is no table is not read whole.
_LONGEST_HEADER = 4096


class _Line(NamedTuple):
    place: str
    """The file and the line, for error messages."""
    path: str
    numbers: list[float]
    """As in NUMBERS."""
    subject: str


def _find(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() == ".csv" else None
    tables = [path for path in root.glob("*.csv") if path.is_file()]
    if len(tables) != 1:
        return None
    with tables[0].open(encoding="utf-8-sig", errors="surrogateescape") as file:
        header = _names(csv.reader([file.readline(_LONGEST_HEADER)]))
    # A list of boxes beside another data set starts with a path too, but has no angles.
    return tables[0] if header[:1] == [COLUMNS[0]] and "yaw" in header else None


def _names(lines: Iterator[list[str]]) -> list[str]:
    """Return the names of the columns from the first of the lines."""
    return [name.strip() for name in next(lines, [])]


def _scan(table: Path, _request: Request) -> Scan:
    if not table.is_file():
        raise DataError(f"expected a .csv file or a folder with {_LOOKS_FOR}, got {table}")
    rows: dict[str, Row] = {table.name: _row(table, table.name)}
    # What is wrong with a line, or with an image that it names, is told when it is read.
    for line in _lines(table, lambda _problem: None):
        if line.path not in rows:
            with contextlib.suppress(OSError):
                rows[line.path] = _row(table.parent / line.path, line.path)
    return from_rows(rows.values())


def _row(path: Path, name: str) -> Row:
    status = path.stat()
    return name, status.st_size, status.st_mtime_ns


def _read(table: Path, scan: Scan, _request: Request, on_problem: OnProblem) -> Columns:
    sizes = dict(zip(scan.names, scan.sizes, strict=True))
    files: dict[str, int] = {}
    subjects: dict[str, int] = {}
    of_file: list[int] = []
    subject: list[int] = []
    numbers: list[list[float]] = []
    for line in _lines(table, on_problem):
        if line.path not in sizes:
            on_problem(_unreadable(table, line))
            continue
        of_file.append(files.setdefault(line.path, len(files)))
        subject.append(subjects.setdefault(line.subject, len(subjects)))
        numbers.append(line.numbers)
    if not numbers:
        raise DataError(f"no samples in {table}")
    codecs = [CODEC_OF_SUFFIX[_suffix(name)] for name in files]
    extents = file_extents([sizes[name] for name in files], codecs)
    columns = np.asarray(numbers, dtype=np.float32)  # (N, 7)
    return Columns(
        files=tuple(files),
        extent=extents[of_file],
        pose=columns[:, 4:],
        face=columns[:, :4],
        box=columns[:, :4],
        subject=np.asarray(subject, dtype=np.int32),
        subjects=tuple(subjects),
    )


def _unreadable(table: Path, line: _Line) -> Problem:
    path = table.parent / line.path
    try:
        path.stat()
        reason = "changed while it was read"
    except OSError as error:
        reason = str(error.strerror)
    message = f"cannot read image {path}: {reason} ({line.place})"
    return Problem(kind="image", path=line.path, message=message)


def _lines(table: Path, on_problem: OnProblem) -> Iterator[_Line]:
    """Yield the lines below the header that make sense; blank ones are passed over."""
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            header = _names(reader)
            if tuple(header) not in (COLUMNS, (*COLUMNS, SUBJECT)):
                raise DataError(f"columns must be {_HEADER}, got {','.join(header)} ({table}:1)")
            for fields in reader:
                place = f"{table}:{reader.line_num}"
                try:
                    if fields:
                        yield _line(place, fields, len(header))
                except ValueError as error:
                    message = f"{error} ({place})"
                    on_problem(Problem(kind="label", path=table.name, message=message))
        except csv.Error as error:
            raise DataError(f"{error} ({table}:{reader.line_num})") from error


def _line(place: str, fields: list[str], count: int) -> _Line:
    """Return one line's values; raise ValueError that says what is wrong with it."""
    if len(fields) != count:
        raise ValueError(f"expected {count} columns, got {len(fields)}")
    path = posixpath.normpath(fields[0])
    if path.startswith(("/", "../")) or path in (".", "..") or "\0" in path:
        raise ValueError(f"path must lie below the CSV's folder, got {fields[0]!r}")
    if _suffix(path) not in CODEC_OF_SUFFIX:
        raise ValueError(f"images must end in {', '.join(CODEC_OF_SUFFIX)}, got {path!r}")
    values = [field.strip() for field in fields[1:]]
    subject = values[len(NUMBERS)] if len(values) > len(NUMBERS) else ""
    return _Line(place, path, _numbers(values), subject or path[: -len(_suffix(path))])


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _numbers(values: list[str]) -> list[float]:
    numbers: list[float] = []
    for name, text in zip(NUMBERS, values, strict=False):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= LARGEST:
            raise ValueError(f"{name} must be a finite number within ±{LARGEST:g}, got {text!r}")
        numbers.append(number)
    x0, y0, x1, y1 = numbers[:4]
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"box must satisfy x0 < x1 and y0 < y1, got {','.join(values[:4])}")
    return numbers


LAYOUT = Layout(
    name="csv",
    looks_for=_LOOKS_FOR,
    example="one .csv with path and yaw",
    crops=(BOX,),
    find=_find,
    scan=_scan,
    read=_read,
)
