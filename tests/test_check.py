"""What a check of a data set finds, and that it finds nothing in whole ones."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fixtures_data import write_300w_lp, write_labels
from hdf5_trees import write_xgaze
from PIL import Image

from hmtl.data.check import Report, check_dataset, to_json
from hmtl.data.checks import counts
from hmtl.data.checks.findings import Findings
from hmtl.data.checks.labels import check_boxes
from hmtl.data.checks.samples import union
from hmtl.data.columns import Codec, Columns, file_extents
from hmtl.errors import ConfigError, DataError
from hmtl.synth import LAYOUTS, job, render_dataset

SIDE = 32


def encoded(mode: str = "RGB", suffix: str = "jpg", **options: Any) -> bytes:
    """Return a picture of SIDE px; every mode is made from the same grey one."""
    grey = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8) * 4
    image = Image.fromarray(grey)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "png": "PNG"}[suffix], **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(exif=exif)


def write_table(root: Path, images: dict[str, bytes], *, labels: str = "4,4,28,28,1,2,3") -> Path:
    """Write images and a CSV that gives them all the same labels, each a subject of its own."""
    root.mkdir(exist_ok=True)
    for name, data in images.items():
        (root / name).write_bytes(data)
    lines = ["path,x0,y0,x1,y1,yaw,pitch,roll", *(f"{name},{labels}" for name in images)]
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def found(report: Report) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return kind and file of the errors and of the notes."""
    return tuple([(p.kind, p.path) for p in ps] for ps in (report.errors, report.notes))


def only_error(report: Report) -> str:
    """Return the message of the one error."""
    assert len(report.errors) == 1
    message = report.errors[0].message
    assert "\n" not in message
    return message


def test_a_whole_data_set_is_without_complaint(tmp_path: Path) -> None:
    report = check_dataset(
        write_table(tmp_path, {"a.jpg": encoded(), "b.png": encoded(suffix="png")})
    )
    assert (report.layout, report.root, report.n) == ("csv", tmp_path, 2)
    assert found(report) == ([], [])
    assert (report.published, report.rendered, report.splits) == (None, None, ())


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("b.jpg", lambda data: data[: len(data) // 2], "truncated"),
        ("b.jpg", lambda data: data[:20], "b.jpg"),
        ("b.png", lambda _data: b"", "b.png"),
        ("b.png", lambda data: data[:-20], "b.png"),
        ("b.jpg", lambda _data: b"not an image", "not a JPEG"),
    ],
)
def test_an_image_that_cannot_be_decoded_whole_is_an_error(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes], reason: str
) -> None:
    bad = damage(encoded(suffix=name[-3:]))
    root = write_table(tmp_path, {"a.jpg": encoded(), name: bad, "c.jpg": encoded()})
    report = check_dataset(root)
    assert found(report) == ([("image", name)], [])
    assert str(root / name) in only_error(report)
    assert reason in only_error(report)
    assert report.n == 3


def test_missing_halves_of_pairs_are_errors(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=5, subjects=5, size=SIDE)
    stems = sorted(path.with_suffix("") for path in root.rglob("*.jpg"))
    stems[1].with_suffix(".mat").unlink()
    stems[3].with_suffix(".jpg").unlink()
    report = check_dataset(root)
    wrong = {("pair", f"AFW/{stems[1].name}.jpg"), ("pair", f"AFW/{stems[3].name}.mat")}
    assert set(found(report)[0]) == wrong
    assert report.n == 3


def test_every_label_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=6, subjects=6, size=SIDE)
    labels = sorted(root.rglob("*.mat"))
    write_labels(labels[0], [np.nan, 0.0, 0.0], SIDE)
    labels[2].write_bytes(labels[2].read_bytes()[:-40])
    labels[5].write_bytes(b"")
    report = check_dataset(root)
    wrong = [("label", f"AFW/{labels[number].name}") for number in (0, 2, 5)]
    assert found(report)[0] == wrong
    assert "must be finite" in report.errors[0].message
    assert report.n == 3


def test_bad_lines_of_a_table_are_errors(tmp_path: Path) -> None:
    root = write_table(tmp_path, {"a.jpg": encoded(), "b.jpg": encoded()})
    with (root / "labels.csv").open("a") as file:
        file.write("\nb.jpg,1,2,3,4,nan,0,0\nmissing.jpg,1,2,3,4,0,0,0\n")
    report = check_dataset(root)
    assert [problem.kind for problem in report.errors] == ["label", "image"]
    assert "yaw must be a finite number within ±1e+09, got 'nan'" in report.errors[0].message
    assert "missing.jpg" in report.errors[1].message
    assert report.n == 2


def test_a_data_set_of_which_nothing_can_be_read_is_one_error(tmp_path: Path) -> None:
    root = write_table(tmp_path, {})
    report = check_dataset(root)
    assert found(report) == ([("data set", "")], [])
    assert report.n == 0


def test_an_exif_orientation_is_an_error_as_boxes_are_of_stored_pixels(tmp_path: Path) -> None:
    report = check_dataset(write_table(tmp_path, {"a.jpg": turned(1), "b.jpg": turned(6)}))
    assert found(report) == ([("orientation", "b.jpg")], [])
    assert "got 6" in only_error(report)


def test_unusual_colours_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    images = {f"g{number}.jpg": encoded("L") for number in range(5)}
    images |= {"c.jpg": encoded("CMYK"), "p.png": encoded("P", "png")}
    images |= {"t.png": encoded("RGBA", "png"), "d.png": encoded("I;16", "png")}
    report = check_dataset(write_table(tmp_path, {"a.jpg": encoded()} | images))
    assert report.errors == []
    assert {problem.kind for problem in report.notes} == {"colour"}
    assert {"g0.jpg", "g4.jpg"} < {name for problem in report.notes for name in problem.files}
    said = [problem.message for problem in report.notes]
    assert "5 of 10 images are grey, not the usual colour: g0.jpg, g1.jpg, g2.jpg, …" in said
    for channels, name in (
        ("CMYK", "c.jpg"),
        ("palette", "p.png"),
        ("RGB+alpha", "t.png"),
        ("grey 16 bit", "d.png"),
    ):
        assert f"1 of 10 images are {channels}, not the usual colour: {name}" in said


def test_a_decoder_warning_is_an_error(tmp_path: Path) -> None:
    data = encoded()
    tables = data.index(b"\xff\xdb")
    root = write_table(tmp_path, {"a.jpg": data[:tables] + bytes(3) + data[tables:]})
    report = check_dataset(root)
    assert found(report) == ([("warning", "a.jpg")], [])
    assert "3 extraneous bytes" in report.errors[0].message


def test_a_box_beside_its_image_is_one_error(tmp_path: Path) -> None:
    root = write_table(tmp_path, {"a.jpg": encoded()}, labels="32,4,50,28,1,2,3")
    report = check_dataset(root)
    assert found(report) == ([("box", "a.jpg")], [])
    assert "touch an image of 32×32 px, got (32, 4, 50, 28)" in only_error(report)


@pytest.mark.parametrize(
    ("box", "size", "is_right"),
    [
        ((0, 0, 1, 1), (20, 10), True),
        ((-50, -50, 1, 1), (20, 10), True),
        ((-50, -50, 0, 1), (20, 10), False),
        ((-50, -50, 1, 0), (20, 10), False),
        ((9, 19, 99, 99), (20, 10), True),
        ((10, 19, 99, 99), (20, 10), False),
        ((9, 20, 99, 99), (20, 10), False),
        ((5, 5, 5, 9), (20, 10), False),
        ((5, 9, 9, 5), (20, 10), False),
        ((np.nan, 5, 9, 9), (20, 10), False),
        ((1000, -50, 2000, 0), (0, 0), True),
        ((5, 5, 5, 9), (0, 0), False),
    ],
)
def test_boxes_must_have_an_area_and_touch_images_of_known_size(
    box: tuple[float, ...], size: tuple[int, int], is_right: bool
) -> None:
    boxes = np.array([box], dtype=np.float32)
    samples = Columns(
        files=("a.jpg",),
        extent=file_extents([1], Codec.JPEG),
        pose=np.zeros((1, 3), dtype=np.float32),
        face=np.array([[1, 1, 9, 9]], dtype=np.float32),
        box=boxes,
        subject=np.zeros(1, dtype=np.int32),
        subjects=("a",),
    )
    findings = Findings()
    check_boxes(Path("/data"), samples, np.array([size], dtype=np.int32), findings)
    assert (findings.errors == []) == is_right
    assert all(problem.message.startswith("box must") for problem in findings.errors)


def test_a_box_is_compared_with_the_image_of_its_sample(tmp_path: Path) -> None:
    root = write_table(tmp_path, {"a.jpg": encoded(), "b.jpg": encoded()})
    Image.new("RGB", (90, 60)).save(root / "b.jpg")
    rows = ["a.jpg,1,1,9,9,0,0,0", "b.jpg,80,50,99,99,0,0,0", "a.jpg,80,50,99,99,0,0,0"]
    table = root / "labels.csv"
    table.write_text("\n".join([table.read_text().split("\n")[0], *rows]))
    assert found(check_dataset(root)) == ([("box", "a.jpg")], [])


def test_angles_beyond_the_limits_are_noted(tmp_path: Path) -> None:
    root = write_table(tmp_path, {f"{name}.jpg": encoded() for name in "abcde"})
    table = root / "labels.csv"
    lines = table.read_text().splitlines()
    lines[2] = "b.jpg,4,4,28,28,-100,0,0"
    lines[4] = "d.jpg,4,4,28,28,0,0,540"
    table.write_text("\n".join(lines))
    report = check_dataset(root)
    assert report.errors == []
    assert [problem.message for problem in report.notes] == [
        "2 of 5 poses have an angle beyond ±99°: b.jpg, d.jpg",
        "1 of 5 poses have an angle beyond ±180°: d.jpg",
    ]


def test_a_finding_about_many_files_lists_them_all(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(5)]
    images = {name: encoded("L") for name in names}
    report = check_dataset(write_table(tmp_path, images, labels="4,4,28,28,100,2,3"))
    assert [problem.message.rpartition(": ")[2] for problem in report.notes] == [
        "0.jpg, 1.jpg, 2.jpg, …",
        "0.jpg, 1.jpg, 2.jpg, …",
    ]
    assert [note["files"] for note in to_json(report)["notes"]] == [names, names]


def test_fewer_samples_than_published_are_noted_unless_all_are_wanted(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=3, subjects=3, size=SIDE)
    report = check_dataset(root)
    assert found(report) == ([], [("count", "")])
    assert report.published == 61_225
    assert "3 of 61,225 published samples" in report.notes[0].message
    assert found(check_dataset(root, complete=True)) == ([("count", "")], [])


def test_completeness_cannot_be_asked_of_own_data(tmp_path: Path) -> None:
    root = write_table(tmp_path, {"a.jpg": encoded()})
    with pytest.raises(ConfigError, match="'csv' does not say what a complete copy has"):
        check_dataset(root, complete=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rendered_data_sets_are_without_complaint(tmp_path: Path, layout: str) -> None:
    render_dataset(tmp_path, layout=layout, count=12, subjects=6, seed=3, size=48, workers=1)
    report = check_dataset(tmp_path)
    assert found(report) == ([], [])
    assert (report.layout, report.n, report.rendered) == (layout, 12, 12)


def test_a_rendered_data_set_must_be_whole(tmp_path: Path) -> None:
    assert counts.RENDERING == job.MARKER
    render_dataset(tmp_path, layout="aflw2000", count=3, subjects=1, seed=0, size=32, workers=1)
    (tmp_path / "image00002.jpg").unlink()
    (tmp_path / "image00002.mat").unlink()
    assert "2 of 3 rendered samples" in only_error(check_dataset(tmp_path))
    marker = tmp_path / counts.RENDERING
    whole = marker.read_text()
    marker.write_text(whole.replace('"count": 3', '"count": 2').replace("true", "false"))
    assert "rendering was interrupted" in only_error(check_dataset(tmp_path))
    for damaged in (whole[:20], "[" * 100_000, whole.replace('"count": 3', '"count": 1e999')):
        marker.write_text(damaged)
        assert f"cannot read {marker}" in only_error(check_dataset(tmp_path))
    marker.write_text(whole.replace("aflw2000", "300w-lp"))
    assert found(check_dataset(tmp_path)) == ([], [("count", "")])


@pytest.mark.parametrize("lists", ["{}", '{"train": [], "test": []}'])
def test_a_data_set_without_a_sample_is_an_error(tmp_path: Path, lists: str) -> None:
    root = write_xgaze(tmp_path, train=[0, 108], test=[1])
    (root / "train_test_split.json").write_text(lists)
    report = check_dataset(root)
    assert report.n == 0
    there = "3 files there that the list does not name, the first is train/subject0000.h5"
    assert only_error(report) == f"no samples in {root}, but {there}: is the list whole?"


def test_a_layout_named_wrongly_is_told_what_is_looked_for(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=2, subjects=2, size=SIDE)
    for layout, said in (
        ("aflw2000", "looked for imageNNNNN.jpg with"),
        ("biwi", "no frame_NNNNN_rgb.png or .jpg images in the folders 01, 02, … of"),
        ("eth-xgaze", "looked for train or test"),
        ("csv", "expected a .csv file or a folder with exactly one .csv file"),
    ):
        message = only_error(check_dataset(root, layout))
        assert said in message
        assert str(root) in message


def test_a_path_with_dots_is_the_data_set_that_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_dataset(tmp_path, layout="biwi", count=4, subjects=2, seed=0, size=48, workers=1)
    monkeypatch.chdir(tmp_path / "hpdb" / "01")
    report = check_dataset("..")
    assert (report.root, report.rendered) == (tmp_path / "hpdb", 4)
    assert found(report) == ([], [])


def test_boxes_of_a_broken_camera_are_not_looked_at(tmp_path: Path) -> None:
    render_dataset(tmp_path, layout="biwi", count=4, subjects=2, seed=0, size=48, workers=1)
    broken = sorted(tmp_path.rglob("rgb.cal"))[0]
    broken.write_text(broken.read_text().replace("0", "x", 1))
    report = check_dataset(tmp_path)
    assert [problem.kind for problem in report.errors] == ["calibration"]
    assert str(broken) in only_error(report)
    assert report.n == 4


def test_all_splits_are_looked_at_each_image_once(tmp_path: Path) -> None:
    root = write_xgaze(tmp_path, train=[0, 108], test=[1])
    report = check_dataset(root)
    assert set(report.splits) == {"train", "fit", "val", "test", "test-person-specific"}
    assert report.n == 9
    assert report.errors == []
    assert check_dataset(root, splits=["val"]).n == 3


def test_images_of_arrays_are_named_with_their_row(tmp_path: Path) -> None:
    root = write_xgaze(tmp_path, train=[0, 108])
    with h5py.File(root / "train/subject0000.h5", "r+") as file:
        place = file["face_patch"].id.get_chunk_info(2)
    with (root / "train/subject0000.h5").open("r+b") as raw:
        raw.seek(place.byte_offset)
        raw.write(b"\xff" * place.size)
    report = check_dataset(root)
    assert found(report)[0] == [("image", "train/subject0000.h5#2")]
    assert f"row 2 of {root / 'train/subject0000.h5'}" in only_error(report)


def test_a_split_that_is_not_there_is_wrong_only_where_it_is_asked_for(tmp_path: Path) -> None:
    root = write_xgaze(tmp_path, train=[0, 108])
    report = check_dataset(root)
    assert found(report) == ([], [("split", "test"), ("split", "test_person_specific")])
    assert found(check_dataset(root, splits=["test"])) == ([("split", "test")], [])
    assert [kind for kind, _ in found(check_dataset(root, complete=True))[0]] == ["split", "split"]


def test_files_that_are_not_in_the_split_file_or_only_there_are_noted(tmp_path: Path) -> None:
    root = write_xgaze(tmp_path, train=[0, 3, 108], test=[1], person_specific=[2])
    (root / "train/subject0003.h5").rename(root / "train/subject0004.h5")
    errors, notes = found(check_dataset(root))
    assert errors == []
    assert set(notes) == {
        ("missing file", "train/subject0003.h5"),
        ("unlisted file", "train/subject0004.h5"),
    }
    assert found(check_dataset(root, complete=True))[0] == [
        ("missing file", "train/subject0003.h5")
    ]


def test_a_subject_in_two_splits_is_an_error_named_once(tmp_path: Path) -> None:
    root = write_xgaze(tmp_path, train=[0, 108], test=[0])
    report = check_dataset(root)
    assert [kind for kind, _ in found(report)[0]] == ["subject"]
    places = "train/subject0000.h5 (train) and test/subject0000.h5 (test)"
    assert f"subject 'subject0000' is in more than one split, {places}" in only_error(report)


def test_subjects_that_another_data_set_has_too_are_errors(tmp_path: Path) -> None:
    first = write_300w_lp(tmp_path / "first", count=4, subjects=2, size=SIDE)
    other = write_300w_lp(tmp_path / "other", count=3, subjects=3, size=SIDE)
    report = check_dataset(first, against=[other])
    assert [problem.kind for problem in report.errors] == ["subject", "subject"]
    assert report.errors[0].message == f"subject 'AFW/AFW_00000_1' is in {other} too"
    apart = write_300w_lp(tmp_path / "apart", count=3, subjects=3, size=SIDE, seed=1)
    assert check_dataset(first, against=[apart]).errors == []


def test_subjects_of_other_layouts_are_not_compared(tmp_path: Path) -> None:
    first = write_300w_lp(tmp_path / "first", count=2, subjects=2, size=SIDE)
    other = write_table(tmp_path / "other", {"a.jpg": encoded()})
    report = check_dataset(first, against=[other])
    assert report.errors == []
    assert [problem.kind for problem in report.notes] == ["subject", "count"]
    with pytest.raises(DataError, match="No such file or directory"):
        check_dataset(first, against=[tmp_path / "nowhere"])


def test_names_that_are_not_utf_8_are_kept_whole(tmp_path: Path) -> None:
    name = os.fsdecode(b"AFW_\xff_1_0.jpg")
    root = write_300w_lp(tmp_path, count=2, subjects=2, size=SIDE)
    (root / "AFW" / name).write_bytes(b"")
    (root / "AFW" / name).with_suffix(".mat").write_bytes(next(root.rglob("*.mat")).read_bytes())
    report = check_dataset(root)
    assert found(report)[0] == [("image", f"AFW/{name}")]
    assert os.fsencode(only_error(report)).count(b"\xff") == 1


@pytest.mark.parametrize("threads", [1, 4, 7])
def test_findings_do_not_depend_on_the_number_of_threads(tmp_path: Path, threads: int) -> None:
    images = {f"{n:03}.jpg": encoded()[: 40 * n] for n in range(70)}
    root = write_table(tmp_path, images)
    progress: list[tuple[str, int, int | None]] = []
    report = check_dataset(root, threads=threads, on_progress=lambda *told: progress.append(told))
    assert to_json(report) == to_json(check_dataset(root, threads=2))
    assert progress[0] == ("reading labels", 0, None)
    assert progress[-1] == ("decoding images", 70, 70)


def test_many_bad_files_are_all_listed(tmp_path: Path) -> None:
    threads = threading.active_count()
    images = {f"{number:05}.jpg": b"" for number in range(2000)}
    report = check_dataset(write_table(tmp_path, images))
    assert [path for _, path in found(report)[0]] == sorted(images)
    assert to_json(report)["counts"] == {"image": {"errors": 2000, "notes": 0}}
    assert threading.active_count() <= threads


def test_the_union_takes_an_image_from_the_first_part_only() -> None:
    def part(files: tuple[str, ...], rows: list[int], subjects: tuple[str, ...]) -> Columns:
        extent = file_extents([1] * len(rows), Codec.JPEG)
        extent["file"] = np.arange(len(rows)) % len(files)
        extent["row"] = rows
        return Columns(
            files=files,
            extent=extent,
            pose=np.full((len(rows), 3), rows[0], dtype=np.float32),
            face=np.zeros((len(rows), 4), dtype=np.float32),
            box=np.zeros((len(rows), 4), dtype=np.float32),
            subject=np.arange(len(rows), dtype=np.int32) % len(subjects),
            subjects=subjects,
        )

    first = part(("a", "b"), [5, 5, 6], ("one", "two"))
    second = part(("b", "c"), [5, 5, 7, 8], ("two", "three"))
    samples = union([first, second])
    assert samples.files == ("a", "b", "c")
    named = [(samples.files[e["file"]], int(e["row"])) for e in samples.extent]
    assert named == [("a", 5), ("b", 5), ("a", 6), ("c", 5), ("b", 7), ("c", 8)]
    assert [samples.subjects[number] for number in samples.subject] == [
        *("one", "two", "one"),
        *("three", "two", "three"),
    ]
    # Of a table, two faces of one image are two samples.
    assert len(union([part(("a",), [-1, -1], ("one",))]).extent) == 2
    assert len(union([]).extent) == 0


@pytest.mark.data
@pytest.mark.parametrize("name", ["300W_LP", "AFLW2000", "BIWI"])
def test_the_real_samples_are_without_an_error(realdata: Path, name: str) -> None:
    report = check_dataset(realdata / name)
    assert report.errors == []
    assert [problem.kind for problem in report.notes] == ["count"]
