"""Extents of HDF5 rows: where they point, and what is refused."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdf5_trees import (
    SIDES,
    patches,
    write_compact,
    write_external,
    write_images,
    write_linked,
    write_virtual,
)

from hmtl import _core
from hmtl.data.columns import EXTENT_DTYPE, Codec
from hmtl.data.layouts import hdf5
from hmtl.data.layouts.hdf5 import image_extents, open_hdf5, stored_chunks, written_rows
from hmtl.errors import DataError

COUNT = 7
IMAGE = (1, *SIDES, 3)
IMAGE_BYTES = SIDES[0] * SIDES[1] * 3

STORED = {
    "raw": {"chunks": IMAGE},
    "lzf": {"chunks": IMAGE, "compression": "lzf"},
    "lzf and shuffle": {"chunks": IMAGE, "compression": "lzf", "shuffle": True},
    "gzip": {"chunks": IMAGE, "compression": "gzip"},
    "gzip 9 and shuffle": {
        "chunks": IMAGE,
        "compression": "gzip",
        "compression_opts": 9,
        "shuffle": True,
    },
    "shuffle": {"chunks": IMAGE, "shuffle": True},
    "contiguous": {},
    "extendible": {"chunks": IMAGE, "compression": "lzf", "maxshape": (None, *IMAGE[1:])},
    "extendible in all": {"chunks": IMAGE, "compression": "lzf", "maxshape": (None,) * 4},
    "space for all at once": {"chunks": IMAGE, "dcpl": "early"},
}


def write(path: Path, images: Any, **options: Any) -> Path:
    if options.get("dcpl") == "early":
        options["dcpl"] = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options["dcpl"].set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    return write_images(path, images, **options)


def extents(path: Path) -> Any:
    with open_hdf5(path) as file:
        return image_extents(file, "face_patch")


def pixels(path: Path, extent: Any) -> Any:
    """Return the row as RGB (height, width, 3), through the core."""
    picture = _core.decode(
        data=_core.read_extent(paths=[os.fsencode(path)], extent=extent),
        codec=int(extent["codec"][0]),
        name="sample",
        height=int(extent["height"][0]),
        width=int(extent["width"][0]),
    )
    return picture["planes"][0]["pixels"]


def assert_read_as_h5py_does(path: Path, extent: Any) -> None:
    with h5py.File(path) as file:
        expected = file["face_patch"][:][..., ::-1]
    assert len(extent) == len(expected)
    for row, image in enumerate(expected):
        assert np.array_equal(pixels(path, extent[row : row + 1]), image)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("userblock_size", [0, 512, 4096])
@pytest.mark.parametrize("stored", STORED)
def test_every_row_lies_where_its_extent_says(
    tmp_path: Path, stored: str, userblock_size: int, libver: str
) -> None:
    path = write(
        tmp_path / "a.h5",
        patches(COUNT),
        userblock_size=userblock_size,
        libver=libver,
        **STORED[stored],
    )
    extent = extents(path)
    assert extent.dtype == EXTENT_DTYPE
    assert extent["row"].tolist() == list(range(COUNT))
    assert set(zip(extent["height"].tolist(), extent["width"].tolist(), strict=True)) == {SIDES}
    assert_read_as_h5py_does(path, extent)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("stored", ["lzf", "gzip", "contiguous"])
def test_one_image_alone_is_found(tmp_path: Path, stored: str, libver: str) -> None:
    path = write(tmp_path / "a.h5", patches(1), libver=libver, **STORED[stored])
    assert_read_as_h5py_does(path, extents(path))


def test_extents_hold_the_chunks_as_hdf5_hands_them_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", patches(COUNT), **STORED["lzf"])
    content = path.read_bytes()
    extent = extents(path)
    with h5py.File(path) as file:
        for row in extent:
            chunk = file["face_patch"].id.read_direct_chunk((int(row["row"]), 0, 0, 0))[1]
            assert content[row["offset"] : row["offset"] + row["size"]] == chunk


@pytest.mark.parametrize(
    ("stored", "codec"),
    [("lzf", Codec.LZF_BGR), ("lzf and shuffle", Codec.LZF_BGR), ("gzip", Codec.DEFLATE_BGR)],
)
def test_the_filter_names_the_codec(tmp_path: Path, stored: str, codec: Codec) -> None:
    flat = np.zeros((COUNT, *IMAGE[1:]), dtype=np.uint8)
    assert set(extents(write(tmp_path / "a.h5", flat, **STORED[stored]))["codec"]) == {codec}


@pytest.mark.parametrize("stored", ["lzf", "lzf and shuffle"])
def test_what_lzf_cannot_make_smaller_lies_there_raw(tmp_path: Path, stored: str) -> None:
    extent = extents(write(tmp_path / "a.h5", patches(COUNT), **STORED[stored]))
    raw = extent["codec"] == Codec.BGR
    assert raw.tolist() == [row % 3 == 1 for row in range(COUNT)]
    assert set(extent["size"][raw]) == {IMAGE_BYTES}
    assert (extent["size"][~raw] < IMAGE_BYTES).all()


def test_a_filter_that_was_left_out_counts_by_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", patches(COUNT), **STORED["gzip 9 and shuffle"])
    image = patches(1, seed=9)[0]
    with h5py.File(path, "r+") as file:
        # Bit 1 is the second filter, deflate; bit 0 alone would leave out the shuffling.
        for row, mask in ((2, 0b10), (4, 0b11)):
            content = image.tobytes()
            file["face_patch"].id.write_direct_chunk((row, 0, 0, 0), content, filter_mask=mask)
    extent = extents(path)
    assert [row for row in range(COUNT) if extent["codec"][row] == Codec.BGR] == [2, 4]
    assert_read_as_h5py_does(path, extent)


@pytest.mark.parametrize("stored", ["raw", "lzf", "gzip"])
def test_rows_never_written_have_no_bytes_and_fail_when_read(tmp_path: Path, stored: str) -> None:
    rows = [0, 2, 3, 6]
    path = write(tmp_path / "a.h5", patches(COUNT), rows=rows, **STORED[stored])
    extent = extents(path)
    assert np.flatnonzero(extent["size"]).tolist() == rows
    with pytest.raises(_core.DecodeError, match=rf"never written: row 4 of {path}"):
        pixels(path, extent[4:5])
    assert_read_as_h5py_does(write(path, patches(COUNT), **STORED[stored]), extents(path))


@pytest.mark.parametrize("userblock_size", [0, 512])
@pytest.mark.parametrize("stored", ["contiguous", "lzf", "extendible"])
def test_a_data_set_never_written_has_no_bytes(
    tmp_path: Path, stored: str, userblock_size: int
) -> None:
    path = write(
        tmp_path / "a.h5",
        patches(COUNT),
        rows=(),
        userblock_size=userblock_size,
        **STORED[stored],
    )
    extent = extents(path)
    assert not extent["size"].any()
    with pytest.raises(_core.DecodeError, match="never written: row 1 of "):
        pixels(path, extent[1:2])


def test_a_data_set_without_rows_has_no_extents(tmp_path: Path) -> None:
    images = np.zeros((0, *IMAGE[1:]), dtype=np.uint8)
    assert len(extents(write(tmp_path / "a.h5", images, **STORED["extendible"]))) == 0
    assert len(extents(write(tmp_path / "b.h5", images))) == 0


def test_rows_cut_off_again_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", patches(COUNT), **STORED["extendible"])
    with h5py.File(path, "r+") as file:
        file["face_patch"].resize(3, axis=0)
    extent = extents(path)
    assert len(extent) == 3
    assert_read_as_h5py_does(path, extent)


@pytest.mark.skipif(
    not hasattr(h5py.h5d.DatasetID, "chunk_iter"), reason="this HDF5 cannot iterate over chunks"
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("stored", ["raw", "lzf", "extendible", "extendible in all"])
def test_chunks_asked_for_one_by_one_are_those_iterated_over(
    tmp_path: Path, stored: str, libver: str
) -> None:
    rows = (0, 2, 3, 6)
    path = write(tmp_path / "a.h5", patches(COUNT), rows=rows, libver=libver, **STORED[stored])
    with open_hdf5(path) as file:
        found = [
            sorted(zip(*(column.tolist() for column in chunks), strict=True))
            for chunks in (stored_chunks(file["face_patch"], iterate=way) for way in (True, False))
        ]
    assert found[0] == found[1]
    assert [chunk[0] for chunk in found[0]] == list(rows)


@pytest.mark.parametrize("counted_from", ["start of the file", "end of the user block"])
def test_offsets_are_brought_to_the_start_of_the_file(tmp_path: Path, counted_from: str) -> None:
    block = 4096
    path = write(tmp_path / "a.h5", patches(COUNT), userblock_size=block, **STORED["lzf"])
    expected = extents(path)["offset"]
    given = expected - (block if counted_from == "end of the user block" else 0)
    with open_hdf5(path) as file:
        images = file["face_patch"]

        def stored(row: int) -> bytes:
            return bytes(images.id.read_direct_chunk((row, 0, 0, 0))[1])

        assert hdf5._in_file(images, given, stored).tolist() == expected.tolist()
        with pytest.raises(DataError, match=r"does not lie where HDF5 [\d.]+ says.*rechunk"):
            hdf5._in_file(images, expected + 1, stored)


def test_where_rows_are_alike_others_decide_what_offsets_count_from(tmp_path: Path) -> None:
    block, images = 512, np.zeros((40, *IMAGE[1:]), dtype=np.uint8)
    images[-1] = patches(1)[0]
    path = write(tmp_path / "a.h5", images, userblock_size=block)
    with open_hdf5(path) as file:
        rows = file["face_patch"]
        expected = rows.id.get_offset() + IMAGE_BYTES * np.arange(40)

        def stored(row: int) -> bytes:
            return bytes(rows[row].tobytes())

        assert hdf5._in_file(rows, expected - block, stored).tolist() == expected.tolist()


def test_written_rows_are_those_with_a_chunk(tmp_path: Path) -> None:
    several = {"chunks": (3, *IMAGE[1:])}
    parts = {"chunks": (1, 4, 8, 3)}
    for options, rows, expected in [
        (several, [4], [3, 4, 5]),
        (several, [6], [6]),
        (parts, [1, 5], [1, 5]),
        (parts, range(COUNT), list(range(COUNT))),
        ({}, [4], list(range(COUNT))),
        ({}, [], []),
    ]:
        path = write(tmp_path / "a.h5", patches(COUNT), rows=rows, **options)
        with open_hdf5(path) as file:
            assert np.flatnonzero(written_rows(file["face_patch"])).tolist() == expected


def with_filter(add: Callable[[Any], None]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(IMAGE)
        add(properties)
        space = h5py.h5s.create_simple((COUNT, *IMAGE[1:]))
        with h5py.File(path, "w") as file:
            h5py.h5d.create(file.id, b"face_patch", h5py.h5t.STD_U8LE, space, properties)

    return build


def written(write: Callable[..., object], **options: Any) -> Callable[[Path], object]:
    return lambda path: write(path, patches(COUNT), **options)


def chunked(*chunks: int, **options: Any) -> Callable[[Path], object]:
    return written(write_images, chunks=chunks, **options)


_OPTIONAL = h5py.h5z.FLAG_OPTIONAL


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (chunked(3, 9, 8, 3), r"has chunks of \(3, 9, 8, 3\), not of one image \(1, 9, 8, 3\)"),
        (chunked(1, 9, 8, 1), r"has chunks of \(1, 9, 8, 1\), not of one image"),
        (chunked(1, 5, 8, 3, compression="lzf"), r"has chunks of \(1, 5, 8, 3\)"),
        (written(write_virtual), "has virtual storage"),
        (written(write_external), r"has its values in other files \('.*raw\.bin'\)"),
        (written(write_compact), "has compact storage"),
        (written(write_linked, **STORED["lzf"]), r"lies in .*other\.h5"),
        (chunked(*IMAGE, fletcher32=True), "has the filter fletcher32"),
        (chunked(*IMAGE, scaleoffset=0), "has the filter scale-offset"),
        (with_filter(lambda p: p.set_filter(32001, _OPTIONAL, (2, 2))), "has the filter blosc"),
        (
            with_filter(lambda p: p.set_filter(32000, _OPTIONAL) or p.set_deflate(4)),
            "has the filter deflate",
        ),
        (with_filter(lambda p: p.set_filter(31999, _OPTIONAL)), "has the filter number 31999"),
    ],
)
def test_what_the_core_cannot_read_is_refused_with_the_command_that_converts(
    tmp_path: Path, build: Callable[[Path], None], found: str
) -> None:
    path = tmp_path / "a.h5"
    build(path)
    rule = "expected one image in each chunk, raw, LZF or deflate, or all in one piece"
    with pytest.raises(DataError, match=f"^data set face_patch {found}.*, {rule}: ") as error:
        extents(path)
    assert str(error.value).endswith(f"{path} (`hmtl data rechunk {path} OUT.h5` converts it)")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "found"),
    [
        ((4, 9, 8, 3), "uint16", r"uint16 \(4, 9, 8, 3\)"),
        ((4, 9, 8, 3), "int8", r"int8 \(4, 9, 8, 3\)"),
        ((4, 9, 8), "uint8", r"uint8 \(4, 9, 8\)"),
        ((4, 3, 9, 8), "uint8", r"uint8 \(4, 3, 9, 8\)"),
        ((4, 9, 8, 4), "uint8", r"uint8 \(4, 9, 8, 4\)"),
        ((), "uint8", r"uint8 \(\)"),
        (None, "uint8", "uint8 None"),
    ],
)
def test_other_types_and_shapes_are_refused(
    tmp_path: Path, shape: Any, dtype: str, found: str
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if shape is None:
            file["face_patch"] = h5py.Empty(dtype)
        else:
            file.create_dataset("face_patch", shape, dtype)
    with pytest.raises(DataError, match=rf"must be uint8 of shape .*, got {found} in {path}"):
        extents(path)


@pytest.mark.parametrize("shape", [(1, 65_536, 1, 3), (1, 1, 65_536, 3), (1, 0, 4, 3)])
def test_sides_beyond_what_an_extent_holds_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("face_patch", shape, "u1")
    with pytest.raises(DataError, match=r"sides of 1 to 65,535 px, got \(1, "):
        extents(path)


def test_more_rows_than_the_file_has_bytes_are_refused_before_they_take_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("face_patch", (2_000_000_000, 4, 4, 3), "u1", chunks=(1, 4, 4, 3))
    size = path.stat().st_size
    with pytest.raises(DataError, match=rf"got 2,000,000,000 and {size:,} in {path}$"):
        extents(path)


@pytest.mark.parametrize("what", ["nothing", "a group", "a link to nothing"])
def test_a_missing_data_set_is_named_with_its_file(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if what == "a group":
            file.create_group("face_patch")
        elif what == "a link to nothing":
            file["face_patch"] = h5py.SoftLink("/elsewhere")
    with pytest.raises(DataError, match=f"^no data set face_patch in {path}$"):
        extents(path)


def unreadable() -> Iterator[tuple[str, Callable[[Path], Any], str]]:
    def cut(path: Path) -> None:
        write(path, patches(COUNT), **STORED["lzf"])
        os.truncate(path, path.stat().st_size // 2)

    yield "cut in half", cut, r"truncated file: .*"
    yield "empty", lambda path: path.write_bytes(b""), "file signature not found"
    yield "not HDF5", lambda path: path.write_text("a page that says 404"), "file signature .*"
    yield "not there", lambda _: None, "unable to open file: No such file or directory"
    yield "a folder", lambda path: path.mkdir(), ".*Is a directory"


@pytest.mark.parametrize(
    ("build", "why"), [case[1:] for case in unreadable()], ids=[case[0] for case in unreadable()]
)
def test_what_is_no_whole_hdf5_file_is_named_in_one_line(
    tmp_path: Path, build: Callable[[Path], Any], why: str
) -> None:
    path = tmp_path / "a.h5"
    build(path)
    with pytest.raises(DataError, match=f"^cannot read HDF5 file {path}: {why}$") as error:
        extents(path)
    assert "\n" not in str(error.value)


def test_names_that_are_not_utf8_are_opened(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe") / os.fsdecode(b"\xe9.h5")
    write(path, patches(COUNT), **STORED["lzf"])
    assert_read_as_h5py_does(path, extents(path))
    with pytest.raises(DataError, match="no data set labels in "), open_hdf5(path) as file:
        image_extents(file, "labels")


@pytest.mark.parametrize("stored", ["lzf", "gzip 9 and shuffle", "contiguous"])
def test_flipped_bits_in_the_structure_end_in_one_line(tmp_path: Path, stored: str) -> None:
    path = write(tmp_path / "a.h5", patches(COUNT), **STORED[stored])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 6000), 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(DataError, _core.DecodeError):
            extent = extents(path)
            for row in range(min(len(extent), COUNT)):
                pixels(path, extent[row : row + 1])
