"""Packing: what is stored, that it renders as the source does, and that nothing half is left."""

import fcntl
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from hypothesis import given
from hypothesis import strategies as st
from packed_trees import packed, shards_of, write_photos
from PIL import Image
from trees import files_of

from hmtl import _core
from hmtl.cli.main import run
from hmtl.data import Augmentation, Dataset, Loader, concat, open_dataset
from hmtl.data.augmentation import PRESETS
from hmtl.data.pack import pack
from hmtl.data.packing.region import needed_regions, stored_part
from hmtl.errors import ConfigError, DataError
from hmtl.synth import render_dataset

pytestmark = pytest.mark.usefixtures("user_cache")


def rendered(dataset: Dataset, augmentation: str | Augmentation = "none", **options: Any) -> Any:
    """Return the first batch of all samples in their order, as (N, S, S, 3) numbers."""
    chosen = {"size": 64, "pretext": "none", "shuffle": False, "num_threads": 1} | options
    batch = next(iter(Loader(dataset, len(dataset), augmentation=augmentation, **chosen)))
    return batch.images.permute(0, 2, 3, 1).numpy().astype(int)


@pytest.mark.parametrize("fit", ["short-side", "stretch"])
@pytest.mark.parametrize("size", [32, 64, 150])
def test_raw_crops_that_were_not_resized_render_as_their_png(
    tmp_path: Path, size: int, fit: Any
) -> None:
    source = write_photos(tmp_path / "photos")
    stored = packed(tmp_path / "out", source, codec="raw", fit=fit)
    assert np.array_equal(
        rendered(stored, size=size, fit=fit), rendered(source, size=size, fit=fit)
    )
    assert stored.extent["height"].tolist() != source.extent["height"].tolist()


def test_augmented_crops_that_were_not_resized_render_as_their_png(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    stored = packed(tmp_path / "out", source, codec="raw")
    # Crops are the same to the last digit but one of float32: a weight may round another way.
    difference = rendered(stored, "level2", pretext="puzzle", grid=3, size=48)
    difference -= rendered(source, "level2", pretext="puzzle", grid=3, size=48)
    assert np.abs(difference).max() <= 1


def test_resized_crops_render_nearly_as_their_source(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", size=(600, 560))
    scale = 4 * np.ones(4, dtype=np.float32)
    source = replace(source, face=source.face * scale, box=source.box * scale)
    stored = packed(tmp_path / "out", source, codec="raw", size=256)
    assert max(stored.extent["height"].max(), stored.extent["width"].max()) == 256
    difference = np.abs(rendered(stored, size=128) - rendered(source, size=128))
    # Two triangle filters, one after the other, blur edges more than one does.
    assert difference.mean() < 0.3
    # A crop that is half a stored pixel beside differs by more.
    box = stored.box + np.array([0.5, 0, 0.5, 0], dtype=np.float32)
    beside = rendered(replace(stored, box=box, face=box), size=128)
    assert np.abs(beside - rendered(source, size=128)).mean() > 0.5


@pytest.mark.parametrize(("quality", "mean"), [(95, 2.0), (60, 5.0)])
def test_jpeg_crops_render_nearly_as_their_source(
    tmp_path: Path, quality: int, mean: float
) -> None:
    source = write_photos(tmp_path / "photos")
    stored = packed(tmp_path / "out", source, quality=quality)
    difference = np.abs(rendered(stored) - rendered(source, decode="rgb"))
    assert difference.mean() < mean
    assert {Image.open(io.BytesIO(data)).format for data in images_of(stored)} == {"JPEG"}


def images_of(dataset: Dataset) -> list[bytes]:
    paths = dataset.paths()
    return [_core.read_extent(paths, dataset.extent[i : i + 1]) for i in range(len(dataset))]


def test_labels_come_through_to_the_last_bit(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=7)
    stored = packed(tmp_path / "out", source)
    assert stored.pose.tobytes() == source.pose.tobytes()
    assert stored.name == source.name
    assert [stored.subjects[n] for n in stored.subject] == [
        source.subjects[n] for n in source.subject
    ]
    assert (stored.layout, stored.crop, stored.convention) == ("packed", "box", "euler")
    with tarfile.open(shards_of(tmp_path / "out")[0]) as archive:
        labels = [
            json.load(archive.extractfile(member))
            for member in archive
            if member.name.endswith(".json")
        ]
    angles = np.array([[found[a] for a in ("yaw", "pitch", "roll")] for found in labels])
    assert angles.astype(np.float32).tobytes() == source.pose.tobytes()
    assert [found["name"] for found in labels] == source.name


def test_level2_draws_the_same_crops_of_packed_faces(tmp_path: Path) -> None:
    write_300w_lp(tmp_path / "heads", count=12, subjects=4, size=400)
    source = open_dataset(tmp_path / "heads")
    stored = packed(tmp_path / "out", source, size=128)
    first, second = (
        Loader(d, 12, augmentation="level2", seed=3).draw(np.arange(12), epoch=2)
        for d in (source, stored)
    )
    names = [name for name in first.dtype.names if name != "box"]
    assert all(np.array_equal(first[name], second[name]) for name in names)
    regions = needed_regions(source.face, source.box, margin=4 / 3, fit="short-side")
    for row in range(12):
        part = stored_part(regions[row], 400, 400, 128)
        assert part is not None
        drawn = np.array(first["box"][row, 0].tolist(), dtype=np.float32)
        found = np.array(second["box"][row, 0].tolist())
        # Sides are whole pixels, so that the scales of x and y differ by up to half of one.
        assert np.abs(part.moved(drawn) - found).max() <= 0.5
        assert (part.height, part.width) == tuple(stored.extent[row][["height", "width"]].tolist())


edges = st.floats(-300, 900, width=32)
boxes = st.tuples(edges, edges, st.floats(1, 500, width=32), st.floats(1, 500, width=32)).map(
    lambda b: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]], dtype=np.float32)
)


def frame(face: np.ndarray, box: np.ndarray, margin: float, fit: str) -> np.ndarray:
    """Return the crop (4,) with this margin, from its definition."""
    x0, y0, x1, y1 = face[0] + margin * (box[0].astype(float) - face[0])
    width, height = x1 - x0, y1 - y0
    if fit == "short-side":
        width = height = min(width, height)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


@given(boxes, boxes, st.floats(0, 3), st.floats(0, 1), st.sampled_from(["short-side", "stretch"]))
def test_regions_hold_every_crop_of_smaller_margins(
    face: np.ndarray, box: np.ndarray, margin: float, share: float, fit: Any
) -> None:
    region = needed_regions(face, box, margin=margin, fit=fit)[0]
    for factor in (0.0, share * margin, margin):
        crop = frame(face, box, factor, fit)
        slack = 1e-3
        assert np.all(region[:2] <= crop[:2] + slack)
        assert np.all(region[2:] >= crop[2:] - slack)


@given(boxes, st.integers(1, 900), st.integers(1, 900), st.integers(8, 400))
def test_stored_parts_hold_the_pixels_that_there_are(
    region: np.ndarray, height: int, width: int, size: int
) -> None:
    part = stored_part(region[0].astype(float), height, width, size)
    x0, y0, x1, y1 = region[0]
    if part is None:
        assert x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height
        return
    assert 0 <= part.x0 < part.x1 <= width
    assert 0 <= part.y0 < part.y1 <= height
    # Two pixels, of those stored, are for the filter beyond the crop.
    for low, kept in ((x0, part.x0), (y0, part.y0)):
        assert kept == 0 or kept <= low - 2
    for high, kept, limit in ((x1, part.x1, width), (y1, part.y1, height)):
        assert kept == limit or kept >= high + 2
    assert max(part.height, part.width) <= size
    assert part.is_resized == (max(part.x1 - part.x0, part.y1 - part.y0) > size)
    corners = part.moved(np.array([part.x0, part.y0, part.x1, part.y1], dtype=np.float32))
    assert np.allclose(corners, [0, 0, part.width, part.height], atol=1e-3)


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=9, suffix=".jpg")
    for number, threads in enumerate((1, 3, 1)):
        pack(source, tmp_path / f"{number}", threads=threads, shard_bytes=9_000)
    first = files_of(tmp_path / "0")
    assert len(first) > 3
    assert files_of(tmp_path / "1") == first
    assert files_of(tmp_path / "2") == first


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_shards_are_plain_tar_files_of_about_a_size(tmp_path: Path, codec: Any) -> None:
    source = write_photos(tmp_path / "photos", count=9)
    stored = packed(tmp_path / "out", source, codec=codec, shard_bytes=9_000)
    sizes = [path.stat().st_size for path in shards_of(tmp_path / "out")]
    assert len(sizes) == len(stored.files) > 1
    suffix = {"jpeg": ".jpg", "raw": ".ppm"}[codec]
    keys: list[str] = []
    for path in shards_of(tmp_path / "out"):
        listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True)
        assert listed.stderr == ""
        with tarfile.open(path) as archive:
            names = archive.getnames()
            assert {member.mtime for member in archive} == {0}
        assert listed.stdout.split() == names
        stems = [name.split(".", 1) for name in names]
        assert [extension for _, extension in stems] == [suffix[1:], "json"] * (len(names) // 2)
        assert [stem for stem, _ in stems[::2]] == [stem for stem, _ in stems[1::2]]
        keys += [stem for stem, _ in stems[::2]]
    assert keys == [f"{number:07d}-{number}" for number in range(9)]


# In a process of its own, as it leaves its files open.
WEBDATASET = """
import json, sys
import numpy, webdataset
samples = webdataset.WebDataset(sys.argv[2:], shardshuffle=False)
samples = list(samples.decode("rgb8").to_tuple("jpg;ppm", "json"))
numpy.savez(sys.argv[1], *[pixels for pixels, _ in samples])
for _, label in samples:
    print(json.dumps(label))
"""


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_plain_webdataset_reads_shards(tmp_path: Path, codec: Any) -> None:
    source = write_photos(tmp_path / "photos", count=5)
    stored = packed(tmp_path / "out", source, codec=codec, shard_bytes=9_000)
    urls = [os.fspath(path) for path in shards_of(tmp_path / "out")]
    command = [sys.executable, "-P", "-c", WEBDATASET, os.fspath(tmp_path / "read.npz"), *urls]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    labels = [json.loads(line) for line in said.stdout.splitlines()]
    assert [found["name"] for found in labels] == source.name
    assert [found["box"] for found in labels] == stored.box.tolist()
    assert [found["yaw"] for found in labels] == source.pose[:, 0].tolist()
    with np.load(tmp_path / "read.npz") as pictures:
        for row, data in enumerate(images_of(stored)):
            pixels = pictures[f"arr_{row}"]
            assert pixels.shape == (*stored.extent[row][["height", "width"]].tolist(), 3)
            assert codec == "jpeg" or pixels.tobytes() == data


def test_directions_of_hdf5_files_are_packed(tmp_path: Path) -> None:
    write_xgaze(tmp_path / "xgaze", train=[0, 3])
    source = open_dataset(tmp_path / "xgaze", split="train")
    stored = packed(tmp_path / "out", source, codec="raw")
    assert (stored.convention, stored.split, stored.crop) == ("direction", "train", "box")
    assert stored.name == source.name
    assert np.array_equal(stored.pose, source.pose, equal_nan=True)
    assert np.isnan(stored.pose[:, 2]).all()
    assert np.array_equal(rendered(stored, size=32), rendered(source, size=32))
    for path in shards_of(tmp_path / "out"):
        path.with_name("hmtl-packed.npz").unlink()
    again = open_dataset(tmp_path / "out")
    assert (again.convention, again.split) == ("direction", "train")
    assert again.name == source.name


@pytest.mark.parametrize("layout", ["300w-lp", "aflw2000", "biwi"])
def test_rendered_heads_of_every_layout_are_packed(tmp_path: Path, layout: str) -> None:
    render_dataset(tmp_path / "heads", layout=layout, count=6, subjects=2, seed=1, workers=1)
    source = open_dataset(tmp_path / "heads")
    stored = packed(tmp_path / "out", source)
    assert stored.crop == source.crop
    assert stored.boxes == source.boxes
    difference = np.abs(rendered(stored) - rendered(source))
    assert difference.mean() < 3.0


@pytest.mark.data
@pytest.mark.parametrize("name", ["300W_LP", "AFLW2000", "BIWI"])
def test_real_samples_are_packed(tmp_path: Path, realdata: Path, name: str) -> None:
    source = open_dataset(realdata / name)
    for codec, mean in (("raw", 4.0), ("jpeg", 5.0)):
        stored = packed(tmp_path / codec, source, codec=codec)  # type: ignore[arg-type]
        assert stored.pose.tobytes() == source.pose.tobytes()
        difference = np.abs(rendered(stored, size=128) - rendered(source, size=128))
        assert difference.mean() < mean
    assert run(["data", "check", str(tmp_path / "jpeg")]) == 0


def test_packed_data_sets_can_be_packed_again(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    stored = packed(tmp_path / "out", source, codec="raw")
    again = packed(tmp_path / "again", stored, codec="raw", margin=1.0)
    assert again.name == source.name
    assert np.array_equal(rendered(again), rendered(source))
    with pytest.raises(ConfigError, match=r"margin factors up to 1\.5 need pixels"):
        pack(stored, tmp_path / "third", margin=1.5)


def test_crops_beyond_what_was_packed_are_refused(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    stored = packed(tmp_path / "out", source, margin=1.2)
    for preset in ("level1", "level2"):
        with pytest.raises(ConfigError, match=r"factors up to 1.333 need .* up to 1.2 .*--margin"):
            Loader(stored, 2, augmentation=preset)
    with pytest.raises(ConfigError, match=r"fit='stretch' needs .*--fit stretch"):
        Loader(stored, 2, augmentation="none", fit="stretch")
    both = concat([source, stored])
    with pytest.raises(ConfigError, match=r"photos was packed for margins up to 1\.2"):
        Loader(both, 2, augmentation="level2")
    Loader(stored, 2, augmentation=Augmentation(margin=(0.0, 1.2)))


def test_the_margin_of_packing_is_that_of_the_presets(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=2)
    stored = packed(tmp_path / "out", source)
    for preset in PRESETS:
        Loader(stored, 2, augmentation=preset)


def test_a_bad_sample_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    bad = tmp_path / "photos" / "3.png"
    bad.write_bytes(bad.read_bytes()[:900])
    with pytest.raises(_core.DecodeError, match=r"photos/3\.png"):
        pack(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_bad_samples_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_photos(tmp_path / "photos")
    for name in ("3.png", "5.png"):
        (tmp_path / "photos" / name).write_bytes(b"no picture, but as long as one" * 2000)
    command = ["data", "pack", str(tmp_path / "photos"), str(tmp_path / "out")]
    assert run(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: not a PNG")
    assert said.count("\n") == 1
    assert run([*command, "--skip-bad"]) == 0
    found = capsys.readouterr()
    assert "4 samples in 1 shard of 0.0 MiB, 2 left out" in found.out
    stored = open_dataset(tmp_path / "out")
    assert stored.name == [name for name in source.name if name not in ("3.png", "5.png")]
    assert stored.packings[0].count == 6
    for name in source.name:
        (tmp_path / "photos" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"no sample of .* can be read, the first: "):
        pack(open_dataset(tmp_path / "photos"), tmp_path / "none", skip_bad=True)


def test_faces_outside_their_image_are_bad_samples(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    box = source.box.copy()
    box[2] = (200, 200, 300, 300)
    with pytest.raises(DataError, match=r"face must touch its image: .*photos/2\.png"):
        pack(replace(source, face=box, box=box), tmp_path / "out")
    box[2] = np.nan
    with pytest.raises(DataError, match=r"sample has no face to crop: .*photos/2\.png"):
        pack(replace(source, face=box, box=box), tmp_path / "out")
    box[2] = (-1e9, -1e9, 1e9, 1e9)
    stored = packed(tmp_path / "out", replace(source, face=box, box=box), codec="raw")
    assert stored.extent[2][["height", "width"]].tolist() == (150, 140)


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 7), ("size", 5000), ("margin", -1), ("margin", 101), ("quality", 0), ("quality", 101),
     ("shard_bytes", 0)],
)  # fmt: skip
def test_options_out_of_range_are_refused(tmp_path: Path, option: str, value: Any) -> None:
    source = write_photos(tmp_path / "photos", count=1)
    with pytest.raises(ConfigError, match=rf"^{option} must be in \["):
        pack(source, tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()


def test_only_an_empty_place_is_taken(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=1)
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "kept").write_text("kept")
    file.write_text("kept")
    link.symlink_to("elsewhere")
    for target in (full, file, link):
        with pytest.raises(ConfigError, match=f"must be an empty folder .*, got {target}$"):
            pack(source, target)
    with pytest.raises(DataError, match="there is no folder"):
        pack(source, tmp_path / "no" / "out")
    (tmp_path / "empty").mkdir()
    pack(source, tmp_path / "empty")
    assert len(open_dataset(tmp_path / "empty")) == 1
    other = tmp_path / "out.partial"
    other.mkdir()
    (other / "mine").write_text("kept")
    with pytest.raises(ConfigError, match=r"out\.partial is in the way: it holds mine"):
        pack(source, tmp_path / "out")
    assert (other / "mine").read_text() == (full / "kept").read_text() == "kept"


SLOW = """
import sys, time
from pathlib import Path
from hmtl.data import open_dataset
from hmtl.data.pack import pack

def pause(done, total):
    if done == 5:
        print("half", flush=True)
        time.sleep(120)

pack(open_dataset(sys.argv[1]), Path(sys.argv[2]), shard_bytes=9_000, on_progress=pause)
"""


def half_way(photos: Path, out: Path) -> subprocess.Popen[str]:
    """Return a process that has packed 5 of 8 samples, into two or more shards, and waits."""
    command = [sys.executable, "-P", "-c", SLOW, os.fspath(photos), os.fspath(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_is_killed_in_the_middle_leaves_nothing_that_opens(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_photos(tmp_path / "photos", count=8)
    out = tmp_path / "out"
    process = half_way(tmp_path / "photos", out)
    assert len(list((tmp_path / "out.partial").glob("*.tar"))) > 1
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not out.exists()
    with pytest.raises(DataError):
        open_dataset(out)
    if number == signal.SIGINT:
        assert not (tmp_path / "out.partial").exists()
    # What was left is in nobody's way.
    stored = packed(out, open_dataset(tmp_path / "photos"))
    assert len(stored) == 8
    assert not (tmp_path / "out.partial").exists()


def test_two_processes_cannot_pack_into_one_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "photos", count=8)
    out = tmp_path / "out"
    process = half_way(tmp_path / "photos", out)
    try:
        before = files_of(tmp_path / "out.partial")
        assert run(["data", "pack", str(tmp_path / "photos"), str(out)]) == 2
        assert capsys.readouterr().err == f"error: another process is writing {out}\n"
        assert files_of(tmp_path / "out.partial") == before
    finally:
        process.kill()
        process.communicate()


def test_who_gets_the_lock_of_a_finished_folder_does_not_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_photos(tmp_path / "photos", count=1)
    real = fcntl.flock

    def finished_meanwhile(descriptor: int, operation: int) -> None:
        (tmp_path / "out.partial").rename(tmp_path / "out")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", finished_meanwhile)
    with pytest.raises(ConfigError, match="another process is writing"):
        pack(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_many_processes_at_once_leave_one_whole_data_set(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", count=4)
    open_dataset(tmp_path / "photos")
    command = [sys.executable, "-P", "-m", "hmtl", "data", "pack", str(tmp_path / "photos")]
    processes = [
        subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert sorted(code for _, code in ends)[0] == 0
    assert [code for _, code in ends].count(0) == 1
    assert all(text.count("\n") == 1 for text, code in ends if code == 2)
    assert {code for _, code in ends} == {0, 2}
    assert len(open_dataset(tmp_path / "out")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


def test_everything_is_on_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_photos(tmp_path / "photos", count=6)
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    calls: list[tuple[Path, bool]] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        calls.append((Path(f"/proc/self/fd/{descriptor}").readlink(), out.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    pack(source, out, shard_bytes=14_000)
    names = sorted(path.name for path in out.iterdir())
    assert len(names) > 2
    *files, folder, parent = calls
    assert sorted(files) == [(partial / name, False) for name in names]
    assert (folder, parent) == ((partial, False), (tmp_path, True))


@pytest.mark.parametrize("name", [".", "../here"])
def test_the_folder_at_hand_may_be_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_photos(tmp_path / "photos", count=2)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run(["data", "pack", str(tmp_path / "photos"), name]) == 0
    assert len(open_dataset(here)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "photos"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=1)
    partial = tmp_path / "out.partial"
    partial.write_text("mine")
    with pytest.raises(ConfigError, match=rf"^folder {partial} is in the way: it is no folder$"):
        pack(source, tmp_path / "out")
    assert partial.read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("fit", "x", r"fit must be one of \['short-side', 'stretch'\], got 'x'"),
        ("codec", "webp", r"codec must be one of \['jpeg', 'raw'\], got 'webp'"),
        ("quality", 90.5, "quality must be a whole number, got 90.5"),
        ("size", 64.5, "size must be a whole number, got 64.5"),
        ("size", 7, r"size must be in \[8, 4096\], got 7"),
        ("margin", "1", "margin must be a number, got '1'"),
        ("shard_bytes", 1e6, "shard_bytes must be a whole number"),
        ("threads", -1, r"threads must be in \[0, 1024\], got -1"),
    ],
)
def test_values_that_make_no_sense_are_named(
    tmp_path: Path, option: str, value: Any, said: str
) -> None:
    source = write_photos(tmp_path / "photos", count=1)
    with pytest.raises(ConfigError, match=f"^{said}"):
        pack(source, tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", count=4)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from hmtl.data import open_dataset; from hmtl.data.pack import pack\n"
        "from hmtl.errors import DataError\n"
        "data = open_dataset(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "try: pack(data, Path(sys.argv[2]), codec='raw')\n"
        "except DataError as error: sys.exit(str(error))\n"
    )
    command = [sys.executable, "-P", "-c", program, tmp_path / "photos", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == f"cannot write {tmp_path / 'out'}: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_progress_counts_samples(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", count=5)
    calls: list[tuple[int, int]] = []
    pack(source, tmp_path / "out", on_progress=lambda done, total: calls.append((done, total)))
    assert calls == list(zip(range(1, 6), itertools.repeat(5)))


def test_what_was_packed_and_how_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "photos", count=3)
    out = str(tmp_path / "out")
    assert run(["data", "pack", str(tmp_path / "photos"), out, "--quality", "80"]) == 0
    said = (
        "packed from photos (csv, crop rule box): jpeg of quality 80, at most 256 px, "
        "margins up to 1.333 (short-side)"
    )
    for command in ("index", "stats"):
        capsys.readouterr()
        assert run(["data", command, out]) == 0
        assert said in capsys.readouterr().out.splitlines()
    assert run(["data", "stats", out, "--json"]) == 0
    recorded = json.loads(capsys.readouterr().out)["packings"]
    assert [(p["quality"], p["count"], p["layout"]) for p in recorded] == [(80, 3, "csv")]


def test_the_command_line_takes_every_option(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", count=3, size=(300, 280))
    out = tmp_path / "out"
    options = [
        "--size",
        "50",
        "--margin",
        "2",
        "--codec",
        "raw",
        "--shard-mb",
        "1",
        "--workers",
        "2",
        "--fit",
        "stretch",
    ]
    assert run(["data", "pack", str(tmp_path / "photos"), str(out), *options]) == 0
    packing = open_dataset(out).packings[0]
    assert (packing.size, packing.margin, packing.codec) == (50, 2.0, "raw")
    assert (packing.fit, packing.quality) == ("stretch", None)
    assert run(["data", "pack", str(tmp_path / "photos"), str(out), "--size", "1"]) == 2
    assert run(["data", "pack", str(tmp_path / "no"), str(tmp_path / "o")]) == 1
