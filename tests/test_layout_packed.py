"""Packed data sets as data sets: with their index, without it, and other people's shards."""

import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packed_trees import image, label, packed, shards_of, write_photos, write_tar
from trees import files_of

from hmtl import _core
from hmtl.cli.main import run
from hmtl.data import Dataset, Loader, concat, open_dataset
from hmtl.data import index as cache
from hmtl.data.check import Report, check_dataset
from hmtl.data.packing import tar
from hmtl.data.packing.own_index import INDEX, read_own_index, write_own_index
from hmtl.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("user_cache")

COLUMNS = ("extent", "pose", "face", "box", "subject", "origin")


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    return write_photos(tmp_path / "photos", count=8)


@pytest.fixture
def stored(tmp_path: Path, source: Dataset) -> Dataset:
    """Eight samples in three shards."""
    dataset = packed(tmp_path / "out", source, shard_bytes=14_000)
    assert len(dataset.files) == 3
    return dataset


def assert_equal(first: Dataset, second: Dataset) -> None:
    for name in COLUMNS:
        assert np.array_equal(getattr(first, name), getattr(second, name))
    for name in ("files", "subjects", "origins", "name", "packings", "crop", "split", "boxes"):
        assert getattr(first, name) == getattr(second, name)


def pixels(dataset: Dataset) -> np.ndarray:
    loader = Loader(dataset, len(dataset), 32, "none", "none", shuffle=False, num_threads=1)
    return next(iter(loader)).images.numpy()


def test_no_other_index_is_kept(tmp_path: Path, stored: Dataset) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"])
    before = files_of(cache)
    assert open_dataset(tmp_path / "out").fingerprint == stored.fingerprint
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [INDEX, *stored.files]
    assert files_of(cache) == before


def test_a_copy_is_the_same_data_set(tmp_path: Path, stored: Dataset) -> None:
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, ns=(1, 1))
    copy = open_dataset(tmp_path / "copy")
    assert copy.fingerprint == stored.fingerprint
    assert_equal(copy, stored)


def test_other_bytes_are_another_data_set(tmp_path: Path, source: Dataset, stored: Dataset) -> None:
    prints = {
        stored.fingerprint,
        packed(tmp_path / "a", source, shard_bytes=14_000, quality=94).fingerprint,
        packed(tmp_path / "b", source, shard_bytes=9_000).fingerprint,
        packed(tmp_path / "c", source.subset(range(7)), shard_bytes=14_000).fingerprint,
    }
    assert len(prints) == 4
    found = read_own_index(tmp_path / "out")
    assert found.fingerprint == stored.fingerprint
    assert found._replace(crcs=found.crcs ^ 1).fingerprint != stored.fingerprint
    assert found._replace(sizes=found.sizes + 1).fingerprint != stored.fingerprint
    for name in (*COLUMNS, "files", "subjects", "origins", "packings", "boxes"):
        other = replace(found.columns, **{name: changed(getattr(found.columns, name))})
        assert found._replace(columns=other).fingerprint != stored.fingerprint, name


def changed(values: Any) -> Any:
    """Return the same values but for the last bit of the last one, or in another order."""
    if not isinstance(values, np.ndarray):
        return f"{values}." if isinstance(values, str) else (*values[1:], values[0], values[-1])
    other = values.copy()
    field = other[other.dtype.names[-1]] if other.dtype.names else other
    field.reshape(-1).view(f"u{field.itemsize}")[-1:] ^= 1
    return other


def test_samples_are_chosen_by_the_names_of_the_source(tmp_path: Path, stored: Dataset) -> None:
    some = open_dataset(tmp_path / "out", names=["5.png", "2", "./7"])
    assert some.name == ["2.png", "5.png", "7.png"]
    assert np.array_equal(pixels(some), pixels(stored)[[2, 5, 7]])
    with pytest.raises(DataError, match="the first is '9'"):
        open_dataset(tmp_path / "out", names=["9"])


def test_subsets_splits_and_unions_keep_names(
    tmp_path: Path, source: Dataset, stored: Dataset
) -> None:
    assert stored.subset([6, 1]).name == ["6.png", "1.png"]
    first, second = stored.split_by_subject(0.5, seed=1)
    assert sorted(first.name + second.name) == source.name
    names = dict(zip(source.name, source.subject.tolist(), strict=True))
    assert not {names[name] for name in first.name} & {names[name] for name in second.name}
    other = packed(tmp_path / "other", source.subset([3]), codec="raw")
    both = concat([stored, source, other])
    assert both.name == [
        *(f"out/{name}" for name in stored.name),
        *(f"photos/{name}" for name in source.name),
        "other/3.png",
    ]
    assert both.layout == "packed+csv"
    assert len(both.packings) == 2
    expected = np.concatenate([pixels(stored), pixels(source), pixels(other)])
    assert np.array_equal(pixels(both), expected)
    plain = concat([source, source])
    assert plain.origin is None
    assert plain.origins == plain.packings == ()


def test_what_was_packed_is_all_that_can_be_asked_for(tmp_path: Path, stored: Dataset) -> None:
    assert open_dataset(tmp_path / "out", crop="box").fingerprint == stored.fingerprint
    with pytest.raises(ConfigError, match=r"unknown crop rule 'hopenet' .*expected one of \['box'"):
        open_dataset(tmp_path / "out", crop="hopenet")
    with pytest.raises(ConfigError, match="has no splits"):
        open_dataset(tmp_path / "out", split="train")


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
@pytest.mark.parametrize("content", [None, b"", b"torn", 0.5])
def test_without_its_index_it_is_read_from_the_shards(
    tmp_path: Path, source: Dataset, codec: str, content: bytes | float | None
) -> None:
    before = packed(tmp_path / "out", source, codec=codec, shard_bytes=14_000)
    path = tmp_path / "out" / INDEX
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    for _ in range(2):
        assert_equal(open_dataset(tmp_path / "out"), before)
    found = check_dataset(tmp_path / "out")
    assert [problem.kind for problem in found.errors] == ["index"]
    assert len(messages(found)) == 1


def test_an_index_made_anew_is_a_warning(
    tmp_path: Path, stored: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "out" / INDEX
    path.write_bytes(path.read_bytes()[:-1])
    open_dataset(tmp_path / "out")
    assert [m for m in caplog.messages if "made anew" in m] == [
        f"index of {tmp_path / 'out'} made anew: unreadable index {path}"
    ]
    assert stored.name


def messages(report: Report) -> list[str]:
    return [problem.message for problem in report.errors]


def check(root: Path) -> list[str]:
    """Return the errors that a check finds; each names a file of the data set."""
    found = messages(check_dataset(root))
    assert all(str(root) in message for message in found)
    return found


def test_a_whole_data_set_has_no_errors(tmp_path: Path, stored: Dataset) -> None:
    assert check(tmp_path / "out") == []
    assert run(["data", "check", str(tmp_path / "out")]) == 0
    assert len(stored)


def test_shards_of_another_size_are_refused(tmp_path: Path, stored: Dataset) -> None:
    path = tmp_path / "out" / stored.files[1]
    size = path.stat().st_size
    os.truncate(path, size - 512)
    said = f"shard has {size - 512:,} bytes, {INDEX} says {size:,}: {path}"
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "out")
    assert str(caught.value) == said
    assert said in check(tmp_path / "out")
    path.write_bytes(path.read_bytes() + bytes(1024))
    with pytest.raises(DataError, match=r"shard has .*shard-000001\.tar$"):
        open_dataset(tmp_path / "out")


def test_a_missing_shard_is_refused(tmp_path: Path, stored: Dataset) -> None:
    path = tmp_path / "out" / stored.files[1]
    path.unlink()
    said = f"cannot read shard {path}: No such file or directory"
    with pytest.raises(DataError, match=said):
        open_dataset(tmp_path / "out")
    assert check(tmp_path / "out") == [said]


def test_shards_that_change_after_opening_are_told(tmp_path: Path, stored: Dataset) -> None:
    path = tmp_path / "out" / stored.files[1]
    os.truncate(path, 4000)
    with pytest.raises(_core.DecodeError, match=r"^file changed since .*shard-000001\.tar"):
        pixels(stored)
    path.write_bytes(os.urandom(40_000))
    with pytest.raises(
        _core.DecodeError, match=r"^bytes changed since they were packed.* row 2 of"
    ):
        pixels(stored)
    path.unlink()
    with pytest.raises(_core.DecodeError, match=r"^cannot open .*: row 2 of .*shard-000001\.tar"):
        pixels(stored)
    names = [bad["name"] for bad in substituted(stored)]
    assert names == ["2.png", "3.png", "4.png"]


def substituted(dataset: Dataset) -> list[dict]:
    loader = Loader(dataset, 8, 32, "none", "none", shuffle=False, on_error="substitute")
    list(loader)
    return loader.stats()["bad"]


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_a_flipped_bit_in_any_member_is_found_and_named(
    tmp_path: Path, source: Dataset, codec: str
) -> None:
    root = tmp_path / "out"
    packed(root, source.subset(range(3)), codec=codec, size=32)
    path = shards_of(root)[0]
    whole = path.read_bytes()
    with path.open("rb") as file:
        members = list(tar.members(file))
    assert len(members) == 6
    rng = np.random.default_rng(5)
    for member in members:
        places = {0, member.size - 1, *rng.integers(0, member.size, 4).tolist()}
        for place in sorted(places):
            damaged = bytearray(whole)
            damaged[member.offset + place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            found = check(root)
            is_pixels = not member.name.endswith(".json") and (codec == "jpeg" or place > 12)
            row = int(member.name.split("-")[0])
            name = f"row {row} of {path}" if is_pixels else f"{path}/{member.name}"
            assert len(found) == 1
            assert name in found[0]
            if is_pixels:
                with pytest.raises(_core.DecodeError, match=f"bytes changed .*row {row} of"):
                    pixels(open_dataset(root))
    path.write_bytes(whole)
    assert check(root) == []


def test_a_flipped_bit_between_members_is_found(tmp_path: Path, source: Dataset) -> None:
    root = tmp_path / "out"
    packed(root, source.subset(range(2)), size=32)
    path = shards_of(root)[0]
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        assert check(root), place


def rewritten(path: Path, change: dict[str, bytes | None]) -> None:
    """Write a shard anew with members of the same total size changed, added or left out."""
    with path.open("rb") as file:
        members = {m.name: read_at(path, m.offset, m.size) for m in tar.members(file)}
    size = path.stat().st_size
    members |= change  # type: ignore[arg-type]
    content = b"".join(tar.member(n, c) for n, c in members.items() if c is not None)
    path.write_bytes((content + bytes(size))[:size])


def read_at(path: Path, offset: int, size: int) -> bytes:
    return path.read_bytes()[offset : offset + size]


def test_a_pose_that_changed_in_the_index_is_not_used(
    tmp_path: Path, stored: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "out" / INDEX
    with np.load(path) as arrays:
        kept = dict(arrays)
    kept["pose"][3, 0] += 1
    np.savez(path, **kept)
    assert_equal(open_dataset(tmp_path / "out"), stored)
    said = f"columns are not those that were written: {path}"
    assert f"index of {path.parent} made anew: {said}" in caplog.messages
    (found,) = check(tmp_path / "out")
    assert said in found


def test_an_index_that_says_something_else_than_the_labels_is_named(
    tmp_path: Path, stored: Dataset
) -> None:
    path = tmp_path / "out" / INDEX
    index = read_own_index(tmp_path / "out")
    pose = index.columns.pose.copy()
    pose[3, 0] += 1
    path.unlink()
    write_own_index(path, index._replace(columns=replace(index.columns, pose=pose)))
    assert open_dataset(tmp_path / "out").pose[3, 0] == stored.pose[3, 0] + 1
    shard = tmp_path / "out" / stored.files[1]
    assert check(tmp_path / "out") == [f"member is not as {INDEX} says: {shard}/0000003-3.json"]


def test_another_version_of_the_cache_leaves_packed_data_as_it_is(
    tmp_path: Path, stored: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert open_dataset(tmp_path / "out").fingerprint == stored.fingerprint
    assert check(tmp_path / "out") == []


def test_members_that_are_missing_or_too_many_are_named(tmp_path: Path, stored: Dataset) -> None:
    path = tmp_path / "out" / stored.files[2]
    with path.open("rb") as file:
        last = [member.name for member in tar.members(file)][-1]
    rewritten(path, {last: None, "extra.json": b"{}"})
    found = check(tmp_path / "out")
    assert f"member of {INDEX} is missing: {path}/{last}" in found
    assert f"member is not in {INDEX}: {path}/extra.json" in found
    shutil.copy(path, path.with_name("shard-000003.tar"))
    assert f"shard is not in {INDEX}: {path.with_name('shard-000003.tar')}" in check(path.parent)


def test_shards_of_two_data_sets_are_refused(tmp_path: Path, source: Dataset) -> None:
    root = tmp_path / "out"
    packed(root, source.subset([0, 1]))
    packed(tmp_path / "other", source.subset([2]))
    shutil.copy(shards_of(tmp_path / "other")[0], root / "shard-000001.tar")
    (root / INDEX).unlink()
    with pytest.raises(
        DataError, match=r"of different data sets, shard-000000\.tar and shard-0000"
    ):
        open_dataset(root)


# Other people's shards.


def test_foreign_shards_open(tmp_path: Path) -> None:
    members = {
        "b/one.jpg": image(".jpg"),
        "b/one.json": label(roll=3, face=[2, 3, 20, 30], subject="s", name="first.jpg"),
        "b/one.cls": b"7",
        "two.v2.json": label(),
        "two.json": label(box=[0, 0, 9, 9]),
        "two.png": image(".png"),
        "three.PPM": image(".ppm"),
        "three.json": label(yaw=-3),
        "readme.txt": b"no sample",
    }
    del members["two.v2.json"]
    # Times that are no whole seconds come in extended headers, as `webdataset` writes them.
    write_tar(tmp_path / "train-00.tar", members, mtime=time.time())
    write_tar(tmp_path / "train-01.tar", {"one.jpeg": image(), "one.json": label(yaw=7)})
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.convention, dataset.crop) == ("packed", "euler", "box")
    assert dataset.name == [
        "first.jpg",
        "train-00.tar/two",
        "train-00.tar/three",
        "train-01.tar/one",
    ]
    assert dataset.pose[:, 0].tolist() == [1.5, 1.5, -3, 7]
    assert np.isnan(dataset.pose[1:, 2]).all()
    assert dataset.face.tolist()[:2] == [[2, 3, 20, 30], [0, 0, 9, 9]]
    assert [dataset.subjects[n] for n in dataset.subject] == ["s", "two", "three", "one"]
    assert dataset.extent["codec"].tolist() == [0, 1, 5, 0]
    assert dataset.extent["height"].tolist() == [44] * 4
    assert np.ptp(pixels(dataset), axis=(1, 2, 3)).min() > 50
    assert check(tmp_path) == []
    assert run(["data", "stats", str(tmp_path)]) == 0
    one = open_dataset(tmp_path / "train-01.tar")
    assert one.name == ["train-01.tar/one"]
    assert run(["data", "check", str(tmp_path / "train-01.tar")]) == 0


def test_samples_without_a_checksum_are_named(tmp_path: Path) -> None:
    known = label(crc32=zlib.crc32(image()))
    members = {"a.jpg": image(), "a.json": known, "b.jpg": image(), "b.json": label()}
    write_tar(tmp_path / "0.tar", members | {"c.jpg": image(), "c.json": label()})
    report = check_dataset(tmp_path)
    assert report.errors == []
    (note,) = [note for note in report.notes if note.kind == "checksum"]
    assert note.message == "2 of 3 samples have no checksum (crc32): 0.tar/b, 0.tar/c"
    assert note.files == ("0.tar/b", "0.tar/c")
    write_tar(tmp_path / "0.tar", {"a.jpg": image(), "a.json": known})
    assert check_dataset(tmp_path).notes == []


FOREIGN_WRITER = """
import sys, numpy, webdataset
with webdataset.TarWriter(sys.argv[1]) as writer:
    for number in range(3):
        label = {"yaw": number, "pitch": 1, "roll": 2, "box": [3, 4, 30, 40]}
        pixels = numpy.full((50, 60, 3), 80 * number, dtype=numpy.uint8)
        writer.write({"__key__": f"sample{number}", "jpg": pixels, "json": label})
"""


def test_shards_written_by_webdataset_open(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    subprocess.run([sys.executable, "-P", "-c", FOREIGN_WRITER, path], check=True)
    dataset = open_dataset(tmp_path)
    assert dataset.pose.tolist() == [[0, 1, 2], [1, 1, 2], [2, 1, 2]]
    assert pixels(dataset).mean(axis=(1, 2, 3)).round().tolist() == [0, 80, 160]


def test_archives_of_gnu_tar_open(tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / ("long-" * 15) / ("deep-" * 15)
    folder.mkdir(parents=True)
    (folder / "one.jpg").write_bytes(image())
    (folder / "one.json").write_bytes(label())
    for number, form in enumerate(("gnu", "pax", "ustar")):
        out = tmp_path / f"{number}"
        out.mkdir()
        command = ["tar", "cf", out / "a.tar", f"--format={form}", "-C", tmp_path, "pictures"]
        subprocess.run(command, check=True)
        assert open_dataset(out).name == [f"a.tar/{folder.relative_to(tmp_path)}/one"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["köln", "long-" * 30])
def test_a_folder_in_an_archive_does_not_name_what_follows(
    tmp_path: Path, form: int, name: str
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        folder = tarfile.TarInfo(name)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for member, content in (("0.jpg", image()), ("0.json", label())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert open_dataset(tmp_path).name == ["a.tar/0"]


@pytest.mark.parametrize(("first", "second"), [("x.jpg", "x.JPG"), ("x.JSON", "x.json")])
def test_members_that_differ_in_case_alone_are_named(
    tmp_path: Path, first: str, second: str
) -> None:
    members = {"x.png": image(".png")} if "json" in second else {"x.json": label()}
    content = label() if "json" in second else image()
    path = write_tar(tmp_path / "a.tar", members | {first: content, second: content})
    with pytest.raises(
        DataError, match=rf"^members '{first}' and '{second}' are the same one of .*: {path}$"
    ):
        open_dataset(tmp_path)


def test_folders_with_other_archives_are_not_taken(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"one.jpg": image(), "two.jpg": image()})
    (tmp_path / "b.tar").write_bytes(os.urandom(4000))
    with pytest.raises(DataError, match=r"unknown layout .*hmtl-packed\.npz or shard-\*\.tar"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="unknown layout"):
        open_dataset(tmp_path / "b.tar")
    with pytest.raises(DataError, match=r"no samples in .*, looked for hmtl-packed\.npz, or"):
        open_dataset(tmp_path / "..", layout="packed")


def test_directions_of_other_people(tmp_path: Path) -> None:
    members = {"a.jpg": image(), "a.json": label(convention="direction")}
    write_tar(tmp_path / "a.tar", members)
    assert open_dataset(tmp_path).convention == "direction"
    write_tar(tmp_path / "b.tar", {"b.jpg": image(), "b.json": label()})
    with pytest.raises(
        DataError, match=r"must be 'direction' as before, got 'euler': 'b.tar/b' in"
    ):
        open_dataset(tmp_path)


WRONG_LABELS = [
    (b"", "Expecting value"),
    (b"[1]", r"label must be an object, got \[1\]"),
    (b"[" * 9000, "too deeply nested"),
    (label(yaw=None), "yaw must be a finite number within ±1e.09, got None"),
    (label(pitch="3"), "pitch must be a finite number"),
    (label(roll=1e30), "roll must be a finite number"),
    (label(yaw=True), "yaw must be a finite number"),
    (label(yaw=float("nan")), "yaw must be a finite number"),
    (label(box=[1, 2, 3]), "box must be four numbers"),
    (label(box=[1, 2, 1, 9]), "box must satisfy x0 < x1 and y0 < y1"),
    (label(face=[1, 2, "3", 4]), "face must be a finite number"),
    (label(name=3), "name must be a text"),
    (label(subject="a\0b"), "subject must be a text"),
    (label(name="\ud800x"), r"name must be a text of whole characters, got '\\ud800x'"),
    (label(subject="\ud800x"), "subject must be a text of whole characters"),
    (label(convention="gaze"), "convention must be 'euler' or 'direction', got 'gaze'"),
    (label(crc32=-1), "crc32 must be an integer of 32 bits"),
    (b"\xff\xfe\xff", "."),
]


@pytest.mark.parametrize(("content", "said"), WRONG_LABELS)
def test_wrong_labels_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    good = {"a.jpg": image(), "a.json": label()}
    path = write_tar(tmp_path / "a.tar", good | {"b.jpg": image(), "b.json": content})
    with pytest.raises(DataError, match=rf"{said}.*: 'b.json' in {path}$"):
        open_dataset(tmp_path)
    report = check_dataset(tmp_path)
    assert (report.n, [p.path for p in report.errors]) == (1, ["a.tar/b"])


WRONG_SAMPLES = [
    ({"b.jpg": image()}, "image has no label: 'b'"),
    ({"b.json": label()}, "label has no image beside it: 'b'"),
    ({"b.json": label(), "b.jpg": image(), "b.png": image(".png")}, r"several images \(jpg, png\)"),
    ({"b.json": label(), "b.ppm": b"P6 3 2 255\n" + bytes(17)}, "PPM of 3×2 px has 17 bytes"),
    ({"b.json": label(), "b.ppm": b"P6 3 2 65535\n" + bytes(36)}, "no binary PPM of 8 bits"),
    ({"b.json": label(), "b.ppm": b"P6 0 2 255\n"}, "no binary PPM of 8 bits"),
    ({"b.json": label(), "b.ppm": b"P3 1 1 255\n1 2 3"}, "no binary PPM of 8 bits"),
]


@pytest.mark.parametrize(("members", "said"), WRONG_SAMPLES)
def test_samples_that_are_not_whole_are_named(
    tmp_path: Path, members: dict[str, bytes], said: str
) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": image(), "a.json": label()} | members)
    with pytest.raises(DataError, match=rf"{said}.* in {path}$"):
        open_dataset(tmp_path)


def test_a_ppm_may_have_comments_in_its_header(tmp_path: Path) -> None:
    pixels_of = bytes(range(18))
    picture = b"P6\n# by hand\n3 # wide\n2\n255\n" + pixels_of
    write_tar(tmp_path / "a.tar", {"a.ppm": picture, "a.json": label(box=[0, 0, 3, 2])})
    dataset = open_dataset(tmp_path)
    assert _core.read_extent(dataset.paths(), dataset.extent) == pixels_of


def header(name: bytes, size: int, kind: bytes = b"0", size_field: bytes | None = None) -> bytes:
    """Return a ustar header with a right checksum, whatever it says."""
    field = b"%011o\0" % size if size_field is None else size_field
    block = bytearray(
        struct.pack("100s8s8s8s12s12s8sc100s8s247x", name, b"644", b"0", b"0", field, b"0" * 11,
                    b" " * 8, kind, b"elsewhere", b"ustar\x0000")
    )  # fmt: skip
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def record(key: bytes, value: bytes) -> bytes:
    """Return a record of an extended header."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(b"%d" % size) + len(body) != size:
        size = len(b"%d" % size) + len(body)
    return b"%d" % size + body


def extended(content: bytes, kind: bytes = b"x") -> bytes:
    return header(b"pax", len(content), kind) + content + bytes(-len(content) % 512)


MEMBER = tar.member("z.json", label()) + tar.member("z.jpg", image())
HOSTILE = {
    "an absolute name": (header(b"/etc/passwd", 0), "member has the name '/etc/passwd'"),
    "a name that leads out": (header(b"a/../../b.jpg", 0), "member has the name"),
    "a name that leads out, extended": (
        extended(record(b"path", b"../b.jpg")) + header(b"b.jpg", 0),
        r"member has the name '\.\./b\.jpg'",
    ),
    "no name": (header(b"", 0), "member has the name ''"),
    "a link": (header(b"b.jpg", 0, b"2"), "'b.jpg' is a link or another special member"),
    "a hard link": (header(b"b.jpg", 0, b"1"), "'b.jpg' is a link"),
    "a device": (header(b"b.jpg", 0, b"3"), "'b.jpg' is a link"),
    "a sparse file": (header(b"b.jpg", 9, b"S") + bytes(512), "'b.jpg' is a link"),
    "a sparse file, extended": (
        extended(record(b"GNU.sparse.major", b"1")) + header(b"b.jpg", 9) + bytes(512),
        "'b.jpg' is a link",
    ),
    "a huge size": (header(b"b.jpg", 8**11 - 1), "member of 8,589,934,591 bytes in an archive of"),
    "a size in base 256": (
        header(b"b.jpg", 0, size_field=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7),
        "member of 9,223,372,036,854,775,807 bytes",
    ),
    "a negative size": (header(b"b.jpg", 0, size_field=b"\xff" * 12), "no header of a tar"),
    "a size that is no number": (header(b"b.jpg", 0, size_field=b"99 bottles.."), "no header of a"),
    "no size": (header(b"b.jpg", 0, size_field=b"\0" * 12), "no header of a tar archive"),
    "a size beyond, extended": (
        extended(record(b"size", b"123456789")) + header(b"b.jpg", 9) + bytes(512),
        "'b.jpg' goes beyond the end of the archive",
    ),
    "a size that is negative, extended": (
        extended(record(b"size", b"-5")) + header(b"b.jpg", 9) + bytes(512),
        "'b.jpg' has no size",
    ),
    "many digits": (
        extended(record(b"size", b"9" * 5000)) + header(b"b.jpg", 9) + bytes(512),
        "'b.jpg' has no size",
    ),
    "a broken record": (extended(b"99 path=x\n") + header(b"b", 0), "broken extended header"),
    "a record of nothing": (extended(b"0 path=x\n") + header(b"b", 0), "broken extended header"),
    "a record without end": (extended(b"\xff" * 700) + header(b"b", 0), "broken extended header"),
    "a huge extended header": (
        header(b"pax", 2 << 20, b"x") + bytes(2 << 20),
        "header of 2,097,152 bytes",
    ),
    "a name there twice": (MEMBER, r"member 'z.json' is there twice"),
    "a broken header": (b"x" + header(b"b.jpg", 0)[1:], "broken header"),
    "no header": (os.urandom(512), "no header of a tar archive|broken header"),
    "half a header": (header(b"b.jpg", 0)[:99], "archive is cut off|no header"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_are_refused_and_named(tmp_path: Path, what: str) -> None:
    content, said = HOSTILE[what]
    path = tmp_path / "a.tar"
    path.write_bytes(MEMBER + content + (b"" if what == "half a header" else bytes(1024)))
    for root in (tmp_path, path):
        with pytest.raises(DataError, match=rf"({said}).*: {path}$"):
            open_dataset(root)
    report = check_dataset(tmp_path)
    assert [problem.path for problem in report.errors][:1] in (["a.tar"], [""])


def test_archives_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": image(), "a.json": label()})
    whole = path.read_bytes()
    with path.open("rb") as file:
        end = max(member.offset + member.size for member in tar.members(file))
    for length in (end - 1, end, end + 100, -(-end // 512) * 512):
        path.write_bytes(whole[:length])
        with pytest.raises(
            DataError, match=r"(cut off|goes beyond|member of).*, byte [\d,]+: .*a\.tar"
        ):
            open_dataset(tmp_path, layout="packed")
    path.write_bytes(whole[: -(-end // 512) * 512 + 512])
    assert len(open_dataset(tmp_path)) == 1


def test_what_lies_behind_the_end_of_an_archive_is_not_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": image(), "a.json": label()})
    path.write_bytes(path.read_bytes() + MEMBER + bytes(1024))
    assert open_dataset(tmp_path).name == ["a.tar/a"]


def test_broken_images_of_foreign_shards_are_named(tmp_path: Path) -> None:
    members = {"a.jpg": image()[:300], "a.json": label(), "b.jpg": b"none", "b.json": label()}
    path = write_tar(tmp_path / "a.tar", members)
    dataset = open_dataset(tmp_path)
    with pytest.raises(_core.DecodeError, match=rf"row 0 of {path}"):
        pixels(dataset.subset([0]))
    assert len(check(tmp_path)) == 2
    assert run(["data", "stats", str(tmp_path)]) == 0


def test_our_archives_are_read_as_tarfile_reads_them(tmp_path: Path) -> None:
    contents = {f"{'n' * n}.json": bytes(n % 7) * n for n in range(1, 60)}
    path = tmp_path / "a.tar"
    blocks = [tar.comment("{}"), *(tar.member(n, c) for n, c in contents.items())]
    length = sum(map(len, blocks))
    path.write_bytes(b"".join(blocks) + tar.end(length))
    assert path.stat().st_size % 10_240 == 0
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive]
        assert archive.pax_headers == {"comment": "{}"}
    with path.open("rb") as file:
        assert list(tar.members(file)) == expected
        file.seek(0)
        assert tar.read_comment(file) == "{}"


def test_a_replaced_origin_is_checked(stored: Dataset) -> None:
    with pytest.raises(ValueError, match="origin must be of shape"):
        replace(stored, origin=stored.origin[:3])
    with pytest.raises(ValueError, match="read-only"):
        stored.origin["row"] = 1
