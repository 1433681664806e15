"""Each layout: what is found, what is read, and how what is wrong is named."""

import logging
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from problems import read_collecting
from trees import (
    FACE_POINTS,
    JPEG_STUB,
    link_tree,
    write_aflw2000,
    write_biwi,
    write_csv,
    write_labels,
    write_pair,
    write_w300lp,
)

from hmtl.data import open_dataset
from hmtl.data.layouts.w300lp import photo
from hmtl.errors import ConfigError, DataError


def test_w300lp_is_read_in_sorted_order_without_code_and_landmarks(tmp_path: Path) -> None:
    stems = write_w300lp(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "300w-lp"
    assert dataset.crop == "hopenet"
    assert dataset.name == [f"{stem}.jpg" for stem in stems]
    assert dataset.extent["size"].tolist() == [len(JPEG_STUB)] * 5
    assert dataset.extent["offset"].tolist() == [0] * 5
    assert dataset.extent["codec"].tolist() == [0] * 5


def test_w300lp_angles_are_yaw_pitch_roll_in_degrees(tmp_path: Path) -> None:
    write_pair(tmp_path, "AFW/AFW_1_1_0", pose_rad=(0.1, -0.2, 12.5))
    pose = open_dataset(tmp_path).pose
    assert pose.dtype == np.float32
    assert pose[0] == pytest.approx(np.rad2deg([-0.2, 0.1, 12.5]), abs=1e-4)


def test_w300lp_is_found_in_its_parent(tmp_path: Path) -> None:
    write_w300lp(tmp_path / "300W_LP")
    dataset = open_dataset(tmp_path)
    assert dataset.root == tmp_path / "300W_LP"
    assert dataset.paths()[0] == str(tmp_path / "300W_LP" / "AFW" / "AFW_1_1_0.jpg")


def test_a_photo_its_steps_and_its_mirror_images_are_one_subject(tmp_path: Path) -> None:
    write_w300lp(tmp_path)
    dataset = open_dataset(tmp_path)
    names = [dataset.subjects[number] for number in dataset.subject]
    assert names == ["AFW/AFW_1_1"] * 3 + ["HELEN/HELEN_7_1"] * 2


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("IBUG/IBUG_image_008_1_0", "IBUG/IBUG_image_008_1"),
        ("IBUG_Flip/IBUG_image_008_1_12", "IBUG/IBUG_image_008_1"),
        ("AFW/portrait", "AFW/portrait"),
    ],
)
def test_the_photo_is_the_name_without_the_step(stem: str, expected: str) -> None:
    assert photo(stem) == expected


@pytest.mark.parametrize(
    ("flips", "published"), [(True, "122,450"), (False, "61,225")], ids=["flips", "none"]
)
def test_w300lp_says_how_much_of_it_was_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flips: bool, published: str
) -> None:
    write_pair(tmp_path, "AFW/AFW_1_1_0")
    if flips:
        write_pair(tmp_path, "AFW_Flip/AFW_1_1_0")
    with caplog.at_level(logging.INFO, logger="hmtl"):
        open_dataset(tmp_path)
    assert f"{1 + flips} of the published {published} samples" in caplog.text


def test_aflw2000_is_one_folder_of_subjects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stems = write_aflw2000(tmp_path)
    with caplog.at_level(logging.INFO, logger="hmtl"):
        dataset = open_dataset(tmp_path)
    assert dataset.layout == "aflw2000"
    assert dataset.name == [f"{stem}.jpg" for stem in stems]
    assert dataset.subjects == tuple(stems)
    assert dataset.subject.tolist() == [0, 1, 2]
    assert "3 of the published 2,000 samples" in caplog.text


@pytest.mark.parametrize("count", [2, 21, 68])
def test_pt2d_may_have_any_number_of_points(tmp_path: Path, count: int) -> None:
    points = np.random.default_rng(count).uniform(100, 300, (2, count))
    write_pair(tmp_path, "image00002", pt2d=points)
    face = open_dataset(tmp_path).face[0]
    expected = [*points.min(axis=1), *points.max(axis=1)]
    assert face == pytest.approx(np.float32(expected), abs=0)


def test_points_stored_as_small_integers_are_read_as_numbers(tmp_path: Path) -> None:
    write_pair(tmp_path, "image00002", pt2d=np.array([[10, 250], [20, 240]], dtype=np.uint8))
    dataset = open_dataset(tmp_path)
    assert dataset.face[0].tolist() == [10, 20, 250, 240]
    assert dataset.box[0].tolist() == [-86, -68, 384, 276]


def test_the_crop_rule_decides_whether_invisible_points_count(tmp_path: Path) -> None:
    points = np.concatenate([FACE_POINTS, [[-1.0], [452.0]]], axis=1)
    write_pair(tmp_path, "image00002", pt2d=points)
    assert open_dataset(tmp_path).face[0].tolist() == [-1, 180, 300, 452]
    assert open_dataset(tmp_path, crop="visible").face[0].tolist() == [150, 180, 300, 330]
    assert open_dataset(tmp_path, crop="visible").crop == "visible"


def test_labels_beyond_99_degrees_are_kept(tmp_path: Path) -> None:
    write_pair(tmp_path, "image00002", pose_rad=(-12.46, 0.0, 0.0))
    assert open_dataset(tmp_path).pose[0, 1] == pytest.approx(math.degrees(-12.46), abs=1e-4)


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"Pose_Para": None}, "no variable Pose_Para"),
        ({"pt2d": None}, "no variable pt2d"),
        ({"Pose_Para": np.zeros((1, 6))}, r"Pose_Para must be of shape \(1, 7\), got \(1, 6\)"),
        ({"pt2d": np.zeros((68, 2))}, r"pt2d must be of shape \(2, N\), got \(68, 2\)"),
        ({"pt2d": np.zeros((2, 0))}, "no point is visible"),
        ({"pt2d": np.ones((2, 5))}, "points must span a box"),
        ({"pt2d": FACE_POINTS * np.nan}, "pt2d must be finite and within ±1e.09, got nan in "),
        (
            {"Pose_Para": np.full((1, 7), np.inf)},
            "Pose_Para must be finite and within ±1e.09, got inf in ",
        ),
        ({"pt2d": FACE_POINTS * 1e99}, "pt2d must be finite and within"),
        ({"Pose_Para": "left"}, "Pose_Para must be a real array, got <U4 in "),
        ({"pt2d": FACE_POINTS * 1j}, "pt2d must be a real array"),
    ],
)
def test_wrong_labels_are_named_with_their_file(
    tmp_path: Path, labels: dict[str, Any], message: str
) -> None:
    write_aflw2000(tmp_path)
    write_labels(tmp_path / "image00003.mat", **labels)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path)
    assert str(tmp_path / "image00003.mat") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"no MAT file at all" * 20, b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(127)]
)
def test_a_file_that_is_no_mat_file_is_named(tmp_path: Path, content: bytes) -> None:
    write_aflw2000(tmp_path)
    (tmp_path / "image00003.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"MAT file .*image00003\.mat|in .*image00003\.mat"):
        open_dataset(tmp_path)


def test_a_truncated_mat_file_is_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    truncated(tmp_path / "image00003.mat")
    with pytest.raises(DataError, match=r"image00003\.mat"):
        open_dataset(tmp_path)


def test_a_damaged_zlib_stream_is_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    path = tmp_path / "image00003.mat"
    content = bytearray(path.read_bytes())
    content[150:160] = bytes(10)
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(content[136:]))
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"image00003\.mat"):
        open_dataset(tmp_path)


def test_an_image_without_labels_is_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    (tmp_path / "image00003.mat").unlink()
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    image = tmp_path / "image00003.jpg"
    assert str(caught.value) == f"image has no .mat file beside it: {image}"


def test_labels_without_an_image_are_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    (tmp_path / "image00003.jpg").unlink()
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    labels = tmp_path / "image00003.mat"
    assert str(caught.value) == f"labels have no .jpg image beside them: {labels}"


def test_samples_that_are_wrong_are_told_one_by_one_and_left_out(tmp_path: Path) -> None:
    write_aflw2000(tmp_path, count=6)
    (tmp_path / "image00002.mat").unlink()
    (tmp_path / "image00003.jpg").unlink()
    write_labels(tmp_path / "image00005.mat", pt2d=FACE_POINTS * np.nan)
    truncated(tmp_path / "image00006.mat")
    columns, problems = read_collecting(tmp_path)
    assert columns.files == ("image00004.jpg", "image00007.jpg")
    assert columns.subjects == ("image00004", "image00007")
    assert len(columns.pose) == len(columns.face) == len(columns.box) == len(columns.extent) == 2
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("pair", "image00003.mat"),
        ("pair", "image00002.jpg"),
        ("label", "image00005.mat"),
        ("label", "image00006.mat"),
    ]
    assert all(str(tmp_path / problem.path) in problem.message for problem in problems)


def test_a_face_smaller_than_a_pixel_is_named_and_left_out(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    write_labels(tmp_path / "image00002.mat", pt2d=np.array([[100.5, 100.6], [100.5, 100.6]]))
    write_labels(tmp_path / "image00004.mat", pt2d=FACE_POINTS + 1, pose_rad=(0.0, 0.5, 0.0))
    with pytest.raises(DataError, match=r"crop must have a width and a height, got .*00002\.jpg"):
        open_dataset(tmp_path)
    columns, problems = read_collecting(tmp_path)
    assert [(problem.kind, problem.path) for problem in problems] == [("box", "image00002.jpg")]
    assert columns.files == ("image00003.jpg", "image00004.jpg")
    assert columns.face.tolist() == [[150, 180, 300, 330], [151, 181, 301, 331]]
    assert columns.box.tolist() == [[90, 120, 384, 355], [91, 121, 385, 356]]
    assert columns.pose[:, 0] == pytest.approx([5.7296, 28.6479], abs=1e-3)


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    (tmp_path / "image00009.jpg").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot read .*image00009\.jpg: No such file"):
        open_dataset(tmp_path)


def test_a_folder_without_images_is_an_error_where_the_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images of this layout in .*, looked for .*AFW_Flip"):
        open_dataset(tmp_path, layout="300w-lp")
    write_w300lp(tmp_path)
    with pytest.raises(DataError, match=r"no images of this layout in .*, looked for imageNNNNN"):
        open_dataset(tmp_path, layout="aflw2000")


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown layout") as caught:
        open_dataset(tmp_path)
    for known in ("300w-lp", "aflw2000", "csv", "AFW/*.jpg", "image*.jpg", "01/frame"):
        assert known in str(caught.value)


@pytest.mark.parametrize(
    ("write", "part", "layout"),
    [(write_w300lp, "HELEN", "300w-lp"), (write_biwi, "02", "biwi"), (write_csv, "AFW", "csv")],
)
def test_a_folder_within_a_data_set_leads_to_the_one_above(
    tmp_path: Path, write: Callable[[Path], object], part: str, layout: str
) -> None:
    write(tmp_path)
    (tmp_path / part).mkdir(exist_ok=True)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / part)
    advice = f"the folder above is {layout}: give {tmp_path}"
    assert str(caught.value) == f"unknown layout of {tmp_path / part}, {advice}"


def test_a_data_set_beside_a_folder_is_not_taken_for_the_one_above(tmp_path: Path) -> None:
    write_w300lp(tmp_path / "300W_LP")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"unknown layout of .*other, looked for"):
        open_dataset(tmp_path / "other")


def test_a_path_with_dots_is_the_folder_that_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_w300lp(tmp_path / "heads")
    (tmp_path / "link").symlink_to(tmp_path / "heads")
    monkeypatch.chdir(tmp_path / "heads" / "AFW")
    assert open_dataset("..").root == tmp_path / "heads"
    assert open_dataset("../../link/./AFW/..").root == tmp_path / "link"


def test_a_folder_that_fits_two_layouts_is_refused_until_one_is_named(tmp_path: Path) -> None:
    write_w300lp(tmp_path)
    write_aflw2000(tmp_path)
    with pytest.raises(DataError, match=r"fits 300w-lp \(.*\) and aflw2000 \(.*\)"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, layout="aflw2000")) == 3


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone: No such file or directory"):
        open_dataset(tmp_path / "gone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "biwy"}, r"unknown layout 'biwy', expected one of \['300w-lp', "),
        ({"crop": "box"}, r"unknown crop rule 'box' of layout 'aflw2000', expected one of \['hope"),
        ({"split": "train"}, "layout 'aflw2000' has no splits, got split='train'"),
        ({"boxes": "boxes.csv"}, "layout 'aflw2000' has boxes of its own, got boxes='boxes.csv'"),
    ],
)
def test_arguments_that_a_layout_does_not_know_are_refused(
    tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    write_aflw2000(tmp_path)
    with pytest.raises(ConfigError, match=message):
        open_dataset(tmp_path, **arguments)


def test_an_empty_crop_is_the_default_one(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    assert open_dataset(tmp_path, crop="").crop == "hopenet"


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/AFW"
    Path(os.fsdecode(folder)).mkdir()
    write_pair(tmp_path, "AFW/plain_0")
    for suffix in (b".jpg", b".mat"):
        Path(os.fsdecode(folder + b"/plain_0" + suffix)).rename(
            os.fsdecode(folder + b"/\xff\xe4_0" + suffix)
        )
    for _ in range(2):
        dataset = open_dataset(tmp_path)
        assert os.fsencode(dataset.paths()[0]) == folder + b"/\xff\xe4_0.jpg"


@given(content=st.binary(max_size=300), keep=st.integers(0, 300))
def test_garbage_in_a_mat_file_is_a_data_error_or_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, keep: int
) -> None:
    root = tmp_path_factory.mktemp("garbage")
    write_pair(root, "image00002")
    labels = root / "image00002.mat"
    labels.write_bytes(labels.read_bytes()[:keep] + content)
    with pytest.raises(DataError, match=r"image00002\.mat"):
        open_dataset(root)


def peers_pose(path: Path) -> list[float]:
    pitch, yaw, roll = scipy.io.loadmat(path)["Pose_Para"][0][:3] * 180 / np.pi
    return [yaw, pitch, roll]


@pytest.mark.data
@pytest.mark.parametrize(("folder", "count"), [("300W_LP", 10), ("AFLW2000", 16)])
def test_published_poses_are_those_of_the_files(
    tmp_path: Path, realdata: Path, folder: str, count: int
) -> None:
    dataset = open_dataset(link_tree(realdata / folder, tmp_path / folder))
    assert len(dataset) == count
    expected = [peers_pose(Path(path).with_suffix(".mat")) for path in dataset.paths()]
    assert np.abs(dataset.pose - expected).max() < 1e-4
    sizes = [Path(path).stat().st_size for path in dataset.paths()]
    assert dataset.extent["size"].tolist() == sizes
