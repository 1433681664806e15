"""Checksums: those of zlib by another way, and what a sample with the wrong one is."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from test_extent import extent

from hmtl import _core

BYTES = np.random.default_rng(4).integers(0, 256, 5000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("size", [*range(800), 1023, 1024, 4095, 4999, 5000])
def test_checksums_are_those_of_zlib(size: int) -> None:
    for data in (BYTES[:size], BYTES[len(BYTES) - size :], bytes(size), b"\xff" * size):
        assert _core.crc32_plain(data) == zlib.crc32(data)
        for use_wide in (False, True):
            assert _core.crc32(data, use_wide=use_wide) == zlib.crc32(data)


def test_the_known_answer() -> None:
    assert _core.crc32(b"123456789") == _core.crc32_plain(b"123456789") == 0xCBF43926
    # The catalogue's check value repeated beyond the length where folding begins.
    assert _core.crc32(b"123456789" * 20) == zlib.crc32(b"123456789" * 20)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path, data = tmp_path / "a.bin", bytearray(BYTES[:131])
    good = extent(3, 128, crc=zlib.crc32(data[3:]))
    path.write_bytes(data)
    assert _core.read_extent(paths=[str(path)], extent=good) == bytes(data[3:])
    for bit in range(24, 8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(_core.DecodeError, match=r"^bytes changed since they were packed"):
            _core.read_extent(paths=[str(path)], extent=good)
        data[bit // 8] ^= 1 << bit % 8


def test_a_wrong_checksum_names_both_and_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(b"123456789")
    said = (
        r"^bytes changed since they were packed, crc32 cbf43926, expected 0000001f: "
        rf"row 7 of {path} \(9 bytes\)$"
    )
    with pytest.raises(_core.DecodeError, match=said):
        _core.read_extent(paths=[str(path)], extent=extent(0, 9, row=7, crc=31))
    assert _core.read_extent(paths=[str(path)], extent=extent(0, 9, row=7)) == b"123456789"
