"""One CSV file beside the images: `path,x0,y0,x1,y1,yaw,pitch,roll[,subject]`.

Paths are relative to the CSV's folder, boxes in pixels, angles in degrees.
"""

import csv
import math
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from hmtl.data.columns import CODECS, EXTENT_DTYPE, Columns
from hmtl.data.crops import BOX
from hmtl.data.layouts.layout import Layout
from hmtl.data.layouts.scan import Row, Scan, from_rows
from hmtl.errors import DataError

NUMBERS = ("x0", "y0", "x1", "y1", "yaw", "pitch", "roll")
COLUMNS = ("path", *NUMBERS)
SUBJECT = "subject"
_HEADER = f"{','.join(COLUMNS)}[,{SUBJECT}]"


class _Line(NamedTuple):
    place: str
    """The file and the line, for error messages."""
    path: str
    values: list[str]


def _find(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() == ".csv" else None
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        return None
    with tables[0].open(encoding="utf-8-sig", errors="surrogateescape") as file:
        return tables[0] if file.readline().split(",")[0].strip() == COLUMNS[0] else None


def _scan(table: Path) -> Scan:
    if not table.is_file():
        raise DataError(f"expected a .csv file or a folder with exactly one, got {table}")
    rows: dict[str, Row] = {table.name: _status(table, table.name, str(table))}
    for line in _lines(table):
        if line.path not in rows:
            rows[line.path] = _status(table.parent / line.path, line.path, line.place)
    if len(rows) == 1:
        raise DataError(f"no samples in {table}")
    return from_rows(rows.values())


def _status(path: Path, name: str, place: str) -> Row:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"cannot read image {path}: {error.strerror} ({place})") from error
    return name, status.st_size, status.st_mtime_ns


def _read(table: Path, scan: Scan, _crop: str) -> Columns:
    sizes = dict(zip(scan.names, scan.sizes, strict=True))
    files: dict[str, int] = {}
    subjects: dict[str, int] = {}
    extents: list[tuple[int, int, int, int]] = []
    numbers: list[list[float]] = []
    subject: list[int] = []
    for line in _lines(table):
        number = files.setdefault(line.path, len(files))
        extents.append((number, _codec(line), 0, sizes[line.path]))
        numbers.append(_numbers(line))
        person = line.values[len(NUMBERS)] if len(line.values) > len(NUMBERS) else ""
        person = person or line.path.removesuffix(PurePosixPath(line.path).suffix)
        subject.append(subjects.setdefault(person, len(subjects)))
    columns = np.asarray(numbers, dtype=np.float32)  # (N, 7)
    return Columns(
        files=tuple(files),
        extent=np.array(extents, dtype=EXTENT_DTYPE),
        pose=columns[:, 4:],
        face=columns[:, :4],
        box=columns[:, :4],
        subject=np.asarray(subject, dtype=np.int32),
        subjects=tuple(subjects),
    )


def _lines(table: Path) -> Iterator[_Line]:
    """Yield the lines below the header; blank ones are passed over."""
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            if tuple(header) not in (COLUMNS, (*COLUMNS, SUBJECT)):
                raise DataError(f"columns must be {_HEADER}, got {','.join(header)} ({table}:1)")
            for fields in reader:
                if fields:
                    yield _line(f"{table}:{reader.line_num}", fields, len(header))
        except csv.Error as error:
            raise DataError(f"{error} ({table}:{reader.line_num})") from error


def _line(place: str, fields: list[str], count: int) -> _Line:
    if len(fields) != count:
        raise DataError(f"expected {count} columns, got {len(fields)} ({place})")
    path = posixpath.normpath(fields[0])
    if path.startswith(("/", "../")) or path in (".", ".."):
        raise DataError(f"path must lie below the CSV's folder, got {fields[0]!r} ({place})")
    return _Line(place, path, [field.strip() for field in fields[1:]])


def _codec(line: _Line) -> int:
    suffix = PurePosixPath(line.path).suffix.lower()
    if suffix not in CODECS:
        raise DataError(f"images must end in {', '.join(CODECS)}, got {line.path!r} ({line.place})")
    return CODECS[suffix]


def _numbers(line: _Line) -> list[float]:
    numbers: list[float] = []
    for name, text in zip(NUMBERS, line.values, strict=False):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{name} must be a finite number, got {text!r} ({line.place})")
        numbers.append(number)
    x0, y0, x1, y1 = numbers[:4]
    if not (x0 < x1 and y0 < y1):
        box = ",".join(line.values[:4])
        raise DataError(f"box must satisfy x0 < x1 and y0 < y1, got {box} ({line.place})")
    return numbers


LAYOUT = Layout(
    name="csv",
    looks_for=f"exactly one .csv file, its first line {_HEADER}",
    crops=(BOX,),
    find=_find,
    scan=_scan,
    read=_read,
)
