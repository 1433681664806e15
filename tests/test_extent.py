"""Reading the bytes that an extent names."""

from pathlib import Path

import numpy as np
import pytest

from hmtl import _core
from hmtl.data.columns import EXTENT_DTYPE, Codec


def extent(
    offset: int, size: int, file: int = 0, *, codec: Codec = Codec.JPEG, row: int = -1, crc: int = 0
) -> np.ndarray:
    return np.array([(file, codec, offset, size, 0, 0, row, crc)], EXTENT_DTYPE)


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


@pytest.mark.parametrize(
    ("row", "name"), [(-1, ""), (0, "row 0 of "), (1234567, "row 1234567 of ")]
)
def test_errors_name_the_row_of_a_file_of_several(tmp_path: Path, row: int, name: str) -> None:
    path = tmp_path / "subject.h5"
    with pytest.raises(_core.DecodeError, match=rf"^cannot open .*: {name}{path}$"):
        _core.read_extent(paths=[str(path)], extent=extent(0, 1, row=row))
    path.write_bytes(bytes(10))
    with pytest.raises(_core.DecodeError, match=rf"^file changed .*: {name}{path} \(10 bytes\)$"):
        _core.read_extent(paths=[str(path)], extent=extent(0, 11, row=row))
    with pytest.raises(ValueError, match=rf"offset >= 0 .* in {name}{path}$"):
        _core.read_extent(paths=[str(path)], extent=extent(-1, 11, row=row))


@pytest.mark.parametrize("codec", [Codec.BGR, Codec.LZF_BGR, Codec.DEFLATE_BGR, Codec.RGB])
def test_an_array_that_was_never_written_is_an_error(tmp_path: Path, codec: Codec) -> None:
    path = tmp_path / "subject.h5"
    path.write_bytes(bytes(10))
    for offset in (0, -1):
        with pytest.raises(_core.DecodeError, match=rf"^image was never written: row 3 of {path}$"):
            _core.read_extent(paths=[str(path)], extent=extent(offset, 0, codec=codec, row=3))


def test_errors_are_one_line_whatever_the_name_holds(tmp_path: Path) -> None:
    with pytest.raises(_core.DecodeError, match=r"^cannot open .*: .*/a\?b$"):
        _core.read_extent(paths=[f"{tmp_path}/a\nb"], extent=extent(0, 1))


def test_only_the_path_of_the_extent_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")

    assert _core.read_extent(paths=[object(), str(path)], extent=extent(0, 3, 1)) == b"abc"


def test_extents_of_another_layout_are_refused() -> None:
    old = np.zeros(1, [("file", "<i4"), ("codec", "<i4"), ("offset", "<i8"), ("size", "<i8")])
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.read_extent(paths=["a"], extent=old)
