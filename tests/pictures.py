"""Encoded pictures and what the tests of decoding share."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageFilter

from hmtl import _core

JPEG, PNG = 0, 1
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def scene(height: int, width: int, seed: int = 0) -> Image.Image:
    """Return an RGB picture with smooth parts and edges, different at every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 6, 3), dtype=np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.SHARPEN)


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """Return a TIFF block with one entry, the orientation, of TIFF type `kind`."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + {1: "Bxxx", 3: "Hxx", 4: "I"}[kind], orientation)
    return head + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)


def decode(data: bytes, codec: int = JPEG, **options: object) -> dict:
    return _core.decode(data=data, codec=codec, name="folder/a.file", **options)


def failure(data: bytes, codec: int = JPEG, **options: object) -> str | None:
    """Return the message of a failed decode, which is one line; None where it works."""
    try:
        decode(data, codec, **options)
    except _core.DecodeError as error:
        message = str(error)
    else:
        return None
    assert "\n" not in message
    return message


def rgb(picture: dict) -> np.ndarray:
    assert picture["space"] == "rgb"
    return picture["planes"][0]["pixels"]


def pillow_rgb(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def assert_same_samples(part: dict, whole: dict) -> None:
    """Check that each plane of a partial decode is a cut-out of the whole one's."""
    assert part["space"] == whole["space"]
    for some, full in zip(part["planes"], whole["planes"], strict=True):
        height, width = some["pixels"].shape[:2]
        assert height <= full["full_height"] - some["top"]
        assert width <= full["full_width"] - some["left"]
        rows = slice(some["top"], some["top"] + height)
        columns = slice(some["left"], some["left"] + width)
        assert np.array_equal(some["pixels"], full["pixels"][rows, columns])


def assert_covers(plane: dict, region: tuple, margin: int) -> None:
    """Check that a plane holds all samples within `margin` pixels of the region."""
    height, width = plane["pixels"].shape[:2]
    sx, sy = plane["scale_x"], plane["scale_y"]
    assert plane["left"] <= max(0, (region[0] - margin) * sx)
    assert plane["top"] <= max(0, (region[1] - margin) * sy)
    assert plane["left"] + width >= min(plane["full_width"], (region[2] + margin) * sx)
    assert plane["top"] + height >= min(plane["full_height"], (region[3] + margin) * sy)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples: np.ndarray, depth: int) -> bytes:
    """Return PNG rows, unfiltered, of samples (H, W, C) with `depth` bits each."""
    height = samples.shape[0]
    if depth == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = samples.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1) & 1
        rows = np.packbits(bits.astype(np.uint8).reshape(height, -1), axis=1)
    return np.pad(rows, ((0, 0), (1, 0))).tobytes()


def png(
    samples: np.ndarray, depth: int, color: int, interlaced: bool = False, extra: bytes = b""
) -> bytes:
    """Encode samples (H, W, C); `extra` goes between header and pixels."""
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
    raw = b"".join(packed_rows(part, depth) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
