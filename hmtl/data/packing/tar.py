"""Tar archives as shards: written byte for byte the same, and read without trusting them.

Python's `tarfile` follows links, sparse maps and headers of any size. A shard needs none of that:
a member is a name and a range of bytes, and whatever else an archive holds is refused.
"""

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from hmtl.errors import DataError

BLOCK = 512
# As tar pads its archives.
_RECORD = 20 * BLOCK
# Of a long name or of what is said of a member ahead of it.
_LONGEST_HEADER = 1 << 20
_COMMENT = "comment"
_DIRECTORY, _EXTENDED, _GLOBAL, _LONG_NAME = b"5", b"x", b"g", b"L"
_FILES = (b"0", b"\0", b"7")


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    offset: int
    """Where its bytes begin."""
    size: int


class _Header(NamedTuple):
    name: bytes
    kind: bytes
    size: int


def member(name: str, content: bytes) -> bytes:
    """Return a member as it lies in an archive; times and owners are always the same."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + content + bytes(-len(content) % BLOCK)


def comment(text: str) -> bytes:
    """Return a comment on a whole archive, which comes first and which every reader passes over."""
    return tarfile.TarInfo.create_pax_global_header({_COMMENT: text})


def end(length: int) -> bytes:
    """Return what closes an archive of so many bytes."""
    closed = length + 2 * BLOCK
    return bytes(2 * BLOCK + -closed % _RECORD)


def members(file: BinaryIO) -> Iterator[Member]:
    """Yield the files of an archive, which is at its start.

    Raises DataError, naming the archive and the place, for what is not whole or no plain file.
    """
    length = os.fstat(file.fileno()).st_size
    said: dict[str, bytes] = {}
    at = 0
    while (header := _read_header(file, at, length)) is not None:
        start = at + BLOCK
        if header.kind in (_EXTENDED, _GLOBAL, _LONG_NAME):
            if header.size > _LONGEST_HEADER:
                raise _error(f"header of {header.size:,} bytes", at, file)
            content = file.read(header.size)
            if header.kind != _GLOBAL:
                said |= _extended(content, header.kind, at, file)
        elif header.kind == _DIRECTORY:
            said = {}
        else:
            found = _member(header, said, start, file)
            if found.size > length - start:
                raise _error(f"{found.name!r} goes beyond the end of the archive", at, file)
            header = header._replace(size=found.size)
            said = {}
            yield found
        at = start + header.size + -header.size % BLOCK
        file.seek(at)


def read_comment(file: BinaryIO) -> str | None:
    """Return the comment at the head of an archive, if there is one; any bytes are safe."""
    try:
        header = _read_header(file, 0, os.fstat(file.fileno()).st_size)
        if header is None or header.kind != _GLOBAL or header.size > _LONGEST_HEADER:
            return None
        found = _records(file.read(header.size)).get(_COMMENT)
        return None if found is None else found.decode()
    except (DataError, ValueError):
        return None


def _read_header(file: BinaryIO, at: int, length: int) -> _Header | None:
    """Return the header of the next member; None where the archive ends."""
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise _error("archive is cut off", length, file)
    if not block.strip(b"\0"):
        return None
    try:
        expected = _number(block[148:156])
        size = _number(block[124:136])
    except ValueError as error:
        raise _error("no header of a tar archive", at, file) from error
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != expected:
        raise _error("broken header", at, file)
    if not 0 <= size <= length:
        raise _error(f"member of {size:,} bytes in an archive of {length:,}", at, file)
    name = block[:100].rstrip(b"\0").split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _Header(prefix + b"/" + name if prefix else name, block[156:157], size)


def _number(field: bytes) -> int:
    """Return a number in octal digits or, as large ones are, in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if not digits or digits.strip(b"01234567"):
        raise ValueError("no octal digits")
    return int(digits, 8)


def _extended(content: bytes, kind: bytes, at: int, file: BinaryIO) -> dict[str, bytes]:
    """Return what is said of the next member: in these fields `path` and `size` count."""
    if kind == _LONG_NAME:
        return {"path": content.split(b"\0")[0]}
    try:
        return _records(content)
    except ValueError as error:
        raise _error("broken extended header", at, file) from error


def _records(content: bytes) -> dict[str, bytes]:
    """Return the records "LENGTH KEY=VALUE\\n" of an extended header."""
    records: dict[str, bytes] = {}
    while content.rstrip(b"\0"):
        digits, space, _ = content[:24].partition(b" ")
        count = int(digits) if digits.isdigit() else 0
        record, content = content[:count], content[count:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not (space and equals) or len(record) != count or value[-1:] != b"\n":
            raise ValueError("no record")
        records[key.decode("utf-8", "surrogateescape")] = value[:-1]
    return records


def _member(header: _Header, said: dict[str, bytes], start: int, file: BinaryIO) -> Member:
    name = os.fsdecode(said.get("path", header.name))
    if header.kind not in _FILES or any(key.startswith("GNU.sparse") for key in said):
        raise _error(f"{name!r} is a link or another special member", start - BLOCK, file)
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise _error(f"member has the name {name!r}", start - BLOCK, file)
    digits = said.get("size", b"%d" % header.size)
    if not digits.isdigit() or len(digits) > 18:
        raise _error(f"{name!r} has no size", start - BLOCK, file)
    return Member(name, start, int(digits))


def _error(what: str, at: int, file: BinaryIO) -> DataError:
    return DataError(f"{what}, byte {at:,}: {file.name}")
