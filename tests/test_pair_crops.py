"""Crop rules of 300W-LP and AFLW2000-3D: points, landmarks, sizes, and the published files."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from problems import read_collecting
from test_crops import peers_crop, peers_fsanet_points
from trees import (
    blank_image,
    link_tree,
    write_aflw2000,
    write_landmarks,
    write_pair,
)

from hmtl.data import Dataset, open_dataset
from hmtl.errors import DataError


def with_picture(root: Path, stem: str, width: int = 450, height: int = 450) -> None:
    (root / f"{stem}.jpg").write_bytes(blank_image(width, height, ".jpg"))


def test_fsanet_clamps_to_the_size_that_the_header_tells(tmp_path: Path) -> None:
    write_aflw2000(tmp_path, count=2)
    with_picture(tmp_path, "image00002")
    with_picture(tmp_path, "image00003", width=320, height=340)
    dataset = open_dataset(tmp_path, crop="fsanet")
    assert dataset.crop == "fsanet"
    assert dataset.face.tolist() == [[150, 180, 300, 330]] * 2
    assert dataset.box.tolist() == [[60, 90, 390, 420], [60, 90, 319, 339]]


def test_the_size_of_an_image_whose_name_is_not_utf8_is_found(tmp_path: Path) -> None:
    stem = os.fsdecode(b"AFW/AFW_\xff_1_0")
    write_pair(tmp_path, stem)
    with pytest.raises(DataError, match=re.escape(f"{stem}.jpg")):
        open_dataset(tmp_path, crop="fsanet")
    with_picture(tmp_path, stem)
    assert open_dataset(tmp_path, crop="fsanet").box.tolist() == [[60, 90, 390, 420]]


def test_the_size_behind_a_long_header_is_found(tmp_path: Path) -> None:
    write_pair(tmp_path, "image00002")
    image = blank_image(450, 450, ".jpg")
    comment = b"\xff\xfe" + (60_000).to_bytes(2, "big") + bytes(59_998)
    (tmp_path / "image00002.jpg").write_bytes(image[:2] + comment + image[2:])
    assert open_dataset(tmp_path, crop="fsanet").box.tolist() == [[60, 90, 390, 420]]


def test_an_image_without_a_header_is_named_where_its_size_matters(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    for stem in ("image00002", "image00004"):
        with_picture(tmp_path, stem)
    assert len(open_dataset(tmp_path)) == 3
    with pytest.raises(DataError, match=r"image00003\.jpg"):
        open_dataset(tmp_path, crop="fsanet")
    columns, problems = read_collecting(tmp_path, crop="fsanet")
    assert columns.files == ("image00002.jpg", "image00004.jpg")
    assert [(problem.kind, problem.path) for problem in problems] == [("image", "image00003.jpg")]


def write_turned(root: Path) -> np.ndarray:
    """Write a photo, its mirror image and their landmarks (68, 2), which are returned."""
    for folder in ("AFW", "AFW_Flip"):
        write_pair(root, f"{folder}/AFW_1_1_0")
        with_picture(root, f"{folder}/AFW_1_1_0", width=400)
    points = np.random.default_rng(0).uniform(-20, 200, (68, 2))
    write_landmarks(root, "AFW/AFW_1_1_0", points)
    return points


def test_landmarks_are_the_points_where_they_are_asked_for(tmp_path: Path) -> None:
    points = write_turned(tmp_path)
    dataset = open_dataset(tmp_path, crop="landmarks")
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    expected = np.array([[x0, y0, x1, y1], [401 - x1, y0, 401 - x0, y1]])
    assert dataset.name == ["AFW/AFW_1_1_0.jpg", "AFW_Flip/AFW_1_1_0.jpg"]
    assert dataset.face == pytest.approx(expected, abs=1e-4)
    assert tuple(dataset.box[0].astype(int)) == peers_crop(points.T, aflw=False)
    assert tuple(dataset.box[1].astype(int)) == peers_crop(
        np.stack([401 - points[:, 0], points[:, 1]]), aflw=False
    )
    assert dataset.crop == "landmarks"
    assert open_dataset(tmp_path).face[0].tolist() == [150, 180, 300, 330]


def test_changed_landmarks_make_their_index_anew(tmp_path: Path) -> None:
    points = write_turned(tmp_path)
    prints = {crop: open_dataset(tmp_path, crop=crop).fingerprint for crop in ("landmarks", "")}
    write_landmarks(tmp_path, "AFW/AFW_1_1_0", points + 9.5)
    again = open_dataset(tmp_path, crop="landmarks")
    assert again.fingerprint != prints["landmarks"]
    assert again.face[0, 0] == pytest.approx(points[:, 0].min() + 9.5, abs=1e-4)
    assert open_dataset(tmp_path).fingerprint == prints[""]


def test_an_image_without_landmarks_is_named(tmp_path: Path) -> None:
    write_turned(tmp_path)
    write_pair(tmp_path, "AFW/AFW_1_1_1")
    missing = tmp_path / "landmarks" / "AFW" / "AFW_1_1_1_pts.mat"
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path, crop="landmarks")
    image = tmp_path / "AFW" / "AFW_1_1_1.jpg"
    assert str(caught.value) == f"image {image} has no landmarks file {missing}"
    columns, problems = read_collecting(tmp_path, crop="landmarks")
    assert len(columns.files) == 2
    assert [(problem.kind, problem.path) for problem in problems] == [("pair", "AFW/AFW_1_1_1.jpg")]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((2, 68)), r"pts_2d must be of shape \(N, 2\), got \(2, 68\)"),
        (np.ones((68, 2)), "the points must span a box"),
        (np.full((68, 2), np.inf), "pts_2d must be finite"),
    ],
)
def test_wrong_landmarks_are_named_with_their_file(
    tmp_path: Path, points: np.ndarray, message: str
) -> None:
    write_turned(tmp_path)
    path = write_landmarks(tmp_path, "AFW/AFW_1_1_0", points)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path, crop="landmarks")
    assert str(path) in str(caught.value)


def test_a_copy_without_landmarks_says_so_once(tmp_path: Path) -> None:
    write_pair(tmp_path, "AFW/AFW_1_1_0")
    with pytest.raises(DataError, match=r"crop rule 'landmarks' needs the folder .*/landmarks$"):
        open_dataset(tmp_path, crop="landmarks")


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def boxes(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(box)
        for name, box in zip(dataset.name, dataset.box.astype(int).tolist(), strict=True)
    }


@pytest.mark.data
def test_published_crops_of_300w_lp_are_golden(tmp_path: Path, realdata: Path) -> None:
    dataset = open_dataset(link_tree(realdata / "300W_LP", tmp_path / "300W_LP"))
    assert boxes(dataset)["AFW/AFW_134212_1_0.jpg"] == (105, 133, 354, 418)
    subjects = [dataset.subjects[number] for number in dataset.subject]
    assert subjects.count("AFW/AFW_134212_1") == 4
    assert len(dataset.subjects) == 4


@pytest.mark.data
def test_published_crops_of_aflw2000_are_golden(tmp_path: Path, realdata: Path) -> None:
    root = link_tree(realdata / "AFLW2000", tmp_path / "AFLW2000")
    hopenet = boxes(open_dataset(root))
    visible = boxes(open_dataset(root, crop="visible"))
    assert hopenet["image00050.jpg"] == visible["image00050.jpg"] == (48, 104, 434, 410)
    assert hopenet["image00251.jpg"] == (-105, 106, 407, 493)
    assert visible["image00251.jpg"] == (54, 143, 342, 385)
    assert hopenet["image00475.jpg"] == (-136, 103, 528, 493)
    assert visible["image00475.jpg"] == (128, 140, 421, 386)


@pytest.mark.data
def test_published_faces_of_mirror_images_are_mirrored_from_one(
    tmp_path: Path, realdata: Path
) -> None:
    root = link_tree(realdata / "300W_LP", tmp_path / "300W_LP")
    for folder in ("AFW", "HELEN"):
        for path in sorted((root / folder).glob("*.mat")):
            flipped = root / f"{folder}_Flip" / path.name
            if flipped.exists():
                points = scipy.io.loadmat(path)["pt2d"]
                write_landmarks(root, f"{folder}/{path.stem}", points.T)
                width, _height = picture_size(path.with_suffix(".jpg"))
                mirror = np.sort(width + 1 - points[0])
                assert np.abs(np.sort(scipy.io.loadmat(flipped)["pt2d"][0]) - mirror).max() < 1e-9
    columns, _problems = read_collecting(root, crop="landmarks")
    landmarks = dict(zip(columns.files, columns.face.tolist(), strict=True))
    dataset = open_dataset(root)
    points = dict(zip(dataset.name, dataset.face.tolist(), strict=True))
    assert len(landmarks) == 8
    assert all(points[name] == pytest.approx(face, abs=1e-3) for name, face in landmarks.items())


@pytest.mark.data
@pytest.mark.parametrize("folder", ["300W_LP", "AFLW2000"])
def test_published_crops_under_fsanets_rule_are_those_of_its_code(
    tmp_path: Path, realdata: Path, folder: str
) -> None:
    dataset = open_dataset(link_tree(realdata / folder, tmp_path / folder), crop="fsanet")
    for path, box in zip(map(Path, dataset.paths()), dataset.box.tolist(), strict=True):
        width, height = picture_size(path)
        points = scipy.io.loadmat(path.with_suffix(".mat"))["pt2d"]
        assert tuple(box) == peers_fsanet_points(points, height, width)
