"""The BIWI layout: poses, the squares round projected head centres, lists, what is wrong."""

import logging
from pathlib import Path

import numpy as np
import pytest
from problems import read_collecting
from trees import (
    BIWI_ROTATION,
    blank_image,
    link_tree,
    write_biwi,
    write_calibration,
    write_csv,
    write_frame,
)

from hmtl.data import open_dataset
from hmtl.errors import DataError

TURN_ABOUT_X = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]

# Frames of the data set that were published one by one: the rows of `_pose.txt`, and yaw, pitch,
# roll as img2pose's and opal23's lists have them (the latter with the sign of yaw changed).
PUBLISHED = {
    "02/frame_00003": (BIWI_ROTATION, (7.65038772637362, -12.166425417769508, -4.231800330308715)),
    "12/frame_00003": (
        [
            [0.980639, 0.109899, 0.162077],
            [-0.11023, 0.993882, -0.00697376],
            [-0.161851, -0.011027, 0.986754],
        ],
        (9.327468425194075, -0.4049239861618869, -6.394386324258948),
    ),
}
# The calibration of sequence 12 as the card of Hugging Face's copy prints it.
SEQUENCE_12 = {
    "focal": 517.679,
    "middle": (320.0, 240.5),
    "rotation": [
        [0.999947, 0.00432361, 0.00929419],
        [-0.00446314, 0.999877, 0.0150443],
        [-0.009228, -0.015085, 0.999844],
    ],
    "shift": (-24.0198, 5.8896, -13.2308),
}

# 01/frame_00166 to 00175: yaw, pitch, roll of opal23's list, and the heads from hair to chin as
# read off the pictures by eye.
REAL_POSES = [
    (-1.196532, 9.633519, -1.538270),
    (-1.397812, 9.856954, -1.369506),
    (-1.267325, 9.709114, -1.534166),
    (-0.834777, 9.526484, -1.043003),
    (0.247769, 9.689369, -1.438053),
    (0.619626, 9.964504, -0.744600),
    (1.870604, 10.078209, -0.495500),
    (3.775206, 10.179496, 0.047261),
    (4.973973, 10.189666, 0.639476),
    (6.653114, 10.240663, 0.407120),
]
REAL_HEADS = [
    (299, 191, 394, 318),
    (298, 191, 394, 318),
    (298, 191, 395, 318),
    (298, 191, 394, 318),
    (297, 191, 394, 318),
    (298, 191, 394, 318),
    (298, 191, 394, 318),
    (298, 191, 395, 318),
    (299, 191, 396, 318),
    (299, 191, 396, 318),
]


def test_biwi_is_read_in_sorted_order(tmp_path: Path) -> None:
    stems = write_biwi(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "biwi"
    assert dataset.crop == "box"
    assert dataset.convention == "euler"
    assert dataset.name == [f"{stem}_rgb.png" for stem in stems]
    assert dataset.extent["codec"].tolist() == [1] * 5
    assert dataset.extent["row"].tolist() == [-1] * 5
    assert dataset.extent["size"].tolist() == [len(blank_image(640, 480, ".png"))] * 5


@pytest.mark.parametrize(
    "place", ["hpdb", "kinect_head_pose_db/hpdb", "kinect_head_pose_db", "faces_0", "."]
)
def test_biwi_is_found_under_the_names_of_its_copies(tmp_path: Path, place: str) -> None:
    write_biwi(tmp_path / place)
    assert open_dataset(tmp_path).root == tmp_path / place


def test_a_copy_with_jpeg_frames_is_read(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", suffix=".jpg")
    dataset = open_dataset(tmp_path)
    assert dataset.name == ["01/frame_00003_rgb.jpg"]
    assert dataset.extent["codec"].tolist() == [0]


def test_people_are_subjects_although_some_have_two_sequences(tmp_path: Path) -> None:
    for sequence in range(1, 26):
        write_frame(tmp_path, f"{sequence:02}/frame_00003")
    dataset = open_dataset(tmp_path)
    people = [dataset.subjects[number] for number in dataset.subject]
    person = dict(zip([name[:2] for name in dataset.name], people, strict=True))
    twice = {"15": "03", "18": "05", "21": "02", "22": "07"}
    assert person == {f"{n:02}": twice.get(f"{n:02}", f"{n:02}") for n in range(1, 26)}


def test_poses_are_the_published_angles(tmp_path: Path) -> None:
    for stem, (rotation, _angles) in PUBLISHED.items():
        write_frame(tmp_path, stem, rotation=rotation)
    expected = [angles for _rotation, angles in PUBLISHED.values()]
    assert np.abs(open_dataset(tmp_path).pose - expected).max() < 1e-4


def test_the_face_is_a_square_of_240_mm_round_the_projected_centre(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", centre=(100.0, -50.0, 1000.0))
    write_calibration(tmp_path, "01", focal=500.0, middle=(320.0, 240.0))
    dataset = open_dataset(tmp_path)
    assert dataset.face[0] == pytest.approx([310.0, 155.0, 430.0, 275.0], abs=1e-4)
    assert np.array_equal(dataset.box, dataset.face)
    assert dataset.boxes == "rgb.cal"


def test_the_calibration_turns_a_point_before_it_shifts_it(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", centre=(0.0, 0.0, 1000.0))
    write_calibration(
        tmp_path, "01", focal=400.0, rotation=TURN_ABOUT_X, shift=(-100.0, 600.0, 200.0)
    )
    assert open_dataset(tmp_path).face[0] == pytest.approx([232, 192, 328, 288], abs=1e-4)


def test_a_published_calibration_puts_the_square_round_the_head(tmp_path: Path) -> None:
    # The box is that of opal23's list: x 260 to 413, y 128 to 326.
    write_frame(tmp_path, "12/frame_00003", centre=(43.4019, -30.7038, 906.864))
    write_calibration(tmp_path, "12", **SEQUENCE_12)
    x0, y0, x1, y1 = open_dataset(tmp_path).face[0]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((336.034, 233.918), abs=0.002)
    assert abs((x0 + x1) / 2 - (260 + 413) / 2) < 3
    assert abs((y0 + y1) / 2 - (128 + 326) / 2) < 10
    assert x1 - x0 == pytest.approx(y1 - y0, abs=1e-4)


def test_without_calibration_a_nominal_camera_is_used_and_named(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", centre=(24.0, 0.0, 1011.0))
    dataset = open_dataset(tmp_path)
    half = 120 * 0.51768
    assert dataset.face[0] == pytest.approx(
        [320 - half, 240.5 - half, 320 + half, 240.5 + half], abs=1e-3
    )
    assert dataset.boxes == "nominal camera"


def test_a_data_set_with_both_kinds_of_camera_says_so(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    (tmp_path / "21" / "rgb.cal").unlink()
    assert open_dataset(tmp_path).boxes == "rgb.cal and nominal camera"


def test_the_nominal_camera_is_refused_for_pictures_of_another_size(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003")
    image = tmp_path / "01" / "frame_00003_rgb.png"
    image.write_bytes(blank_image(320, 240, ".png"))
    with pytest.raises(DataError, match=r"without rgb\.cal, expected an image of 640×480, got 320"):
        open_dataset(tmp_path)
    write_calibration(tmp_path, "01")
    assert open_dataset(tmp_path).boxes == "rgb.cal"


def test_hopenet_crops_with_its_margins_for_biwi(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", centre=(0.0, 0.0, 1200.0))
    write_calibration(tmp_path, "01", focal=1000.0)
    dataset = open_dataset(tmp_path, crop="hopenet")
    x_min, y_min, x_max, y_max = 220.0, 140.0, 420.0, 340.0
    assert dataset.face[0] == pytest.approx([x_min, y_min, x_max, y_max], abs=1e-3)
    k = 0.35
    x_min -= 0.6 * k * abs(x_max - x_min)
    y_min -= k * abs(y_max - y_min)
    x_max += 0.6 * k * abs(x_max - x_min)
    y_max += 0.6 * k * abs(y_max - y_min)
    assert dataset.box[0].tolist() == [int(x_min), int(y_min), int(x_max), int(y_max)]


def test_fsanet_adds_two_fifths_on_each_side_within_the_image(tmp_path: Path) -> None:
    write_frame(tmp_path, "01/frame_00003", centre=(300.0, 0.0, 1200.0))
    write_calibration(tmp_path, "01", focal=1000.0)
    box = open_dataset(tmp_path, crop="fsanet").box[0]
    assert box.tolist() == [470 - 80, 140 - 80, 640, 340 + 80 + 1]


def test_a_head_outside_the_image_has_no_clamped_crop(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    write_frame(tmp_path, "02/frame_00003", centre=(9000.0, 0.0, 1000.0))
    write_frame(tmp_path, "21/frame_00010", centre=(400.0, 0.0, 1000.0))
    assert len(open_dataset(tmp_path)) == 5
    columns, problems = read_collecting(tmp_path, crop="fsanet")
    assert len(columns.files) == 4
    assert columns.face[:, 0].tolist() == pytest.approx([260, 260, 460, 260], abs=1e-3)
    assert columns.box[:, 0].tolist() == [212, 212, 412, 212]
    assert [problem.kind for problem in problems] == ["box"]
    assert "crop must have a width and a height, got" in problems[0].message
    assert str(tmp_path / "02" / "frame_00003_rgb.png") in problems[0].message


NUMBERS = "expected 3×3 and 3 finite numbers within ±1e+09, got"
ROTATION = "the first three rows must be a rotation,"
PRODUCT = f"{ROTATION} its product with its transpose differs from 1 by"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"{NUMBERS} 0 numbers"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n", f"{NUMBERS} 9 numbers"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 1000 1", f"{NUMBERS} 13 numbers"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 nan", f"{NUMBERS} 'nan'"),
        ("1 0 0 \n0 1 0 \n0 0 one \n\n0 0 1000", f"{NUMBERS} 'one'"),
        ("1 0 0 \n0 1 0 \n0 0 1.01 \n\n0 0 1000", f"{PRODUCT} 0.02"),
        ("1 0 0 \n0 1 0 \n0 0 -1 \n\n0 0 1000", f"{ROTATION} its determinant is -1"),
        ("1e8 0 0 \n0 1 0 \n0 0 1 \n\n0 0 1000", f"{PRODUCT} 1e+16"),
        ("1e200 0 0 \n0 1 0 \n0 0 1 \n\n0 0 1000", f"{NUMBERS} '1e200'"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 1e-9", "the head's centre must lie before the camera"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 -5", "the head's centre must lie before the camera"),
        ("1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 0", "the head's centre must lie before the camera"),
    ],
)
def test_a_wrong_pose_is_named_and_left_out(tmp_path: Path, text: str, reason: str) -> None:
    stems = write_biwi(tmp_path)
    labels = tmp_path / "02" / "frame_00003_pose.txt"
    labels.write_text(text)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value) == f"{reason} in {labels}"
    columns, problems = read_collecting(tmp_path)
    assert columns.files == tuple(f"{stem}_rgb.png" for stem in stems if stem[:2] != "02")
    assert [(p.kind, p.path) for p in problems] == [("label", "02/frame_00003_pose.txt")]
    assert columns.subjects[columns.subject[2]] == "02"


def test_six_printed_digits_are_a_rotation(tmp_path: Path) -> None:
    for number in range(40):
        rng = np.random.default_rng(number)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        write_frame(tmp_path, f"01/frame_{number:05}", rotation=turn * np.linalg.det(turn))
    assert len(open_dataset(tmp_path)) == 40


def test_frames_that_lack_a_half_are_named(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    (tmp_path / "01" / "frame_00003_pose.txt").unlink()
    (tmp_path / "01" / "frame_00004_rgb.png").unlink()
    columns, problems = read_collecting(tmp_path)
    assert len(columns.files) == 3
    assert [problem.message for problem in problems] == [
        f"image has no _pose.txt file beside it: {tmp_path / '01' / 'frame_00003_rgb.png'}",
        f"pose has no image beside it: {tmp_path / '01' / 'frame_00004_pose.txt'}",
    ]
    assert [problem.kind for problem in problems] == ["pair", "pair"]


def test_a_frame_with_two_images_is_named(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    write_frame(tmp_path, "01/frame_00003", suffix=".jpg")
    with pytest.raises(DataError, match=r"two images, .*00003_rgb\.jpg and [^:]*00003_rgb\.png"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:0], "expected 3 numbers in line 1, got ''"),
        (lambda text: text.replace("\n\n", "\n"), "expected 3 numbers in line 9, got '640 480 '"),
        (lambda text: text.replace("500", "wide"), "expected 3 numbers in line 1, got 'wide 0 "),
        (lambda text: text.replace(" 500", " inf"), "expected 3 numbers in line 2, got '0 inf "),
        (lambda text: text.replace("500", "-500"), "number 1 of line 1 must be positive, got -500"),
        (
            lambda text: text.replace("0 1 0", "0 2 0"),
            "lines 7-9 must be a rotation, .* differs from 1 by 3 ",
        ),
    ],
)
def test_a_wrong_calibration_is_named(tmp_path: Path, damage, reason: str) -> None:
    write_biwi(tmp_path)
    path = tmp_path / "21" / "rgb.cal"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=reason) as caught:
        open_dataset(tmp_path)
    assert str(path) in str(caught.value)
    assert "without the file the nominal camera is used" in str(caught.value)
    for crop in ("box", "hopenet", "fsanet"):
        columns, problems = read_collecting(tmp_path, crop=crop)
        assert len(columns.files) == 5
        assert [(p.kind, p.path) for p in problems] == [("calibration", "21/rgb.cal")]
        for boxes in (columns.face, columns.box):
            assert np.isnan(boxes).all(axis=1).tolist() == [False, False, False, True, False]


def test_a_list_gives_the_boxes_and_selects_the_frames(tmp_path: Path) -> None:
    write_biwi(tmp_path / "hpdb")
    (tmp_path / "hpdb" / "01" / "frame_00003_pose.txt").unlink()
    boxes = write_csv(
        tmp_path,
        "21/frame_00010_rgb.png,10,20,30.5,60",
        "01/frame_00004,-5,20,30,60",
        header="path,x0,y0,x1,y1",
    )
    dataset = open_dataset(tmp_path / "hpdb", boxes=boxes)
    assert dataset.name == ["01/frame_00004_rgb.png", "21/frame_00010_rgb.png"]
    assert dataset.face.tolist() == [[-5, 20, 30, 60], [10, 20, 30.5, 60]]
    assert np.array_equal(dataset.box, dataset.face)
    assert dataset.boxes == "list labels.csv"
    assert open_dataset(tmp_path / "hpdb", boxes=boxes, crop="hopenet").box[0].tolist() == [
        *(-12, 6, 38, 71),
    ]


def test_listed_boxes_need_no_camera(tmp_path: Path) -> None:
    write_frame(tmp_path / "hpdb", "01/frame_00003", centre=(0, 0, -1))
    write_calibration(tmp_path / "hpdb", "01").write_text("")
    boxes = write_csv(tmp_path, "01/frame_00003,1,2,3,4", header="path,x0,y0,x1,y1")
    assert len(open_dataset(tmp_path / "hpdb", boxes=boxes)) == 1


def test_listed_frames_that_are_not_there_are_counted(tmp_path: Path) -> None:
    write_biwi(tmp_path / "hpdb")
    rows = [f"{name},1,2,3,4" for name in ("01/frame_00003", "01/frame_9", "30/frame_00003")]
    boxes = write_csv(tmp_path, *rows, header="path,x0,y0,x1,y1")
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "hpdb", boxes=boxes)
    assert str(caught.value) == (
        f"2 of 3 listed frames are not in {tmp_path / 'hpdb'}, the first is 01/frame_9 ({boxes}:3)"
    )


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    with pytest.raises(DataError, match=r"no such list of boxes: .*gone\.csv"):
        open_dataset(tmp_path, boxes=tmp_path / "gone.csv")


def test_another_list_makes_another_index(tmp_path: Path) -> None:
    write_biwi(tmp_path / "hpdb")
    boxes = write_csv(tmp_path, "01/frame_00003,1,2,3,4", header="path,x0,y0,x1,y1")
    assert len(open_dataset(tmp_path / "hpdb")) == 5
    assert len(open_dataset(tmp_path / "hpdb", boxes=boxes)) == 1
    boxes.write_text(boxes.read_text() + "01/frame_00004,1,2,3,5\n")
    assert len(open_dataset(tmp_path / "hpdb", boxes=boxes)) == 2
    again = open_dataset(tmp_path / "hpdb", boxes=boxes)
    assert again.boxes == "list labels.csv"
    assert again.face.tolist() == [[1, 2, 3, 4], [1, 2, 3, 5]]


def test_a_changed_calibration_makes_the_index_anew(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    before = open_dataset(tmp_path)
    write_calibration(tmp_path, "01", focal=700.0)
    after = open_dataset(tmp_path)
    assert after.fingerprint != before.fingerprint
    assert after.face[0, 2] - after.face[0, 0] == pytest.approx(0.24 * 700, abs=1e-3)


def test_biwi_says_how_much_of_it_was_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_biwi(tmp_path)
    with caplog.at_level(logging.INFO, logger="hmtl"):
        open_dataset(tmp_path)
    assert "5 of the published 15,678 samples" in caplog.text


def test_a_folder_without_frames_is_an_error_where_the_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "01").mkdir()
    with pytest.raises(DataError, match=r"no frame_NNNNN_rgb\.png or \.jpg images"):
        open_dataset(tmp_path, layout="biwi")


@pytest.mark.data
def test_the_squares_of_real_frames_lie_on_their_heads(tmp_path: Path, realdata: Path) -> None:
    dataset = open_dataset(link_tree(realdata / "BIWI", tmp_path / "BIWI"))
    assert len(dataset) == 10
    assert np.abs(dataset.pose - REAL_POSES).max() < 1e-3
    for (x0, y0, x1, y1), head in zip(dataset.face.tolist(), REAL_HEADS, strict=True):
        assert x0 < head[0] < head[2] < x1
        assert y0 < head[1] < head[3] < y1
        assert abs((x0 + x1) / 2 - (head[0] + head[2]) / 2) < 12
        assert abs((y0 + y1) / 2 - (head[1] + head[3]) / 2) < 12
