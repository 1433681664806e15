"""Decoding of arrays, as HDF5 keeps them: against h5py, and what is wrong with them."""

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pictures import assert_covers, assert_same_samples, decode, failure, png, rgb, scene

from hmtl import _core
from hmtl.data import Loader, open_dataset
from hmtl.data.columns import EXTENT_DTYPE, Codec

HEIGHT, WIDTH = 53, 45
SIZE = HEIGHT * WIDTH * 3
SIDES = {"height": HEIGHT, "width": WIDTH}
RNG = np.random.default_rng(1)
BGR = np.asarray(scene(HEIGHT, WIDTH)) // 4 * 3
"""Compressible; its bytes are taken as blue first."""
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

FILTERS: dict[str, dict[str, Any]] = {
    "lzf": {"compression": "lzf"},
    "deflate": {"compression": "gzip"},
    "deflate shuffled": {"compression": "gzip", "shuffle": True},
    "raw": {},
}


def chunk(image: np.ndarray, **filters: Any) -> tuple[Codec, bytes]:
    """Return the codec and the bytes of an image as h5py writes it."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=image[None], chunks=(1, *image.shape), **filters)
        mask, data = dataset.id.read_direct_chunk((0, 0, 0, 0))
        codecs = {None: Codec.BGR, "lzf": Codec.LZF_BGR, "gzip": Codec.DEFLATE_BGR}
        return codecs[None if mask else dataset.compression], data


CHUNKS = {name: chunk(BGR, **filters) for name, filters in FILTERS.items()}


@pytest.mark.parametrize("name", FILTERS)
def test_a_chunk_of_h5py_comes_red_first(name: str) -> None:
    codec, data = CHUNKS[name]
    picture = decode(data, codec, **SIDES)

    assert codec == {"lzf": 3, "raw": 2}.get(name, 4)
    assert np.array_equal(rgb(picture), BGR[..., ::-1])
    assert (picture["height"], picture["width"], picture["warnings"]) == (HEIGHT, WIDTH, 0)


def test_what_lzf_cannot_pack_lies_there_raw() -> None:
    codec, data = chunk(NOISE, compression="lzf")

    assert (codec, len(data)) == (Codec.BGR, SIZE)
    assert np.array_equal(rgb(decode(data, codec, **SIDES)), NOISE[..., ::-1])


def test_shuffling_single_bytes_changes_nothing() -> None:
    for image in (BGR, NOISE):
        assert chunk(image, shuffle=True, compression="gzip") == chunk(image, compression="gzip")
        with h5py.File("memory", "w", driver="core", backing_store=False) as file:
            alone = file.create_dataset("x", data=image, chunks=image.shape, shuffle=True)
            assert alone.id.read_direct_chunk((0, 0, 0)) == (0, image.tobytes())


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("name", FILTERS)
def test_a_region_equals_the_whole_there(name: str, planes: bool) -> None:
    codec, data = CHUNKS[name]
    whole = decode(data, codec, **SIDES)
    rng = np.random.default_rng(2)
    for _ in range(60):
        x0, x1 = np.sort(rng.uniform(-9, WIDTH + 9, 2))
        y0, y1 = np.sort(rng.uniform(-9, HEIGHT + 9, 2))
        part = decode(data, codec, region=(x0, y0, x1, y1), margin=2, planes=planes, **SIDES)
        assert_same_samples(part, whole)
        if x0 < WIDTH and y0 < HEIGHT and x1 > 0 and y1 > 0:
            assert_covers(part["planes"][0], (x0, y0, x1, y1), 2)


@pytest.mark.parametrize("sides", [(1, 1), (1, 700), (700, 1), (65535, 1), (3, 65535), (224, 224)])
def test_arrays_of_any_shape(sides: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 3, (*sides, 3), dtype=np.uint8)
    size = {"height": sides[0], "width": sides[1]}
    for filters in FILTERS.values():
        codec, data = chunk(image, **filters)
        assert np.array_equal(rgb(decode(data, codec, **size)), image[..., ::-1])


def stored(data: bytes) -> bytes:
    """Return one zlib stream of `data`, not packed."""
    return zlib.compress(data, 0)


RAW = BGR.tobytes()
EXPECTED = r"expected 7,155 bytes of 53 × 45 pixels, found "


@pytest.mark.parametrize(
    ("codec", "data", "message"),
    [
        (2, b"", "array of another size: {}0 bytes"),
        (2, RAW[:-1], "array of another size: {}7,154 bytes"),
        (2, RAW + b"x", "array of another size: {}7,156 bytes"),
        (5, RAW[:-1], "array of another size: {}7,154 bytes"),
        (5, RAW + b"x", "array of another size: {}7,156 bytes"),
        (3, b"", "LZF of another size: {}0 bytes"),
        (3, CHUNKS["lzf"][1][:-1], "truncated LZF, the data ends in a token, .*: {}7,.* bytes"),
        (3, CHUNKS["lzf"][1] + b"\x00x", "LZF of another size: {}more"),
        (3, b"\x00a\x20\x01", "broken LZF, a reference to what .* start, byte 2: {}1 bytes"),
        (4, b"", "truncated deflate: {}0 bytes"),
        (4, stored(RAW)[:-1], "truncated deflate: {}7,155 bytes"),
        (4, stored(RAW)[:-5], "truncated deflate: {}7,154 bytes"),
        (4, stored(RAW[:-1]), "deflate of another size: {}7,154 bytes"),
        (4, stored(b""), "deflate of another size: {}0 bytes"),
        (4, stored(RAW + b"x"), "deflate of another size: {}more"),
        (4, zlib.compress(RAW + bytes(99)), "deflate of another size: {}more"),
        (4, stored(RAW) + b"xy", "deflate with 2 bytes behind its end: {}7,155 bytes"),
        (4, stored(RAW)[:-1] + b"\xaa", "broken deflate, incorrect data check: {}7,155 bytes"),
        (4, b"hello", "broken deflate, incorrect header check: {}0 bytes"),
        (4, b"\x78\xbb\0\0\0\1", "broken deflate, it needs a dictionary: {}0 bytes"),
        (4, b"\x78\x9c\x03\x02" + bytes(9), "broken deflate, invalid distance .*: {}0 bytes"),
    ],
)  # fmt: skip
def test_bytes_of_another_size_or_broken_are_named(codec: int, data: bytes, message: str) -> None:
    found = failure(data, codec, **SIDES)

    assert found is not None
    with pytest.raises(_core.DecodeError, match=rf"^{message.replace('{}', EXPECTED)}: folder/a"):
        decode(data, codec, **SIDES)
    assert found.endswith(f": folder/a.file ({len(data):,} bytes)")


@pytest.mark.parametrize("codec", [2, 3, 4, 5])
def test_sides_are_checked_before_anything_is_allocated(codec: int) -> None:
    for height, width in [(0, 45), (53, 0), (0, 0), (-1, 45)]:
        with pytest.raises(_core.DecodeError, match=rf"^array of {height} × {width} pixels: fol"):
            decode(RAW, codec, height=height, width=width)
    with pytest.raises(_core.DecodeError, match="53 × 45 pixels, more than max_pixels = 2,384: f"):
        decode(RAW, codec, max_pixels=53 * 45 - 1, **SIDES)
    with pytest.raises(_core.DecodeError, match="60,000 × 60,000 pixels, more than max_pixels"):
        decode(RAW, codec, height=60_000, width=60_000)
    huge = {"height": 65_535, "width": 65_535, "max_pixels": 1 << 40}
    with pytest.raises(_core.DecodeError, match=r"another size|more than 4 GiB"):
        decode(RAW, codec, **huge)


def test_sides_of_files_that_say_theirs_do_not_matter() -> None:
    data = png(BGR, 8, 2)
    assert np.array_equal(rgb(decode(data, Codec.PNG, height=1, width=2)), BGR)


@pytest.mark.parametrize("name", ["lzf", "deflate"])
def test_every_cut_of_a_chunk_is_an_error(name: str) -> None:
    codec, data = CHUNKS[name]
    for length in range(0, len(data), 5):
        assert failure(data[:length], codec, **SIDES) is not None


@pytest.mark.parametrize("name", ["lzf", "deflate"])
def test_damaged_chunks_never_crash(name: str) -> None:
    codec, data = CHUNKS[name]
    rng = np.random.default_rng(4)
    for _ in range(200):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        if failure(bytes(damaged), codec, **SIDES) is None:
            assert decode(bytes(damaged), codec, **SIDES)["height"] == HEIGHT


def xgaze_like(path: Path, images: np.ndarray, unwritten: int) -> np.ndarray:
    """Write images (N, H, W, 3) one chunk each, without one of them; return their extents."""
    count, height, width = images.shape[:3]
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "face_patch", images.shape, np.uint8, chunks=(1, height, width, 3), compression="lzf"
        )
        for row in set(range(count)) - {unwritten}:
            dataset[row] = images[row]
        file.flush()
        extents = np.zeros(count, EXTENT_DTYPE)
        extents["height"], extents["width"] = height, width
        extents["row"], extents["codec"] = np.arange(count), Codec.LZF_BGR
        for number in range(dataset.id.get_num_chunks()):
            found = dataset.id.get_chunk_info(number)
            extent = extents[found.chunk_offset[0]]
            extent["offset"], extent["size"] = found.byte_offset, found.size
            if found.filter_mask:
                extent["codec"] = Codec.BGR
    return extents


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    """The same 7 images as PNG files and as chunks; the last chunk was never written."""
    root = tmp_path_factory.mktemp("both")
    images = np.stack([np.asarray(scene(60, 70, seed)) // (1 + seed % 3 * 5) for seed in range(7)])
    lines = ["path,x0,y0,x1,y1,yaw,pitch,roll"]
    for number, image in enumerate(images):
        (root / f"{number}.png").write_bytes(png(image, 8, 2))
        lines.append(f"{number}.png,8,9,60,58,0,0,0")
    (root / "labels.csv").write_text("\n".join(lines))
    files = open_dataset(root / "labels.csv", layout="csv")
    extents = xgaze_like(root / "subject.h5", images[..., ::-1], 6)
    assert set(extents["codec"]) == {Codec.BGR, Codec.LZF_BGR}
    return files, replace(files, files=("subject.h5",), extent=extents)


def test_chunks_are_rendered_as_files_of_the_same_pixels_are(both) -> None:
    files, chunks = (dataset.subset(range(6)) for dataset in both)
    options = {"batch_size": 6, "size": 48, "augmentation": "level2", "pretext": "puzzle"}
    expected = next(iter(Loader(files, **options)))

    for threads in (1, 3):
        batch = next(iter(Loader(chunks, **options, num_threads=threads)))
        assert np.array_equal(batch.images.numpy(), expected.images.numpy())


def test_the_loader_names_file_and_row_of_what_was_never_written(both) -> None:
    with pytest.raises(
        _core.DecodeError, match=r"^image was never written: row 6 of /.*subject.h5"
    ):
        list(Loader(both[1], batch_size=7, size=32, shuffle=False))


def test_the_loader_names_file_and_row_where_another_error_happens(both) -> None:
    box = both[1].box.copy()
    box[2] = (-1e9, 0, 1e9, 50)
    wrong = replace(both[1], box=box, face=box).subset([2])
    with pytest.raises(ValueError, match=r"a crop may have .*: row 2 of /.*subject.h5$"):
        list(Loader(wrong, batch_size=1, size=32, shuffle=False, fit="stretch"))


def test_arrays_that_are_red_first_come_as_they_are() -> None:
    assert np.array_equal(rgb(decode(RAW, Codec.RGB, **SIDES)), BGR)
    part = decode(RAW, Codec.RGB, region=(7, 9, 21, 30), margin=1, **SIDES)["planes"][0]
    assert (part["left"], part["top"]) == (6, 8)
    assert np.array_equal(part["pixels"], BGR[8:31, 6:22])


def test_what_is_borrowed_from_one_sample_does_not_show_in_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(BGR, 8, 2))
    (tmp_path / "a.rgb").write_bytes(RAW)
    (tmp_path / "labels.csv").write_text("path,x0,y0,x1,y1,yaw,pitch,roll\na.png,3,4,40,50,0,0,0")
    file = open_dataset(tmp_path / "labels.csv")
    both = file.subset([0, 0, 0])
    extents = both.extent.copy()
    extents[1] = (1, Codec.RGB, 0, SIZE, HEIGHT, WIDTH, -1, zlib.crc32(RAW))
    both = replace(both, files=("a.png", "a.rgb"), extent=extents)
    batch = next(
        iter(Loader(both, 3, 32, "none", "none", shuffle=False, num_threads=1, prefetch=1))
    )
    first, raw, last = batch.images.numpy()
    assert np.array_equal(raw, first)
    assert np.array_equal(last, first)
