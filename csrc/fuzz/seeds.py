"""Writes what the fuzz targets start from: small pictures of every kind the decoders know.

python csrc/fuzz/seeds.py OUT_DIR

OUT_DIR gets a folder and, where words help, a dictionary for each target. The first bytes of a seed
are those that its target takes its options from.
"""

import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.append(str(TESTS))

from pictures import chunk, exif, png, scene  # noqa: E402 — the tests must be on the path
from test_decode import KINDS, with_segment  # noqa: E402
from test_decode_png import CHANNELS, PNG_KINDS, png_extra  # noqa: E402

WHOLE, PLANES, IGNORE_EXIF = 1, 2, 4
# Flags, left, top, width, height (in fractions of a pixel), margin, scale, one to spare.
OPTIONS = [
    bytes([WHOLE | PLANES | IGNORE_EXIF, 0, 0, 0, 0, 2, 0, 0]),
    bytes([PLANES, 8, 12, 40, 50, 2, 0, 0]),
    bytes([0, 7, 9, 33, 21, 0, 0, 0]),
    bytes([IGNORE_EXIF, 250, 3, 90, 60, 3, 40, 0]),
]
JPEG_WORDS = [b"\xff" + bytes([marker]) for marker in (*range(0xC0, 0xE2), 0xEE, 0xFE)]
PNG_WORDS = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"gAMA", b"acTL", b"iCCP"]


def jpegs() -> Iterator[bytes]:
    yield from KINDS.values()
    yield with_segment(KINDS["4:2:0"], 0xE1, b"Exif\0\0" + exif(6))
    yield with_segment(KINDS["grey"], 0xE1, b"Exif\0\0" + exif(3, ">", 4))


def pngs() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for depth, color in PNG_KINDS:
        samples = rng.integers(0, 1 << depth, (11, 13, CHANNELS[color]))
        for interlaced in (False, True):
            yield png(samples, depth, color, interlaced, png_extra(depth, color, interlaced))
    yield png(np.zeros((3, 4, 3), np.uint8), 8, 2, extra=chunk(b"eXIf", exif(8)))
    filtered = io.BytesIO()
    scene(20, 30).save(filtered, "PNG")
    yield filtered.getvalue()


def arrays() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for sides in ((2, 1), (9, 14), (20, 33), (40, 40)):
        yield np.asarray(scene(*sides)) // 8
        yield np.full((*sides, 3), 200, np.uint8)
        yield rng.integers(0, 3, (*sides, 3), dtype=np.uint8)
        yield rng.integers(0, 256, (*sides, 3), dtype=np.uint8)


def with_sides(image: np.ndarray, data: bytes) -> bytes:
    return bytes(image.shape[:2]) + data


def lzf_streams() -> Iterator[bytes]:
    for image in arrays():
        with h5py.File("memory", "w", driver="core", backing_store=False) as file:
            packed = file.create_dataset("x", data=image, chunks=image.shape, compression="lzf")
            mask, data = packed.id.read_direct_chunk((0, 0, 0))
        if mask == 0:
            yield with_sides(image, data)
        raw = image.tobytes()
        runs = [raw[at : at + 32] for at in range(0, len(raw), 32)]
        yield with_sides(image, b"".join(bytes([len(run) - 1]) + run for run in runs))


def zlib_streams() -> Iterator[bytes]:
    for image in arrays():
        for level in (0, 1, 9):
            yield with_sides(image, zlib.compress(image.tobytes(), level))


def write(folder: Path, seeds: Iterator[bytes]) -> None:
    """Write each seed behind one set of options, in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"{number:03}").write_bytes(OPTIONS[number % len(OPTIONS)] + seed)


def write_words(path: Path, words: list[bytes]) -> None:
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words]
    path.write_text("".join(lines))


def main() -> None:
    """Write seeds and dictionaries below the folder given."""
    out = Path(sys.argv[1])
    for name, seeds in {
        "jpeg": jpegs(),
        "png": pngs(),
        "lzf": lzf_streams(),
        "deflate": zlib_streams(),
    }.items():
        write(out / name, seeds)
    write_words(out / "jpeg.dict", JPEG_WORDS)
    write_words(out / "png.dict", PNG_WORDS)


if __name__ == "__main__":
    main()
