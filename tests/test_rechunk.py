"""Rewritten HDF5 files: the same values, each image a chunk of its own, all or nothing."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdf5_trees import (
    SIDES,
    angles,
    patches,
    write_compact,
    write_external,
    write_images,
    write_linked,
    write_split,
    write_subject,
    write_virtual,
)

from hmtl.data import open_dataset
from hmtl.data import rechunk as module
from hmtl.data.layouts.hdf5 import image_extents, open_hdf5
from hmtl.data.rechunk import rechunk
from hmtl.errors import ConfigError, DataError

COUNT = 20
IMAGE = (1, *SIDES, 3)


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


def values(path: Path, name: str = "face_patch") -> Any:
    with h5py.File(path) as file:
        return file[name][()]


def one_image_chunks(path: Path, name: str = "face_patch") -> bool:
    with h5py.File(path) as file:
        images = file[name]
        return (images.chunks, images.compression) == ((1, *images.shape[1:]), "lzf")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored(write: Callable[..., object] = write_images, **storage: Any) -> Callable[[Path], object]:
    return lambda path: write(path, patches(COUNT), **storage)


SOURCES = {
    "several images": stored(chunks=(8, *SIDES, 3)),
    "several images, gzip": stored(chunks=(8, *SIDES, 3), compression="gzip", shuffle=True),
    "all images": stored(chunks=(COUNT, *SIDES, 3), compression="lzf"),
    "parts of images": stored(chunks=(1, 5, 8, 3)),
    "parts of several images": stored(chunks=(3, 4, 5, 1)),
    "as HDF5 likes": stored(chunks=True),
    "fletcher32": stored(chunks=IMAGE, fletcher32=True),
    "scale-offset": stored(chunks=IMAGE, scaleoffset=0),
    "one image": stored(chunks=IMAGE, compression="lzf"),
    "contiguous": stored(),
    "user block": stored(chunks=(8, *SIDES, 3), userblock_size=512),
    "virtual": stored(write_virtual),
    "external": stored(write_external),
    "compact": stored(write_compact),
    "linked": stored(write_linked),
}


@pytest.mark.parametrize("block_bytes", [1, 1000, 5000, module.BLOCK_BYTES])
@pytest.mark.parametrize("source", SOURCES)
def test_images_are_the_same_in_chunks_of_one(
    tmp_path: Path, source: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    SOURCES[source](path)
    rechunk(path, target, quiet)
    assert np.array_equal(values(target), patches(COUNT))
    assert one_image_chunks(target)
    with open_hdf5(target) as file:
        assert image_extents(file, "face_patch")["size"].all()


def test_what_was_refused_opens_after_it_was_rewritten(tmp_path: Path) -> None:
    write_split(tmp_path, train=["subject0003.h5"])
    labels = angles(COUNT)
    path = write_subject(
        tmp_path / "train" / "subject0003.h5", patches(COUNT), labels, chunks=(8, *SIDES, 3)
    )
    with pytest.raises(DataError, match=r"`hmtl data rechunk"):
        open_dataset(tmp_path)
    target = tmp_path / "converted.h5"
    rechunk(path, target, quiet)
    target.replace(path)
    assert len(open_dataset(tmp_path)) == COUNT
    assert np.array_equal(values(path, "face_head_pose"), labels)
    assert np.array_equal(values(path), patches(COUNT))


@pytest.mark.parametrize(
    ("chunks", "rows", "expected"),
    [
        (IMAGE, [0, 5, 6, 19], [0, 5, 6, 19]),
        ((8, *SIDES, 3), [9], list(range(8, 16))),
        ((1, 5, 8, 3), [0, 7], [0, 7]),
        ((8, *SIDES, 3), [17], list(range(16, 20))),
        (None, [], []),
    ],
)
@pytest.mark.parametrize("block_bytes", [1000, module.BLOCK_BYTES])
def test_rows_never_written_stay_so(
    tmp_path: Path,
    chunks: Any,
    rows: list[int],
    expected: list[int],
    block_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_images(path, patches(COUNT), rows=rows, chunks=chunks)
    rechunk(path, target, quiet)
    assert np.array_equal(values(target), values(path))
    with open_hdf5(target) as file:
        assert np.flatnonzero(image_extents(file, "face_patch")["size"]).tolist() == expected


def write_mixture(path: Path) -> None:
    """Write groups, links, attributes and data sets of many kinds."""
    write_images(path, patches(COUNT), chunks=(8, *SIDES, 3), maxshape=(None, *SIDES, 3))
    with h5py.File(path, "r+") as file:
        file.attrs["text"] = "Kopf größer"
        file.attrs["numbers"] = np.arange(3, dtype=np.float32)
        file.attrs["names"] = ["a", "bcd"]
        file.attrs["nothing"] = h5py.Empty("f4")
        file["face_patch"].attrs["order"] = np.bytes_(b"BGR")
        file["group/more"] = patches(3, seed=1)
        file["group"].attrs["depth"] = 2
        file["group/again"] = file["face_patch"]
        file["group/root"] = file["/"]
        file["soft"] = h5py.SoftLink("/group/more")
        file["dangling"] = h5py.SoftLink("/not/there")
        file["type"] = np.dtype("<f4")
        file["scalar"] = 3
        file["nothing"] = h5py.Empty("i8")
        file["strings"] = np.array(["x", "größer"], dtype=h5py.string_dtype())
        file["records"] = np.array([(1, 2.5)], dtype=[("a", "i2"), ("b", "f8")])
        file["planes"] = np.zeros((2, 3, *SIDES), dtype=np.uint8)
        file.create_dataset("face_head_pose", data=angles(COUNT), chunks=(1, 2), shuffle=True)
        file.create_dataset("no rows", (0, *SIDES, 3), np.uint8)


def test_all_else_is_copied_as_it_is(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_mixture(path)
    rechunk(path, target, quiet)
    with h5py.File(path) as before, h5py.File(target) as after:
        assert sorted(after) == sorted(before)
        assert sorted(after["group"]) == sorted(before["group"])
        for place in ("/", "face_patch", "group"):
            assert sorted(after[place].attrs) == sorted(before[place].attrs)
        assert after.attrs["text"] == "Kopf größer"
        assert after.attrs["numbers"].dtype == np.float32
        assert after.attrs["names"].tolist() == ["a", "bcd"]
        assert isinstance(after.attrs["nothing"], h5py.Empty)
        assert after["face_patch"].attrs["order"] == b"BGR"
        assert after["face_patch"].maxshape == (None, *SIDES, 3)
        assert after["group"].attrs["depth"] == 2
        assert after["group/again"] == after["face_patch"]
        assert after["group/root"] == after["/"]
        assert after.get("soft", getlink=True).path == "/group/more"
        assert after.get("dangling", getlink=True).path == "/not/there"
        assert after["type"].dtype == np.dtype("<f4")
        assert isinstance(after["nothing"][()], h5py.Empty)
        for name in ("scalar", "strings", "records", "planes", "face_head_pose", "group/more"):
            assert after[name].dtype == before[name].dtype
            assert np.array_equal(after[name][()], before[name][()])
        for name in ("face_head_pose", "planes"):
            assert after[name].chunks == before[name].chunks
            assert after[name].shuffle == before[name].shuffle
    assert one_image_chunks(target, "group/more")


def test_values_in_other_files_become_part_of_the_copy(tmp_path: Path) -> None:
    path, target, other = tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "other.h5"
    labels = angles(COUNT)
    write_linked(path, patches(COUNT))
    with h5py.File(other, "r+") as file:
        file["labels"] = labels
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout(labels.shape, labels.dtype)
        layout[:] = h5py.VirtualSource("other.h5", "labels", labels.shape)
        file.create_virtual_dataset("face_head_pose", layout)
        place = [(os.fspath(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("face_gaze", data=labels, external=place)
    rechunk(path, target, quiet)
    other.unlink()
    (tmp_path / "raw.bin").unlink()
    assert np.array_equal(values(target), patches(COUNT))
    assert np.array_equal(values(target, "face_head_pose"), labels)
    assert np.array_equal(values(target, "face_gaze"), labels)


def test_a_virtual_data_set_without_its_file_is_not_filled_with_zeros(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_virtual(path, patches(COUNT))
    (tmp_path / "other.h5").unlink()
    with pytest.raises(DataError, match=rf"face_patch needs the file other\.h5, .*: {path}$"):
        rechunk(path, target, quiet)
    assert files(tmp_path) == ["a.h5"]


def test_attributes_that_refer_to_objects_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_images(path, patches(COUNT))
    with h5py.File(path, "r+") as file:
        file.attrs["reference"] = file["face_patch"].ref
        file["scale"] = np.arange(COUNT)
        file["scale"].make_scale()
        file["face_patch"].dims[0].attach_scale(file["scale"])
    rechunk(path, target, quiet)
    assert [message.split(" of ")[0] for message in caplog.messages] == [
        "attribute reference",
        "attribute DIMENSION_LIST",
    ]
    with h5py.File(target) as file:
        assert list(file.attrs) == list(file["face_patch"].attrs) == []


def test_progress_counts_the_images_of_all_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    write_mixture(path)
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * SIDES[0] * SIDES[1] * 3)
    rechunk(path, tmp_path / "b.h5", lambda done, total: calls.append((done, total)))
    assert calls == [(8, 23), (16, 23), (20, 23), (23, 23)]


@pytest.mark.parametrize("what", ["a file", "a folder", "a link to nothing", "the source"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_images(path, patches(COUNT))
    before = path.read_bytes()
    if what == "a file":
        target.write_text("kept")
    elif what == "a folder":
        target.mkdir()
    elif what == "a link to nothing":
        target.symlink_to("elsewhere")
    else:
        target = path
    with pytest.raises(ConfigError, match=f"^target must not exist yet, got {target}$"):
        rechunk(path, target, quiet)
    assert path.read_bytes() == before


def test_what_cannot_be_read_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_images(path, patches(COUNT), chunks=(8, *SIDES, 3), compression="gzip")
    with h5py.File(path, "r+") as file:
        file["face_patch"].id.write_direct_chunk((8, 0, 0, 0), b"no zlib stream")
    said = rf"^cannot read rows \d+ to \d+ of data set face_patch in {path}: "
    with pytest.raises(DataError, match=said) as error:
        rechunk(path, target, quiet)
    assert "\n" not in str(error.value)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=f"^cannot read HDF5 file {path}: truncated file"):
        rechunk(path, target, quiet)
    assert files(tmp_path) == ["a.h5"]


def test_a_file_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["face_head_pose"] = angles(3)
    with pytest.raises(DataError, match=rf"no data set of uint8 .* in {path}"):
        rechunk(path, tmp_path / "b.h5", quiet)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "no" / "b.h5"
    write_images(path, patches(3))
    with pytest.raises(
        DataError, match=rf"^cannot write {target}: there is no folder {target.parent}$"
    ):
        rechunk(path, target, quiet)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    write_images(path, noise, chunks=(8, 64, 64, 3))
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from hmtl.data.rechunk import rechunk; from hmtl.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "try: rechunk(Path(sys.argv[1]), Path(sys.argv[2]), lambda *_: None)\n"
        "except DataError as error: sys.exit(str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program, path, target],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"cannot write {target}: ")
    assert len(result.stderr.splitlines()) == 1
    assert files(tmp_path) == ["a.h5"]


def test_an_interrupted_call_leaves_nothing_behind(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    write_images(path, patches(COUNT))

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rechunk(path, target, interrupt)
    assert files(tmp_path) == ["a.h5"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path, target = tmp_path / "a.h5", tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("face_patch", (60_000, 64, 64, 3), "u1", fillvalue=7)
        file["face_patch"][-1] = 9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rechunk(path, target, quiet)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 4 * module.BLOCK_BYTES
    with h5py.File(target) as file:
        assert file["face_patch"][-1, 0, 0].tolist() == [9, 9, 9]
