"""The ETH-XGaze layout: splits, labels, pixels, and what is wrong named."""

import logging
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdf5_trees import (
    SIDES,
    angles,
    patches,
    subject_file,
    write_split,
    write_subject,
    write_xgaze,
)

from hmtl import _core
from hmtl.data import Loader, open_dataset
from hmtl.data.layouts.layout import Problem
from hmtl.data.layouts.xgaze import LAYOUT, audit
from hmtl.data.opening import make_request
from hmtl.errors import ConfigError, DataError

PUBLISHED_TRAIN = """0 3 4 5 6 7 8 9 10 13 14 15 16 18 19 21 24 26 27 28 29 30 31 32 33 35 36 38 39
    40 41 43 44 45 46 48 50 51 52 55 56 57 58 59 60 61 62 63 65 66 67 69 72 73 75 76 78 79 80 81 83
    84 85 88 90 92 95 98 99 100 101 102 103 104 105 106 107 108 109 111"""
PLAIN: dict[str, Any] = {"size": 16, "augmentation": "none", "pretext": "none"}
VAL = ["subject0108", "subject0109", "subject0111"]


def one_subject(root: Path, labels: Any, *, count: int = 5, **storage: Any) -> Path:
    """Write a data set of one training subject and return its file."""
    write_split(root, train=[subject_file(3)], test=[], test_person_specific=[])
    return write_subject(root / "train" / subject_file(3), patches(count), labels, **storage)


def problems_of(root: Path, split: str = "train") -> tuple[list[Problem], int]:
    """Read as a check does; return what is wrong and how many samples are left."""
    request = make_request(LAYOUT, split=split)
    problems: list[Problem] = []
    columns = LAYOUT.read(root, LAYOUT.scan(root, request), request, problems.append)
    for column in (columns.pose, columns.face, columns.box, columns.subject):
        assert len(column) == len(columns.extent)
    return problems, len(columns.extent)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="hmtl")
    return caplog


def test_columns_say_where_who_and_how(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[5, 3])
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.split, dataset.crop) == ("eth-xgaze", "train", "box")
    assert dataset.convention == "direction"
    assert dataset.boxes == ""
    assert dataset.files == ("train/subject0003.h5", "train/subject0005.h5")
    assert dataset.name[:4] == [
        *(f"train/subject0003.h5#{row}" for row in range(3)),
        "train/subject0005.h5#0",
    ]
    assert [dataset.subjects[number] for number in dataset.subject] == ["subject0003"] * 3 + [
        "subject0005"
    ] * 3
    height, width = SIDES
    assert dataset.face.tolist() == [[0, 0, width, height]] * 6
    assert np.array_equal(dataset.face, dataset.box)


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8"])
def test_labels_are_yaw_and_pitch_of_a_direction_in_degrees(tmp_path: Path, dtype: str) -> None:
    labels = angles(5).astype(dtype)
    one_subject(tmp_path, labels)
    pose = open_dataset(tmp_path).pose
    assert pose.dtype == np.float32
    pitch, yaw = np.rad2deg(labels.astype(np.float64)).T
    assert np.allclose(pose[:, :2], np.stack([yaw, pitch], axis=1), atol=1e-4, rtol=0)
    assert np.isnan(pose[:, 2]).all()


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"compression": "gzip", "shuffle": True},
        {"compression": None},
        {"compression": None, "chunks": None},
        {"userblock_size": 4096},
        {"libver": "latest"},
    ],
)
def test_the_loader_shows_the_pixels_of_h5py_red_first(
    tmp_path: Path, storage: dict[str, Any]
) -> None:
    images = patches(10, sides=(16, 16))
    write_split(tmp_path, train=["subject0003.h5"])
    write_subject(tmp_path / "train" / "subject0003.h5", images, angles(10), **storage)
    with h5py.File(tmp_path / "train" / "subject0003.h5") as file:
        expected = file["face_patch"][:][..., ::-1]
    dataset = open_dataset(tmp_path)
    loader = Loader(dataset, batch_size=4, **PLAIN, shuffle=False, drop_last=False)
    for batch in loader:
        assert batch.valid.all()
        for row, number in enumerate(batch.index.tolist()):
            shown = batch.images[row].permute(1, 2, 0).numpy()
            assert np.array_equal(shown, expected[number])
            assert np.array_equal(batch.pose[row].numpy(), dataset.pose[number], equal_nan=True)


def test_test_files_need_no_gaze(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3], test=[1])
    with h5py.File(tmp_path / "test" / subject_file(1)) as file:
        assert "face_gaze" not in file
    dataset = open_dataset(tmp_path, split="test")
    assert dataset.split == "test"
    assert dataset.files == ("test/subject0001.h5",)
    assert np.isfinite(dataset.pose[:, :2]).all()


def test_a_file_without_head_poses_says_so(tmp_path: Path) -> None:
    path = write_subject(tmp_path / "test" / subject_file(1), patches(2), None, gaze=False)
    with pytest.raises(DataError, match=f"^no data set face_head_pose in {path}$"):
        open_dataset(tmp_path, split="test")


def test_the_published_train_list_is_split_as_in_the_paper(tmp_path: Path) -> None:
    numbers = [int(number) for number in PUBLISHED_TRAIN.split()]
    assert len(numbers) == 80
    write_xgaze(tmp_path, train=reversed(numbers), count=1)
    names = {
        split: [Path(name).stem for name in open_dataset(tmp_path, split=split).files]
        for split in ("train", "fit", "val")
    }
    assert names["val"] == VAL
    assert names["train"] == [f"subject{number:04}" for number in numbers]
    assert names["fit"] == [name for name in names["train"] if name not in VAL]


@pytest.mark.parametrize("key", ["test_person_specific", "test_specific"])
@pytest.mark.parametrize("folder", ["test_person_specific", "test_specific"])
def test_both_names_of_the_person_specific_split_are_known(
    tmp_path: Path, key: str, folder: str
) -> None:
    write_split(tmp_path, train=[], test=[], **{key: [subject_file(22)]})
    write_subject(tmp_path / folder / subject_file(22), patches(2), angles(2), gaze=False)
    dataset = open_dataset(tmp_path, split="test-person-specific")
    assert dataset.name == [f"{folder}/subject0022.h5#0", f"{folder}/subject0022.h5#1"]


def test_without_a_split_file_the_folder_is_the_split(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[5, 3, 109], test=[1], listed=False)
    assert [Path(f).stem for f in open_dataset(tmp_path).files] == [
        "subject0003",
        "subject0005",
        "subject0109",
    ]
    assert f"no train_test_split.json in {tmp_path}: taking the files in train" in log.text
    assert open_dataset(tmp_path, split="val").subjects == ("subject0109",)
    assert open_dataset(tmp_path, split="fit").subjects == ("subject0003", "subject0005")
    assert audit(tmp_path) == []


def test_files_that_are_not_listed_are_not_taken(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 5], test=[1])
    write_split(tmp_path, train=[subject_file(5)], test=[subject_file(1)])
    assert open_dataset(tmp_path).files == ("train/subject0005.h5",)
    assert audit(tmp_path) == [
        Problem(
            kind="unlisted file",
            path="train/subject0003.h5",
            message="file is not listed in train_test_split.json: "
            f"{tmp_path / 'train' / 'subject0003.h5'}",
        )
    ]


def test_a_copy_that_is_not_complete_yet_opens_with_a_warning(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4, 5], test=[1])
    for number in (3, 5):
        (tmp_path / "train" / subject_file(number)).unlink()
    missing = tmp_path / "train" / "subject0003.h5"
    for _ in range(2):
        log.clear()
        assert open_dataset(tmp_path).subjects == ("subject0004",)
        said = f"2 of the 3 files of split 'train' are not there, the first is {missing}"
        assert [r.message for r in log.records if r.levelno == logging.WARNING] == [said]
    assert [(p.kind, p.path) for p in audit(tmp_path)] == [
        ("missing file", "train/subject0003.h5"),
        ("missing file", "train/subject0005.h5"),
    ]
    assert audit(tmp_path)[0].message == (
        f"file that train_test_split.json lists is not there: {missing}"
    )
    log.clear()
    open_dataset(tmp_path, split="test")
    assert "not there" not in log.text


def test_a_file_that_arrives_later_is_indexed(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    path = tmp_path / "train" / subject_file(4)
    content = path.read_bytes()
    path.unlink()
    before = open_dataset(tmp_path)
    path.write_bytes(content)
    log.clear()
    after = open_dataset(tmp_path)
    assert "changed files" in log.text
    assert (len(before), len(after)) == (3, 6)
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("what", ["a subject", "the list"])
def test_changed_files_are_read_again(
    tmp_path: Path, log: pytest.LogCaptureFixture, what: str
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    open_dataset(tmp_path)
    log.clear()
    open_dataset(tmp_path)
    assert "made anew" not in log.text
    if what == "a subject":
        path = tmp_path / "train" / subject_file(3)
        write_subject(path, patches(7), angles(7))
        os.utime(path, ns=(1, 1))
    else:
        write_split(tmp_path, train=[subject_file(4)])
    dataset = open_dataset(tmp_path)
    assert "changed files" in log.text
    assert len(dataset) == (10 if what == "a subject" else 3)


def test_the_order_of_the_list_does_not_matter(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    before = open_dataset(tmp_path).fingerprint
    write_split(tmp_path, train=[subject_file(4), subject_file(3)], test=[subject_file(9)])
    assert open_dataset(tmp_path).fingerprint == before
    assert "made anew" not in log.text


def test_each_split_has_an_index_of_its_own(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 108], test=[1])
    prints = {open_dataset(tmp_path, split=split).fingerprint for split in ("train", "fit", "test")}
    assert len(prints) == 3
    assert sorted(path.name for path in (tmp_path / ".hmtl-index").iterdir()) == [
        "eth-xgaze-box-fit.npz",
        "eth-xgaze-box-test.npz",
        "eth-xgaze-box-train.npz",
    ]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("val", r"'val' \(subject0108.h5, subject0109.h5, subject0111.h5\) that .* in .*train$"),
        ("test", r"'test' that train_test_split.json lists in .*test$"),
        ("test-person-specific", r"'test-person-specific' that .* in .*test_person_specific$"),
    ],
)
def test_a_split_without_files_is_an_error(tmp_path: Path, split: str, said: str) -> None:
    write_xgaze(tmp_path, train=[3])
    with pytest.raises(DataError, match=f"^no files of split {said}"):
        open_dataset(tmp_path, split=split)
    problems, count = problems_of(tmp_path, split)
    assert ([problem.kind for problem in problems], count) == (["split"], 0)


def test_a_split_without_list_or_folder_is_an_error(tmp_path: Path) -> None:
    write_xgaze(tmp_path, test=[1], listed=False)
    with pytest.raises(DataError, match=f"^no files of split 'train' in {tmp_path / 'train'}$"):
        open_dataset(tmp_path)
    write_split(tmp_path, test=[subject_file(1)])
    with pytest.raises(DataError, match="no files of split 'train' that train_test"):
        open_dataset(tmp_path)
    assert audit(tmp_path) == []


def test_a_subject_in_two_splits_keeps_its_name(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 4], test=[3])
    train, test = (open_dataset(tmp_path, split=split) for split in ("train", "test"))
    assert set(train.subjects) & set(test.subjects) == {"subject0003"}
    assert not set(train.files) & set(test.files)


def test_unknown_splits_and_crops_are_refused(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3])
    with pytest.raises(ConfigError, match="unknown split 'dev' of layout 'eth-xgaze'"):
        open_dataset(tmp_path, split="dev")
    with pytest.raises(ConfigError, match="unknown crop rule 'hopenet'"):
        open_dataset(tmp_path, crop="hopenet")


@pytest.mark.parametrize("place", ["ETH-XGaze", "xgaze", "xgaze_224", "xgaze_448"])
def test_the_folder_is_found_in_its_parent(tmp_path: Path, place: str) -> None:
    write_xgaze(tmp_path / place, train=[3])
    assert open_dataset(tmp_path).root == tmp_path / place


@pytest.mark.parametrize("folder", ["train", "test", "test_person_specific", "test_specific"])
def test_a_part_of_the_data_set_is_known_for_what_it_is(tmp_path: Path, folder: str) -> None:
    write_subject(tmp_path / folder / subject_file(1), patches(1), angles(1))
    split = "test-person-specific" if "specific" in folder else folder
    assert open_dataset(tmp_path, split=split).layout == "eth-xgaze"


def test_other_folders_with_a_split_file_are_not_taken(tmp_path: Path) -> None:
    write_split(tmp_path, train=["a", "b"])
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.h5").write_bytes(b"")
    assert LAYOUT.find(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot read {path}: Expecting property name"),
        (b"\xff\xfe\x00", "cannot read {path}: 'utf"),
        (b"[" * 100_000, "cannot read {path}: "),
        (b"[]", r"split file must hold an object of lists, got \[\] in {path}"),
        (b'{"train": "subject0003.h5"}', "'train' must be a list of file names, got 'subject"),
        (b'{"train": [3]}', "'train' must list names ending in .h5, got 3 in {path}"),
        (b'{"train": ["a.txt"]}', "'train' must list names ending in .h5, got 'a.txt' in"),
        (b'{"train": ["../train/subject0003.h5"]}', r"got '\.\./train/subject0003.h5' in {path}"),
        (
            b'{"train": ["subject0003.h5", "subject0003.h5"]}',
            "'train' must list each file once, got 'subject0003.h5' twice in {path}",
        ),
    ],
)
def test_a_split_file_that_makes_no_sense_is_named(
    tmp_path: Path, content: bytes, said: str
) -> None:
    write_xgaze(tmp_path, train=[3])
    path = tmp_path / "train_test_split.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said.format(path=path)) as error:
        open_dataset(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([np.nan, 0.1], r"got \[nan, 0\.1\]"),
        ([0.1, np.inf], r"got \[0\.1, inf\]"),
        ([0.0, 3.2], r"got \[0\.0, 3\.2\]"),
        ([-3.2, 0.0], r"got \[-3\.2, 0\.0\]"),
    ],
)
def test_wrong_labels_are_named_with_row_and_file(
    tmp_path: Path, values: list[float], said: str
) -> None:
    labels = angles(5)
    labels[[1, 3]] = values
    path = one_subject(tmp_path, labels)
    message = rf"^face_head_pose must be two angles within ±π, {said} in row {{}} of {path}$"
    with pytest.raises(DataError, match=message.format(1)):
        open_dataset(tmp_path)
    problems, count = problems_of(tmp_path)
    assert count == 3
    assert [(p.kind, p.path) for p in problems] == [
        ("label", "train/subject0003.h5#1"),
        ("label", "train/subject0003.h5#3"),
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_a_turn_is_a_label(tmp_path: Path, dtype: str) -> None:
    labels = np.full((5, 2), np.pi, dtype=dtype)
    labels[1] = -np.pi
    one_subject(tmp_path, labels)
    assert np.abs(open_dataset(tmp_path).pose[:, :2]).tolist() == [[180.0, 180.0]] * 5


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.zeros((4, 2)), r"float64 \(4, 2\)"),
        (np.zeros((5, 3)), r"float64 \(5, 3\)"),
        (np.zeros((5, 2), dtype=int), r"int64 \(5, 2\)"),
    ],
)
def test_labels_of_another_shape_or_type_are_an_error(
    tmp_path: Path, labels: Any, found: str
) -> None:
    path = one_subject(tmp_path, labels)
    rule = r"face_head_pose must be float of shape \(5, 2\), as face_patch has 5 images, got "
    with pytest.raises(DataError, match=f"{rule}{found} in {path}$"):
        open_dataset(tmp_path)


def test_a_label_that_was_never_written_is_not_read_as_zero(tmp_path: Path) -> None:
    path = one_subject(tmp_path, None, rows=[0, 1, 3, 4])
    with h5py.File(path, "r+") as file:
        labels = file.create_dataset("face_head_pose", (5, 2), "f8", chunks=(1, 2))
        labels[0], labels[1], labels[4] = angles(3)
    problems, count = problems_of(tmp_path)
    assert count == 4
    assert [problem.message for problem in problems] == [
        f"face_head_pose must be two angles within ±π, got none in row 3 of {path}"
    ]


def test_a_data_set_with_an_unwritten_image_opens_and_its_row_fails_when_read(
    tmp_path: Path,
) -> None:
    path = one_subject(tmp_path, angles(5), rows=[0, 1, 3, 4])
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 5
    options = PLAIN | {"batch_size": 5}
    with pytest.raises(_core.DecodeError, match=f"image was never written: row 2 of {path}"):
        list(Loader(dataset, **options))
    loader = Loader(dataset, on_error="substitute", **options)
    assert 2 not in next(iter(loader)).index.tolist()
    with pytest.raises(_core.DecodeError, match=f"never written: row 2 of {path}"):
        _core.inspect([os.fspath(path)], dataset.extent[2:3])


def test_one_bad_file_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 4, 5, 6])
    os.truncate(tmp_path / "train" / subject_file(3), 5000)
    (tmp_path / "train" / subject_file(5)).write_text("not HDF5")
    problems, count = problems_of(tmp_path)
    assert count == 6
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("file", "train/subject0003.h5"),
        ("file", "train/subject0005.h5"),
    ]
    with pytest.raises(DataError, match=r"^cannot read HDF5 file .*subject0003\.h5: truncated"):
        open_dataset(tmp_path)


def test_chunks_of_several_images_are_refused_with_the_command(tmp_path: Path) -> None:
    path = one_subject(tmp_path, angles(5), chunks=(4, *SIDES, 3))
    with pytest.raises(DataError, match=rf"chunks of \(4, 9, 8, 3\).*`hmtl data rechunk {path} "):
        open_dataset(tmp_path)


def test_subjects_may_have_patches_of_different_sizes(tmp_path: Path) -> None:
    write_split(tmp_path, train=["a.h5", "b.h5"])
    write_subject(tmp_path / "train" / "a.h5", patches(2), angles(2))
    write_subject(tmp_path / "train" / "b.h5", patches(1, sides=(12, 20)), angles(1))
    dataset = open_dataset(tmp_path, layout="eth-xgaze")
    assert dataset.subjects == ("a", "b")
    assert dataset.face[:, 2:].tolist() == [[8, 9], [8, 9], [20, 12]]


def test_an_empty_subject_is_no_error(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3])
    write_split(tmp_path, train=[subject_file(3), subject_file(4)])
    with h5py.File(tmp_path / "train" / subject_file(4), "w") as file:
        file.create_dataset("face_patch", (0, *SIDES, 3), "u1", chunks=True, maxshape=(None,) * 4)
        file.create_dataset("face_head_pose", (0, 2), "f8")
    with pytest.raises(DataError, match="has chunks of"):
        open_dataset(tmp_path)
    with h5py.File(tmp_path / "train" / subject_file(4), "w") as file:
        file.create_dataset("face_patch", (0, *SIDES, 3), "u1")
        file.create_dataset("face_head_pose", (0, 2), "f8")
    assert len(open_dataset(tmp_path)) == 3


def test_folders_whose_names_are_not_utf8_are_read(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xff\xfe")
    write_xgaze(root, train=[3], listed=False)
    write_subject(root / "train" / os.fsdecode(b"subject\xe9.h5"), patches(2), angles(2))
    dataset = open_dataset(root)
    assert len(dataset) == 5
    batches = list(Loader(dataset, batch_size=5, **PLAIN))
    assert len(batches[0]) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3])
    path = tmp_path / "train" / subject_file(3)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from hmtl.data.layouts.hdf5 import open_hdf5\n"
        "from hmtl.errors import DataError\n"
        "os.setuid(65534)\n"
        "try:\n"
        "    with open_hdf5(Path(sys.argv[1])): pass\n"
        "except DataError as error:\n"
        "    sys.exit(str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program, path], capture_output=True, text=True, check=False
    )
    said = f"cannot read HDF5 file {path}: unable to open file: Permission denied"
    assert result.stderr.strip() == said


def test_more_subjects_than_files_may_be_open_at_once_are_read(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=range(100), count=1, listed=False)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        dataset = open_dataset(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(dataset) == 100
    assert dataset.name[99] == "train/subject0099.h5#0"
