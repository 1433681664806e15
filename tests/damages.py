"""Files of a data set, damaged in every way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hmtl.data import Dataset


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_and_ended(data: bytes) -> bytes:
    return data[: len(data) // 2].rstrip(b"\xff") + b"\xff\xd9"


def without_tables(data: bytes) -> bytes:
    """Return a JPEG without quantisation tables."""
    at = data.index(b"\xff\xdb")
    return data[:at] + b"\xff\xfe" + data[at + 2 :]


def overfull_codes(data: bytes) -> bytes:
    at = data.index(b"\xff\xc4")
    return data[: at + 5] + b"\xff" * 16 + data[at + 21 :]


def unknown_symbol(data: bytes) -> bytes:
    """Return a JPEG whose structure is sound, with a code for more bits than a number has."""
    at = data.index(b"\xff\xc4")
    assert data[at + 4] == 0, "the first table is of differences"
    return data[: at + 21] + b"\xff" + data[at + 22 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": cut,
    "empty": lambda _: b"",
    "garbage": lambda data: bytes(range(256)) * (len(data) // 256),
    "no tables": without_tables,
    "overfull codes": overfull_codes,
}


def with_files(dataset: Dataset, changes: dict[int, Callable[[bytes], bytes]]) -> Dataset:
    """Change the files of rows, and what the dataset knows of their sizes."""
    extent = dataset.extent.copy()
    for row, change in changes.items():
        path = Path(dataset.paths()[row])
        path.write_bytes(change(path.read_bytes()))
        extent["size"][row] = path.stat().st_size
    return replace(dataset, extent=extent)
