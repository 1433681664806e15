"""The columns of packed samples, made when they are packed and from the shards alone."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hmtl.data.columns import EXTENT_DTYPE, ORIGIN_DTYPE, Codec, Columns, number_names
from hmtl.data.packing.label import Label
from hmtl.data.packing.record import Packing

_ROW = re.compile(r"(.*)#(0|[1-9]\d{0,9})", re.DOTALL | re.ASCII)


class PackedSample(NamedTuple):
    """A label and where the pixels are."""

    label: Label
    file: int
    """The number of the shard."""
    row: int
    """The number of the sample, from the first shard on."""
    codec: Codec
    offset: int
    size: int
    height: int
    width: int


def columns_of(
    samples: Sequence[PackedSample], shards: Sequence[str], packing: Packing | None
) -> Columns:
    """Return the columns of packed samples, in their order."""
    extent = np.zeros(len(samples), dtype=EXTENT_DTYPE)
    for name in ("file", "row", "codec", "offset", "size", "height", "width"):
        extent[name] = [getattr(sample, name) for sample in samples]
    labels = [sample.label for sample in samples]
    extent["crc"] = [label.crc for label in labels]
    subjects: dict[str, int] = {}
    origins: dict[str, int] = {}
    places = [_place(label.name) for label in labels]
    origin = np.zeros(len(samples), dtype=ORIGIN_DTYPE)
    origin["file"] = number_names((file for file, _ in places), origins)
    origin["row"] = [row for _, row in places]
    return Columns(
        files=tuple(shards),
        extent=extent,
        pose=np.array([label.pose for label in labels], dtype=np.float32).reshape(-1, 3),
        face=np.array([label.face for label in labels], dtype=np.float32).reshape(-1, 4),
        box=np.array([label.box for label in labels], dtype=np.float32).reshape(-1, 4),
        subject=number_names((label.subject for label in labels), subjects),
        subjects=tuple(subjects),
        boxes=packing.boxes if packing else "",
        origin=origin,
        origins=tuple(origins),
        packings=(packing,) if packing else (),
    )


def _place(name: str) -> tuple[str, int]:
    """Return file and row of a name as `sample_name` makes it."""
    found = _ROW.fullmatch(name)
    if found is None or int(found[2]) > np.iinfo(np.int32).max:
        return name, -1
    return found[1], int(found[2])
