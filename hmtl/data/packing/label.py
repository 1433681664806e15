"""The label of a packed sample: a JSON object beside its image, read by any WebDataset reader."""

import json
import math
import os
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import CODEC_OF_SUFFIX, LARGEST

_ANGLES = ("yaw", "pitch", "roll")
_UNSAFE = re.compile("[^A-Za-z0-9_-]+")
_LONGEST_STEM = 60
_LARGEST_CRC = 2**32 - 1


class Label(NamedTuple):
    """What is known of a sample beside its pixels; angles in degrees, boxes in px of its image."""

    name: str
    subject: str
    convention: str
    pose: tuple[float, float, float]
    face: tuple[float, ...]
    box: tuple[float, ...]
    crc: int
    """Of the bytes that the sample's extent names; 0 where it is not known."""


def key_of(number: int, name: str) -> str:
    """Return the key of a sample: unique by its number, without dots, and safe in any file name."""
    stem, dot, extension = name.rpartition(".")
    stem = stem if f"{dot}{extension}".lower() in CODEC_OF_SUFFIX else name
    return f"{number:07d}-{_UNSAFE.sub('_', stem)[-_LONGEST_STEM:]}"


def to_bytes(label: Label) -> bytes:
    """Return one line of JSON in ASCII; an angle that is not known is null."""
    angles = {
        name: None if math.isnan(value) else value
        for name, value in zip(_ANGLES, label.pose, strict=True)
    }
    values = {
        "name": label.name,
        "subject": label.subject,
        "convention": label.convention,
        **angles,
        "face": label.face,
        "box": label.box,
        "crc32": label.crc,
    }
    return json.dumps(values, allow_nan=False).encode("ascii") + b"\n"


def from_bytes(content: bytes, *, name: str, subject: str) -> Label:
    """Return the label in a JSON object; ValueError says what is wrong with it.

    It must have `yaw`, `pitch`, `box` and may have the other fields; all angles are null where the
    picture has no labels. `name` and `subject` are taken where it does not say them.
    """
    try:
        values = json.loads(content)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error
    if not isinstance(values, dict):
        raise ValueError(f"label must be an object, got {values!r:.40}")
    convention = values.get("convention", "euler")
    if convention not in ("euler", "direction"):
        raise ValueError(f"convention must be 'euler' or 'direction', got {convention!r:.40}")
    box = _box("box", values.get("box"))
    return Label(
        name=_text("name", values.get("name", name)),
        subject=_text("subject", values.get("subject", subject)),
        convention=convention,
        pose=_pose(values),
        face=_box("face", values["face"]) if "face" in values else box,
        box=box,
        crc=_crc(values.get("crc32", 0)),
    )


def _pose(values: dict[str, Any]) -> tuple[float, float, float]:
    # Angles that are all null are of a picture without labels, angles that are left out are not.
    if all(values.get(name, "left out") is None for name in _ANGLES):
        return math.nan, math.nan, math.nan
    return (
        _number("yaw", values.get("yaw")),
        _number("pitch", values.get("pitch")),
        math.nan if values.get("roll") is None else _number("roll", values["roll"]),
    )


def plain(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Return float32 numbers as Python's, which keep every digit."""
    return tuple(values.astype(np.float64).tolist())


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(f"{what} must be a finite number within ±{LARGEST:g}, got {value!r:.40}")
    return float(value)


def _box(what: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"{what} must be four numbers, got {value!r:.40}")
    x0, y0, x1, y1 = (_number(what, edge) for edge in value)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"{what} must satisfy x0 < x1 and y0 < y1, got {value}")
    return x0, y0, x1, y1


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{what} must be a text, got {value!r:.40}")
    try:
        # As the index keeps it, which takes names of files that are not UTF-8.
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} must be a text of whole characters, got {value!r:.40}") from error
    return value


def _crc(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_CRC:
        raise ValueError(f"crc32 must be an integer of 32 bits, got {value!r:.40}")
    return value
