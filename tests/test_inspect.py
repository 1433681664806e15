"""Looking at samples: colour types, orientation, warnings, sizes from headers."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pictures import chunk, exif, png
from PIL import Image
from test_decode import KINDS, with_segment, with_size
from test_decode_png import CHANNELS, PNG_KINDS, png_extra

from hmtl import _core
from hmtl.data.columns import EXTENT_DTYPE, Codec


def inspect(folder: Path, data: bytes, codec: Codec, **options: int) -> dict:
    path = folder / "a file"
    path.write_bytes(data)
    extent = np.array([(1, codec, 0, len(data), 0, 0, -1, 0)], EXTENT_DTYPE)
    return _core.inspect(paths=["unused", str(path)], extent=extent, **options)


JPEG_CHANNELS = {"grey": "grey", "grey 2x2": "grey", "RGB": "RGB", "CMYK": "CMYK", "YCCK": "YCCK"}


@pytest.mark.parametrize("kind", KINDS)
def test_jpegs_say_their_colours(kind: str, tmp_path: Path) -> None:
    found = inspect(tmp_path, KINDS[kind], Codec.JPEG)

    width, height = Image.open(io.BytesIO(KINDS[kind])).size
    assert found == {
        "height": height,
        "width": width,
        "channels": JPEG_CHANNELS.get(kind, "YCbCr"),
        "orientation": 1,
        "warnings": 0,
        "first_warning": "",
    }


PNG_NAMES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey+alpha", 6: "RGB+alpha"}


@pytest.mark.parametrize(("depth", "color"), PNG_KINDS)
def test_pngs_say_their_colours_and_bits(depth: int, color: int, tmp_path: Path) -> None:
    samples = np.zeros((5, 7, CHANNELS[color]), np.uint8)
    data = png(samples, depth, color, extra=png_extra(depth, color, False))

    found = inspect(tmp_path, data, Codec.PNG)

    assert found["channels"] == PNG_NAMES[color] + ("" if depth == 8 else f" {depth} bit")
    assert (found["height"], found["width"]) == (5, 7)


def test_arrays_are_blue_first(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"head" + bytes(2 * 5 * 3))
    extent = np.array([(0, Codec.BGR, 4, 30, 2, 5, 17, 0)], EXTENT_DTYPE)

    found = _core.inspect(paths=[str(path)], extent=extent)

    assert (found["height"], found["width"], found["channels"]) == (2, 5, "BGR")
    extent["height"] = 3
    with pytest.raises(_core.DecodeError, match=rf"found 30 bytes: row 17 of {path} \(30 bytes\)$"):
        _core.inspect(paths=[str(path)], extent=extent)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_orientation_is_told_and_no_error(orientation: int, tmp_path: Path) -> None:
    turned = with_segment(KINDS["4:2:0"], 0xE1, b"Exif\0\0" + exif(orientation))
    both = with_segment(turned, 0xE1, b"Exif\0\0" + exif(1))
    image = png(np.zeros((4, 5, 3), np.uint8), 8, 2, extra=chunk(b"eXIf", exif(orientation)))

    assert inspect(tmp_path, turned, Codec.JPEG)["orientation"] == orientation
    assert inspect(tmp_path, both, Codec.JPEG)["orientation"] == orientation
    assert inspect(tmp_path, image, Codec.PNG)["orientation"] == orientation
    assert inspect(tmp_path, KINDS["4:2:0"], Codec.JPEG)["orientation"] == 1


def test_warnings_are_told(tmp_path: Path) -> None:
    data = KINDS["4:2:0"]
    at = data.index(b"\xff\xc0")

    found = inspect(tmp_path, data[:at] + b"garbage" + data[at:], Codec.JPEG)

    assert found["warnings"] == 1
    assert "extraneous bytes" in found["first_warning"]


def test_what_cannot_be_decoded_whole_is_an_error(tmp_path: Path) -> None:
    data = KINDS["4:2:0"]
    with pytest.raises(_core.DecodeError, match="truncated JPEG, the data ends in row"):
        inspect(tmp_path, data[:-120], Codec.JPEG)
    with pytest.raises(_core.DecodeError, match="more than max_pixels = 10: "):
        inspect(tmp_path, data, Codec.JPEG, max_pixels=10)
    with pytest.raises(ValueError, match=r"extent.file must be below 1, got 1"):
        _core.inspect(paths=["a"], extent=np.array([(1, 0, 0, 1, 0, 0, -1, 0)], EXTENT_DTYPE))


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_a_jpeg_is_in_its_header(kind: str) -> None:
    data = KINDS[kind]
    head = data[: data.index(b"\xff\xda")]
    width, height = Image.open(io.BytesIO(data)).size

    assert _core.image_size(data_head=head, codec=0, name="a") == (height, width)
    frame = next(at for at in range(len(head)) if data[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    for length in range(2, frame + 9):
        with pytest.raises(
            _core.DecodeError, match=r"^truncated JPEG, the data ends in the hea.*: a"
        ):
            _core.image_size(data_head=data[:length], codec=0, name="a")


def test_the_size_is_found_behind_segments_and_filling() -> None:
    data = with_size(KINDS["4:2:0"], 300, 40_000)
    # Huffman tables and arithmetic conditioning share the frame headers' range of markers.
    data = with_segment(with_segment(data, 0xC4, bytes(20)), 0xCC, bytes(20))
    # A thumbnail in an EXIF block has a frame header of its own.
    data = with_segment(data, 0xE1, b"Exif\0\0" + KINDS["one pixel"])
    at = data.index(b"\xff\xc0", 2 + data.index(b"Exif") + len(KINDS["one pixel"]))
    for filling in (b"", b"\xff\xff", b"garbage", b"\xff\x00", b"\xff\xd3\xff\x01"):
        padded = data[:at] + filling + data[at:]
        assert _core.image_size(data_head=padded, codec=0, name="a") == (300, 40_000)


def test_the_size_of_a_png_is_in_its_header() -> None:
    data = png(np.zeros((5, 9, 3), np.uint8), 8, 2)
    assert _core.image_size(data_head=data[:24], codec=1, name="a") == (5, 9)
    for length in range(8, 24):
        with pytest.raises(
            _core.DecodeError, match=r"^truncated PNG, the data ends in the header: a"
        ):
            _core.image_size(data_head=data[:length], codec=1, name="a")


def png_head(kind: bytes, width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, kind, width, height)


@pytest.mark.parametrize(
    ("data", "codec", "message"),
    [
        (b"", 0, "not a JPEG"),
        (b"\xff\xd8\xff\xda\0\2", 0, r"invalid JPEG \(no frame header\)"),
        (b"\xff\xd8\xff\xd9", 0, r"invalid JPEG \(no frame header\)"),
        (with_size(KINDS["4:2:0"], 0, 5), 0, r"invalid JPEG \(0 × 5 pixels\)"),
        (b"\xff\xd8\xff\xe0\0\0\xff", 0, "truncated JPEG"),
        (b"", 1, "not a PNG"),
        (png_head(b"IDAT", 1, 1), 1, "broken PNG, no header"),
        (png_head(b"IHDR", 1, 0), 1, r"invalid PNG \(0 × 1 pixels\)"),
        (png_head(b"IHDR", 0, 1), 1, r"invalid PNG \(1 × 0 pixels\)"),
        (png_head(b"IHDR", 1 << 31, 1), 1, r"invalid PNG \(1 × 2,147,483,648 pixels\)"),
    ],
)  # fmt: skip
def test_headers_without_a_size_are_named(data: bytes, codec: int, message: str) -> None:
    with pytest.raises(_core.DecodeError, match=rf"^{message}.*: a.b \({len(data):,} bytes\)$"):
        _core.image_size(data_head=data, codec=codec, name="a\nb")


def test_arrays_have_no_header() -> None:
    with pytest.raises(ValueError, match=r"only codecs 0 \(JPEG\) and 1 \(PNG\) .*, got 3 for a"):
        _core.image_size(data_head=b"", codec=3, name="a")
