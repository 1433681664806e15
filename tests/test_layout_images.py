"""Pictures without labels as a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hmtl.cli.main import run
from hmtl.data import Loader, open_dataset
from hmtl.data.check import check_dataset
from hmtl.data.pack import pack
from hmtl.errors import DataError

# (width, height) by name; what is not a picture of the set beside them.
SIZES = {"b.PNG": (50, 40), "a/1.jpg": (60, 40), "a/b/2.jpeg": (40, 70), "c.jpg": (32, 32)}
OTHERS = ("_old/x.jpg", ".thumbnails/x.jpg", "a/_x.jpg", "a/notes.txt")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
    for name in OTHERS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not for us")
    return root


def test_every_picture_is_a_face_without_a_pose(pictures: Path) -> None:
    dataset = open_dataset(pictures, "images")
    assert dataset.name == ["b.PNG", "c.jpg", "a/1.jpg", "a/b/2.jpeg"]
    sizes = np.array([SIZES[name] for name in dataset.name], dtype=np.float32)
    assert np.array_equal(dataset.face, np.concatenate([np.zeros((4, 2)), sizes], axis=1))
    assert np.array_equal(dataset.box, dataset.face)
    assert np.isnan(dataset.pose).all()
    assert dataset.convention == "euler"
    assert dataset.subjects == ("b", "c", "a/1", "a/b/2")
    assert dataset.subject.tolist() == [0, 1, 2, 3]


def test_the_index_is_made_anew_when_a_picture_comes(pictures: Path) -> None:
    before = open_dataset(pictures, "images")
    Image.new("RGB", (9, 9)).save(pictures / "a" / "new.png")
    after = open_dataset(pictures, "images")
    assert (len(before), len(after)) == (4, 5)
    assert before.fingerprint != after.fingerprint


def test_pictures_are_rendered_and_puzzled(pictures: Path) -> None:
    dataset = open_dataset(pictures, "images")
    with Loader(dataset, batch_size=4, size=30, grid=3, views=2, num_threads=1) as loader:
        batch = next(iter(loader))
    assert batch.permutation is not None
    assert batch.permutation.shape == (4, 2, 9)
    assert batch.pose.isnan().all()


def test_a_folder_of_pictures_is_not_taken_for_a_data_set(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"unknown layout of .*pictures without labels if named"):
        open_dataset(pictures)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("")
    with pytest.raises(
        DataError, match=r"no pictures in .*, looked for \.jpg, \.jpeg, \.png files"
    ):
        open_dataset(tmp_path, "images")
    with pytest.raises(DataError, match=r"cannot read .*x\.txt: Not a directory"):
        open_dataset(tmp_path / "a" / "x.txt", "images")


def test_a_file_that_is_no_picture_is_named(pictures: Path) -> None:
    (pictures / "a" / "1.jpg").write_bytes(b"no picture")
    (pictures / "gone.png").symlink_to(pictures / "nowhere")
    with pytest.raises(DataError, match=r"gone\.png|a/1\.jpg"):
        open_dataset(pictures, "images")
    report = check_dataset(pictures, "images", threads=1)
    assert report.n == 3
    assert sorted(problem.path for problem in report.errors) == ["a/1.jpg", "gone.png"]


def test_pictures_are_packed_and_come_back_without_poses(pictures: Path, tmp_path: Path) -> None:
    pack(open_dataset(pictures, "images"), tmp_path / "packed")
    (tmp_path / "packed" / "hmtl-packed.npz").unlink()
    packed = open_dataset(tmp_path / "packed")
    assert packed.layout == "packed"
    assert sorted(packed.name) == sorted(SIZES)
    assert np.isnan(packed.pose).all()


@pytest.mark.parametrize(
    "command", [("check",), ("stats",), ("index",), ("show", "--out", "sheet.png")]
)
def test_commands_about_data_take_pictures(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["data", command[0], str(pictures), *command[1:], "--layout", "images"]
    assert run(arguments) == 0
