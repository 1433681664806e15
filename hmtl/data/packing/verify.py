"""A packed data set compared with its index, byte for byte."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hmtl.data.columns import Columns, sample_names
from hmtl.data.layouts.layout import OnProblem, Problem
from hmtl.data.packing import tar
from hmtl.data.packing.label import Label, key_of, plain, to_bytes
from hmtl.data.packing.own_index import INDEX, OwnIndex
from hmtl.data.packing.sample import SUFFIX, ppm_head
from hmtl.errors import DataError

_CHUNK_BYTES = 1 << 20


def verify_index(folder: Path, error: Exception, on_problem: OnProblem) -> None:
    """Tell of an index that is not there or cannot be used."""
    path = folder / INDEX
    reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be used ({error})"
    message = f"index {reason}, the samples are read from the shards: {path}"
    on_problem(Problem(kind="index", path=INDEX, message=message))


def verify_shards(folder: Path, index: OwnIndex, present: list[str], on_problem: OnProblem) -> None:
    """Tell of members and shards that are missing, changed or too many, and labels that differ.

    That shards are missing or of another size, and that images have changed, is told by those who
    open and decode them.
    """
    for name in sorted(set(present).difference(index.columns.files)):
        message = f"shard is not in {INDEX}: {folder / name}"
        on_problem(Problem(kind="shard", path=name, message=message))
    names = sample_names(index.columns)
    for number, name in enumerate(index.columns.files):
        try:
            with (folder / name).open("rb") as file:
                is_whole = _crc(file) == int(index.crcs[number])
                for member, what in _changes(file, number, index, names, is_whole=is_whole):
                    place = f"{name}/{member}" if member else name
                    message = f"{what}: {folder / place}"
                    on_problem(Problem(kind="shard", path=place, message=message))
        except FileNotFoundError:
            continue
        except (DataError, OSError) as error:
            text = str(error) if isinstance(error, DataError) else f"cannot read {folder / name}"
            on_problem(Problem(kind="shard", path=name, message=text))


def _changes(
    file: BinaryIO, number: int, index: OwnIndex, names: list[str], *, is_whole: bool
) -> Iterator[tuple[str, str]]:
    """Yield what differs between a shard and the index: a member, what.

    The member is "" for the shard itself, whose bytes are those that were packed if it `is_whole`.
    Images are left out: what decodes them tells.
    """
    columns = index.columns
    file.seek(0)
    found = {member.name: member for member in tar.members(file)}
    unexplained = not is_whole
    for row in np.flatnonzero(columns.extent["file"] == number).tolist():
        key = key_of(int(columns.extent["row"][row]), names[row])
        for name, content in _expected(columns, row, key, names[row]).items():
            member = found.pop(name, None)
            if member is None:
                unexplained = False
                yield name, f"member of {INDEX} is missing"
            elif not _starts_with(file, member, content):
                unexplained = False
                yield name, f"member is not as {INDEX} says"
        unexplained = unexplained and _image_is_same(file, columns, row)
    for name in found:
        yield name, f"member is not in {INDEX}"
    if unexplained and not found:
        yield "", "bytes changed outside of the samples"


def _expected(columns: Columns, row: int, key: str, name: str) -> dict[str, bytes]:
    """Return the members of a sample: what the image begins with, and all of the label."""
    packing, extent = columns.packings[0], columns.extent[row]
    label = Label(
        name=name,
        subject=columns.subjects[columns.subject[row]],
        convention=packing.convention,
        pose=plain(columns.pose[row]),  # type: ignore[arg-type]
        face=plain(columns.face[row]),
        box=plain(columns.box[row]),
        crc=int(extent["crc"]),
    )
    head = ppm_head(extent["height"], extent["width"]) if packing.codec == "raw" else b""
    return {key + SUFFIX[packing.codec]: head, f"{key}.json": to_bytes(label)}


def _starts_with(file: BinaryIO, member: tar.Member, content: bytes) -> bool:
    file.seek(member.offset)
    return file.read(min(len(content), member.size)) == content


def _image_is_same(file: BinaryIO, columns: Columns, row: int) -> bool:
    extent = columns.extent[row]
    file.seek(int(extent["offset"]))
    return zlib.crc32(file.read(int(extent["size"]))) == int(extent["crc"])


def _crc(file: BinaryIO) -> int:
    crc = 0
    while chunk := file.read(_CHUNK_BYTES):
        crc = zlib.crc32(chunk, crc)
    return crc
