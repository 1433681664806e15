"""The ETH-XGaze layout: labels, pixels, and what is wrong named."""

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
from problems import read_collecting

from hmtl import _core
from hmtl.data import Loader, open_dataset
from hmtl.errors import DataError

PLAIN: dict[str, Any] = {"size": 16, "augmentation": "none", "pretext": "none"}


def one_subject(root: Path, labels: Any, *, count: int = 5, **storage: Any) -> Path:
    """Write a data set of one training subject and return its file."""
    write_split(root, train=[subject_file(3)], test=[], test_person_specific=[])
    return write_subject(root / "train" / subject_file(3), patches(count), labels, **storage)


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
    message = (
        rf"^face_head_pose must be two angles in radians within ±π, {said} in row {{}} of {path}$"
    )
    with pytest.raises(DataError, match=message.format(1)):
        open_dataset(tmp_path)
    columns, problems = read_collecting(tmp_path)
    assert len(columns.extent) == len(columns.pose) == len(columns.subject) == 3
    assert [(p.kind, p.path) for p in problems] == [
        ("label", "train/subject0003.h5#1"),
        ("label", "train/subject0003.h5#3"),
    ]


def test_labels_in_degrees_are_recognised(tmp_path: Path) -> None:
    labels = angles(5)
    labels[2] = 4.0, 0.0
    one_subject(tmp_path, labels)
    for most, hint in ((6.2, False), (40.0, True), (360.0, True), (361.0, False)):
        labels[3] = 0.0, -most
        path = one_subject(tmp_path, labels)
        said = " (these look like degrees)" if hint else ""
        messages = [problem.message for problem in read_collecting(tmp_path)[1]]
        assert [text.partition("got ")[2] for text in messages] == [
            f"[4.0, 0.0]{said} in row 2 of {path}",
            f"[0.0, {-most}]{said} in row 3 of {path}",
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
    columns, problems = read_collecting(tmp_path)
    assert len(columns.extent) == len(columns.pose) == len(columns.subject) == 4
    assert [problem.message for problem in problems] == [
        f"face_head_pose must be two angles in radians within ±π, got none in row 3 of {path}"
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
    columns, problems = read_collecting(tmp_path)
    assert len(columns.extent) == len(columns.pose) == len(columns.subject) == 6
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
