"""Decoding of PNG, against Pillow where it reads the same."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pictures import (
    PNG,
    assert_covers,
    assert_same_samples,
    chunk,
    decode,
    exif,
    pillow_rgb,
    png,
    rgb,
    scene,
)

from hmtl import _core

PNG_KINDS = [
    *((depth, 0) for depth in (1, 2, 4, 8, 16)),
    *((depth, 3) for depth in (1, 2, 4, 8)),
    *((depth, color) for color in (2, 4, 6) for depth in (8, 16)),
]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_extra(depth: int, color: int, transparent: bool) -> bytes:
    """Return the palette and, where the colour type takes it, a transparency chunk."""
    rng = np.random.default_rng(5)
    extra = b""
    if color == 3:
        extra = chunk(b"PLTE", rng.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes())
    if transparent and color in (0, 2, 3):
        values = {0: bytes([0, 1]), 2: bytes([0, 1, 0, 2, 0, 3]), 3: bytes([0, 128])}
        extra += chunk(b"tRNS", values[color])
    return extra


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "color"), PNG_KINDS)
def test_pngs_of_all_kinds(depth: int, color: int, interlaced: bool, transparent: bool) -> None:
    rng = np.random.default_rng(6)
    samples = rng.integers(0, 1 << depth, (19, 23, CHANNELS[color]))
    data = png(samples, depth, color, interlaced, png_extra(depth, color, transparent))

    whole = decode(data, PNG)

    if depth == 16:
        expected = np.floor(samples / 257 + 0.5).astype(np.uint8)
        expected = expected[..., :3] if color in (2, 6) else expected[..., :1].repeat(3, axis=2)
    else:
        # Pillow warns where it drops transparency, so it gets the file without.
        expected = pillow_rgb(
            png(samples, depth, color, interlaced, png_extra(depth, color, False))
        )
    assert np.array_equal(rgb(whole), expected)
    for x, y in [(0, 0), (3, 5), (20, 17), (1, 18)]:
        part = decode(data, PNG, region=(x, y, x + 2, y + 1.5), margin=1)
        assert_same_samples(part, whole)
        assert_covers(part["planes"][0], (x, y, x + 2, y + 1.5), 1)


def test_sixteen_bit_samples_are_divided_by_257_and_rounded() -> None:
    samples = np.arange(65536).reshape(256, 256, 1)

    pixels = rgb(decode(png(samples, 16, 0), PNG))

    assert np.array_equal(pixels[..., 0], (samples[..., 0] * 2 + 257) // 514)


def test_filtered_pngs_equal_pillow() -> None:
    stream = io.BytesIO()
    scene(70, 90).save(stream, "PNG")

    assert np.array_equal(rgb(decode(stream.getvalue(), PNG)), np.asarray(scene(70, 90)))


def test_a_truncated_png_is_an_error() -> None:
    data = png(np.zeros((9, 9, 3), np.uint8), 8, 2)
    for length in range(len(data)):
        with pytest.raises(_core.DecodeError, match=r"folder/a.file \(\d+ bytes\)$"):
            decode(data[:length], PNG)
    with pytest.raises(
        _core.DecodeError, match="truncated PNG, the data ends in the chunk IDAT at byte 33"
    ):
        decode(data[:50], PNG)


def test_every_wrong_byte_of_a_png_is_an_error() -> None:
    data = png(np.asarray(scene(9, 9)), 8, 2, extra=chunk(b"tEXt", b"Title\0text"))
    for at in range(len(data)):
        broken = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(_core.DecodeError):
            decode(broken, PNG, region=(0, 0, 1, 1))


def test_rows_that_are_missing_inside_a_png_are_an_error() -> None:
    short = png(np.zeros((5, 9, 3), np.uint8), 8, 2)
    header = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    data = short[:8] + chunk(b"IHDR", header) + short[33:]

    with pytest.raises(_core.DecodeError, match=r"^invalid PNG \(.*\): folder/a.file"):
        decode(data, PNG)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0x80000000, 1), (60_000, 60_000)])
def test_pngs_with_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", size[1], size[0], 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")

    with pytest.raises(_core.DecodeError, match="pixels"):
        decode(data, PNG)


def test_headers_and_chunks_in_disorder_never_crash() -> None:
    rng = np.random.default_rng(7)
    kinds = [b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf", b"zTXt", b"iCCP", b"acTL", b"IEND"]
    for _ in range(300):
        header = struct.pack(">IIBBBBB", 5, 5, *rng.integers(0, 17, 2), 0, 0, rng.integers(0, 2))
        body = chunk(b"IHDR", header)
        for kind in rng.choice(kinds, 4):
            body += chunk(bytes(kind), rng.bytes(int(rng.integers(0, 40))))
        with pytest.raises(_core.DecodeError):
            decode(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""), PNG)


def test_what_is_no_png_is_named() -> None:
    with pytest.raises(
        _core.DecodeError, match=r"^not a PNG \(no signature\): folder/a.file \(0 bytes\)$"
    ):
        decode(b"", PNG)


def test_the_orientation_of_a_png_is_read_behind_the_pixels_too() -> None:
    data = png(np.zeros((4, 5, 3), np.uint8), 8, 2)
    end = data.index(b"IEND") - 4
    turned = data[:end] + chunk(b"eXIf", exif(8)) + data[end:]

    with pytest.raises(_core.DecodeError, match="EXIF orientation is 8"):
        decode(turned, PNG)
    assert decode(turned, PNG, ignore_exif=True)["height"] == 4


@pytest.mark.data
def test_real_pngs_equal_pillow(realdata: Path) -> None:
    for path in sorted(realdata.rglob("*.png"))[:3]:
        data = path.read_bytes()
        assert np.array_equal(rgb(decode(data, PNG)), pillow_rgb(data))
