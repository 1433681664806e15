"""Published lists of boxes: each as its authors' code reads it, and what is no such list."""

import contextlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmtl.data.layouts.boxes import frame_of, read_boxes
from hmtl.errors import DataError

# Lines of the two revisions of opal23's list.
OPAL_EARLY = """#;image;tl_x;tl_y;br_x;br_y;yaw;pitch;roll;
kinect_head_pose_db/01/frame_00003_rgb.png;270;177;414;355;-3.29099;7.6072;-1.5666
kinect_head_pose_db/12/frame_00003_rgb.png;260;128;413;326;-9.32746;-0.4049;-6.3943
"""
OPAL_LATE = """#;image;tl_x;tl_y;br_x;br_y;pose
@;BIWI
kinect_head_pose_db/09/frame_00112_rgb.png;335;179;435;283;13.754;-31.891;1.1227
"""
IMG2POSE = """../../datasets/BIWI/01/frame_00003_rgb.png 7.60722 3.29099 -1.56663
../../datasets/BIWI/01/frame_00004_rgb.png 7.65088 3.88941 -1.93013
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def boxes(path: Path) -> dict[str, tuple[float, ...]]:
    return {frame: line.box for frame, line in read_boxes(path).items()}


def peers_crop(box_xywh: Any) -> tuple[int, int, int, int]:
    x, y, w, h = box_xywh
    x, y, w, h = (int(x), int(y), int(w), int(h))
    return x, y, x + w - 1, y + h - 1


@pytest.mark.parametrize(
    "path",
    [
        "01/frame_00003",
        "01/frame_00003_rgb",
        "01/frame_00003_rgb.png",
        "01/frame_00003_rgb.jpg",
        "./01/frame_00003.png",
        "../../datasets/BIWI/01/frame_00003_rgb.png",
        " kinect_head_pose_db/01/frame_00003_rgb.png ",
    ],
)
def test_a_frame_is_found_in_every_way_of_writing_its_path(path: str) -> None:
    assert frame_of(path) == "01/frame_00003"


def test_a_csv_holds_one_box_in_each_line(tmp_path: Path) -> None:
    text = 'path,x0,y0,x1,y1\n01/frame_00003,1,2.5,3,4\n\n"02/frame_00004_rgb.png",-1,2,3e2,4\n'
    path = written(tmp_path / "boxes.csv", text)
    assert boxes(path) == {"01/frame_00003": (1, 2.5, 3, 4), "02/frame_00004": (-1, 2, 300, 4)}
    assert read_boxes(path)["02/frame_00004"].place == f"{path}:4"


def test_a_csv_with_a_mark_of_its_encoding_and_other_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_bytes("\ufeffpath, x0, y0, x1, y1\r\n01/frame_00003, 1, 2, 3, 4\r\n".encode())
    assert boxes(path) == {"01/frame_00003": (1, 2, 3, 4)}


def test_both_revisions_of_opals_list_are_read(tmp_path: Path) -> None:
    early = written(tmp_path / "biwi_ann.txt", OPAL_EARLY)
    assert boxes(early) == {
        "01/frame_00003": (270, 177, 414, 355),
        "12/frame_00003": (260, 128, 413, 326),
    }
    assert read_boxes(early)["12/frame_00003"].place == f"{early}:3"
    late = written(tmp_path / "late.txt", OPAL_LATE)
    assert boxes(late) == {"09/frame_00112": (335, 179, 435, 283)}


def test_the_npz_of_headposeplus_is_cropped_as_its_own_code_does(tmp_path: Path) -> None:
    images = np.array(["01/frame_00003_rgb.png", "24/frame_00010_rgb.png"])
    bbox = np.array([[250.7, 160.2, 120.9, 140.0], [-3.5, 10, 100, 90]])
    path = tmp_path / "Biwi_plus.npz"
    np.savez(path, images=images, bbox=bbox, pyr=np.zeros((2, 3)), ypr=np.zeros((2, 3)))
    assert list(boxes(path).values()) == [peers_crop(box) for box in bbox]
    assert list(boxes(path)) == ["01/frame_00003", "24/frame_00010"]
    assert read_boxes(path)["24/frame_00010"].place == f"row 1 of {path}"


def test_the_npz_of_fsanet_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "BIWI_noTrack.npz"
    crops = np.zeros((2, 64, 64, 3), np.uint8)
    np.savez(path, image=crops, pose=np.zeros((2, 3)), img_size=64)
    with pytest.raises(DataError, match=r"BIWI_noTrack\.npz holds crops, not boxes: expected im"):
        read_boxes(path)


def test_img2poses_list_is_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "BIWI_annotations.txt", IMG2POSE)
    with pytest.raises(DataError, match=r"annotations\.txt names frames and their angles, but no"):
        read_boxes(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown list of boxes PATH: expected a CSV that starts with path,x0,y0,x1,y1, .*''"),
        ("01/frame_00003,1,2,3,4\n", "unknown list of boxes PATH: .*got '01/frame_00003,1,2,3,4'"),
        ("path,x,y,w,h\n", "unknown list of boxes PATH: .*got 'path,x,y,w,h'"),
        ("x" * 900, "unknown list of boxes PATH: .*got 'x{80}'$"),
        ("path,x0,y0,x1,y1\n", "no boxes in PATH"),
        ("path,x0,y0,x1,y1\na/b,1,2,3\n", r"expected a path and four numbers, .* \(PATH:2\)"),
        ("path,x0,y0,x1,y1\na/b,1,2,3,4,5\n", r"expected a path and four numbers, .* \(PATH:2\)"),
        ("path,x0,y0,x1,y1\na/b,1,2,3,wide\n", r"box must be of numbers, got 'wide' \(PATH:2\)"),
        (
            "path,x0,y0,x1,y1\na/b,1,2,3,nan\n",
            r"box must be of finite numbers within .* \(PATH:2\)",
        ),
        (
            "path,x0,y0,x1,y1\na/b,1,2,3,1e99\n",
            r"box must be of finite numbers within .* \(PATH:2\)",
        ),
        (f"path,x0,y0,x1,y1\n{'x' * 200_000},1,2,3,4\n", r"expected a path .*xxx' \(PATH:2\)"),
        ("path,x0,y0,x1,y1\na/b,3,2,3,4\n", r"x0 < x1 and y0 < y1, got \(3.0, .* \(PATH:2\)"),
        ("path,x0,y0,x1,y1\na/b,1,4,3,2\n", r"x0 < x1 and y0 < y1, got .* \(PATH:2\)"),
        (
            "path,x0,y0,x1,y1\na/b,1,2,3,4\nc/d,1,2,3,4\na/b_rgb.png,1,2,3,4\n",
            r"frame a/b is named twice \(PATH:2 and PATH:4\)",
        ),
        ("#;image;tl_x;tl_y;br_x;br_y;pose\na/b;1;2;3\n", r"expected a path .* \(PATH:2\)"),
        ("#;image;x;y;w;h\na/b;1;2;3;4\n", "unknown list of boxes PATH"),
    ],
)
def test_what_is_wrong_with_a_list_is_named_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = written(tmp_path / "list.txt", text)
    with pytest.raises(DataError, match=message.replace("PATH", str(path))) as caught:
        read_boxes(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array(["a/b"])}, "holds no boxes: expected images and bbox, got images"),
        (
            {"images": np.array(["a/b"]), "bbox": np.zeros((1, 5))},
            r"expected images of text \(N,\) and bbox of numbers \(N, 4\), got <U3 \(1,\) and fl",
        ),
        ({"images": np.arange(2), "bbox": np.ones((2, 4))}, "expected images of text"),
        ({"images": np.array("a/b"), "bbox": np.ones((1, 4))}, "expected images of text"),
        ({"images": np.array([]).astype("U4"), "bbox": np.ones((0, 4))}, "no boxes in"),
        ({"images": np.array(["a/b"], object), "bbox": np.ones((1, 4))}, "it holds pickled obj"),
        (
            {"images": np.array(["a/b", "a/b"]), "bbox": np.array([[0, 0, 9, 9]] * 2)},
            "frame a/b is named twice .row 0 of .* and row 1 of",
        ),
        ({"images": np.array(["a/b"]), "bbox": np.array([[0, 0, 1, 9]])}, "x0 < x1 and y0 < y1"),
        ({"images": np.array(["a/b"]), "bbox": np.full((1, 4), np.inf)}, "of finite numbers"),
    ],
)
def test_what_is_wrong_with_an_npz_is_named(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = tmp_path / "Biwi_plus.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        read_boxes(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["images", "bbox"])
@pytest.mark.parametrize("seed", range(40))
def test_garbage_in_an_npz_is_named_or_read(tmp_path: Path, name: str, seed: int) -> None:
    path = tmp_path / "Biwi_plus.npz"
    np.savez(path, images=np.array(["a/b"]), bbox=np.ones((1, 4)))
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(path) as archive:
        members = {member: bytearray(archive.read(member)) for member in archive.namelist()}
    for place in rng.integers(0, 80, 2):
        members[f"{name}.npy"][place] = rng.choice(list(b"0(){}[]',:\n\x00\xff"))
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, bytes(content))
    with contextlib.suppress(DataError):
        read_boxes(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(40), b"\x93NUMPY\x01\x00", b"text"])
def test_a_damaged_npz_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Biwi_plus.npz"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"cannot read list of boxes .*Biwi_plus\.npz: not an \.npz file$"
    ):
        read_boxes(path)


def test_an_npz_cut_in_half_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Biwi_plus.npz"
    np.savez(path, images=np.array(["a/b"]), bbox=np.ones((1, 4)))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="cannot read list of boxes"):
        read_boxes(path)
