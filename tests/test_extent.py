"""Reading the bytes that an extent names."""

from pathlib import Path

import numpy as np
import pytest

from hmtl import _core

EXTENT = np.dtype(
    [("file", "<i4"), ("codec", "<i4"), ("offset", "<i8"), ("size", "<i8")], align=True
)


def extent(offset: int, size: int, file: int = 0) -> np.ndarray:
    return np.array([(file, 0, offset, size)], EXTENT)


def test_an_extent_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(100)))
    paths = ["unused", str(path)]

    assert _core.read_extent(paths=paths, extent=extent(10, 20, 1)) == bytes(range(10, 30))
    assert _core.read_extent(paths=paths, extent=extent(100, 0, 1)) == b""


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 101), (100, 1), (90, 11), (1 << 62, 1 << 62), (0, 1 << 50)]
)
def test_a_file_shorter_than_its_extent_is_an_error(tmp_path: Path, offset: int, size: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(100))

    message = rf"^file changed since .* {size:,} bytes .* {offset:,}: .*a.bin \(100 bytes\)$"
    with pytest.raises(_core.DecodeError, match=message):
        _core.read_extent(paths=[str(path)], extent=extent(offset, size))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    with pytest.raises(_core.DecodeError, match=r"^cannot open \(No such file.*\): .*missing.jpg$"):
        _core.read_extent(paths=[str(missing)], extent=extent(0, 1))
    with pytest.raises(_core.DecodeError, match=r"^not a regular file: "):
        _core.read_extent(paths=[str(tmp_path)], extent=extent(0, 1))


@pytest.mark.parametrize(("wrong", "message"), [
    (extent(0, 1, 1), "extent.file must be below 1, got 1"),
    (extent(0, 1, -1), "extent.file must be below 1, got -1"),
    (extent(-1, 1), "offset >= 0"),
    (extent(0, -1), "size >= 0"),
])  # fmt: skip
def test_impossible_extents_are_refused(wrong: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.read_extent(paths=["a"], extent=wrong)
