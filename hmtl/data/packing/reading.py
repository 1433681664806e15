"""Samples read from the shards alone: packed ones without their index, and other people's."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from hmtl import _core
from hmtl.data.columns import EXTENT_DTYPE, Codec
from hmtl.data.layouts.layout import OnProblem, Problem
from hmtl.data.packing import tar
from hmtl.data.packing.label import Label, from_bytes
from hmtl.data.packing.record import Packing
from hmtl.data.packing.table import PackedSample
from hmtl.errors import DataError

LABEL = "json"
CODECS = {"jpg": Codec.JPEG, "jpeg": Codec.JPEG, "png": Codec.PNG, "ppm": Codec.RGB}
"""The codec of a member by what follows the key in its name."""

_LONGEST_LABEL = 1 << 20
# Where the header of an image is looked for first.
_HEAD_BYTES = 4096
_LARGEST_SIDE = int(np.iinfo(EXTENT_DTYPE["height"]).max)
_PPM = re.compile(rb"P6(?:\s|#[^\n]*\n)+(\d{1,5})(?:\s|#[^\n]*\n)+(\d{1,5})(?:\s|#[^\n]*\n)+255\s")
# Members at the head of an archive that tell whether it is a shard.
_LOOKED_AT = 8


class Group(NamedTuple):
    """The members of an archive that have the same key, which makes them one sample."""

    key: str
    members: dict[str, tar.Member]
    """By what follows the key and a dot."""


class _Image(NamedTuple):
    codec: Codec
    offset: int
    size: int
    height: int
    width: int


def groups(file: BinaryIO) -> Iterator[Group]:
    """Yield the samples of a shard.

    Raises DataError for what is no archive, has a name twice or a sample that has a member twice.
    """
    seen: set[str] = set()
    group = Group("", {})
    for member in tar.members(file):
        if member.name in seen:
            raise DataError(f"member {member.name!r} is there twice: {file.name}")
        seen.add(member.name)
        folder, slash, name = member.name.rpartition("/")
        stem, _, extension = name.partition(".")
        key = folder + slash + stem
        if key != group.key:
            if group.members:
                yield group
            group = Group(key, {})
        kind = extension.lower()
        if kind in (LABEL, *CODECS) and kind in group.members:
            both = f"{group.members[kind].name!r} and {member.name!r}"
            raise DataError(f"members {both} are the same one of a sample: {file.name}")
        group.members[kind] = member
    if group.members:
        yield group


def read_packing(path: Path) -> Packing | None:
    """Return what a shard says of its packing; None where it says nothing that can be read."""
    try:
        with path.open("rb") as file:
            text = tar.read_comment(file)
        return None if text is None else Packing.from_json(text)
    except (OSError, RecursionError, TypeError, ValueError):
        return None


def first_label(path: Path) -> Label | None:
    """Return a label at the head of an archive; None where there is none. Any bytes are safe."""
    try:
        with path.open("rb") as file:
            for member in islice(tar.members(file), _LOOKED_AT):
                if member.name.lower().endswith(f".{LABEL}"):
                    return _label(file, path.name, Group("", {LABEL: member}))
    except (DataError, OSError, ValueError):
        pass
    return None


def read_shard(
    root: Path, number: int, name: str, first_row: int, on_problem: OnProblem
) -> list[PackedSample]:
    """Return the samples of a shard; those that are wrong are told and left out.

    Raises DataError where the archive is damaged: what it holds beyond that place is not known.
    """
    samples: list[PackedSample] = []
    path = root / name
    try:
        with path.open("rb") as file:
            for group in groups(file):
                if not {LABEL, *CODECS} & group.members.keys():
                    continue
                try:
                    label, image = _label(file, name, group), _image(file, path, group)
                except ValueError as error:
                    message = f"{error} in {path}"
                    on_problem(Problem(kind="label", path=f"{name}/{group.key}", message=message))
                    continue
                row = first_row + len(samples)
                samples.append(PackedSample(label, number, row, *image))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return samples


def _label(file: BinaryIO, shard: str, group: Group) -> Label:
    if LABEL not in group.members:
        raise ValueError(f"image has no label: {group.key!r}")
    member = group.members[LABEL]
    if member.size > _LONGEST_LABEL:
        raise ValueError(f"label of {member.size:,} bytes: {member.name!r}")
    try:
        content = _read(file, member.offset, member.size)
        return from_bytes(content, name=f"{shard}/{group.key}", subject=group.key)
    except ValueError as error:
        raise ValueError(f"{error}: {member.name!r}") from error


def _image(file: BinaryIO, path: Path, group: Group) -> _Image:
    found = [extension for extension in CODECS if extension in group.members]
    if len(found) != 1:
        what = "no image" if not found else f"several images ({', '.join(found)})"
        raise ValueError(f"label has {what} beside it: {group.key!r}")
    member, codec = group.members[found[0]], CODECS[found[0]]
    head = _read(file, member.offset, min(member.size, _HEAD_BYTES))
    if codec == Codec.RGB:
        return _ppm(head, member)
    name = os.fsencode(f"{path}/{member.name}")
    try:
        height, width = _core.image_size(head, codec, name)
    except _core.DecodeError:
        # The header may be longer; where the image is broken, that is told when it is decoded.
        try:
            height, width = _core.image_size(_read(file, member.offset, member.size), codec, name)
        except _core.DecodeError:
            height = width = 0
    if max(height, width) > _LARGEST_SIDE:
        height = width = 0
    return _Image(codec, member.offset, member.size, height, width)


def _ppm(head: bytes, member: tar.Member) -> _Image:
    header = _PPM.match(head)
    width, height = (int(header[1]), int(header[2])) if header else (0, 0)
    if header is None or not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise ValueError(f"no binary PPM of 8 bits (P6, 255): {member.name!r}")
    size = member.size - header.end()
    if size != 3 * height * width:
        raise ValueError(f"PPM of {width}×{height} px has {size:,} bytes: {member.name!r}")
    return _Image(Codec.RGB, member.offset + header.end(), size, height, width)


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
