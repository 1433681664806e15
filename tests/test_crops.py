"""Crop rules against the peers' code, line for line, and golden crops of published files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmtl.data.crops import (
    AFLW2000_MARGINS,
    FSANET_BOXES,
    FSANET_POINTS,
    W300LP_MARGINS,
    Margins,
    face_box,
    fsanet_box,
    hopenet_box,
    is_empty,
    mirrored,
)

EDGE = st.floats(-200, 700, allow_nan=False)
INVISIBLE = [-1.0, 452.0]


def peers_crop(points: np.ndarray, *, aflw: bool) -> tuple[int, int, int, int]:
    x_min, y_min = min(points[0, :]), min(points[1, :])
    x_max, y_max = max(points[0, :]), max(points[1, :])
    if aflw:
        k = 0.20
        x_min -= 2 * k * abs(x_max - x_min)
        y_min -= 2 * k * abs(y_max - y_min)
        x_max += 2 * k * abs(x_max - x_min)
        y_max += 0.6 * k * abs(y_max - y_min)
    else:
        k = 0.30
        x_min -= 0.6 * k * abs(x_max - x_min)
        y_min -= 2 * k * abs(y_max - y_min)
        x_max += 0.6 * k * abs(x_max - x_min)
        y_max += 0.6 * k * abs(y_max - y_min)
    return int(x_min), int(y_min), int(x_max), int(y_max)


def peers_fsanet_points(points: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    x, y = points
    kept = x > 0.0
    if sum(x > 0.0) > sum(y > 0.0):
        kept = y > 0.0
    x, y = x[kept], y[kept]
    x_min, x_max, y_min, y_max = int(min(x)), int(max(x)), int(min(y)), int(max(y))
    w, h = x_max - x_min, y_max - y_min
    return (
        max(int(x_min - 0.6 * w), 0),
        max(int(y_min - 0.6 * h), 0),
        min(int(x_max + 0.6 * w), width - 1),
        min(int(y_max + 0.6 * h), height - 1),
    )


def peers_fsanet_detection(
    box: tuple[int, int, int, int], height: int, width: int
) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    return (
        max(int(x1 - 0.4 * w), 0),
        max(int(y1 - 0.4 * h), 0),
        min(int(x2 + 0.4 * w), width - 1) + 1,
        min(int(y2 + 0.4 * h), height - 1) + 1,
    )


def spans_a_box(points: list[tuple[float, float]]) -> bool:
    return len({p[0] for p in points}) > 1 and len({p[1] for p in points}) > 1


@given(st.lists(st.tuples(EDGE, EDGE), min_size=2, max_size=21).filter(spans_a_box), st.booleans())
def test_hopenet_boxes_are_those_of_the_peers_code(
    points: list[tuple[float, float]], aflw: bool
) -> None:
    columns = np.array(points).T
    margins = AFLW2000_MARGINS if aflw else W300LP_MARGINS
    box = hopenet_box(face_box(columns, crop="hopenet")[None], margins)
    assert tuple(box[0].astype(int)) == peers_crop(columns, aflw=aflw)


def test_each_edge_moves_by_a_share_of_the_box_widened_so_far() -> None:
    margins = Margins(left=1.0, top=0.5, right=1.0, bottom=0.5)
    box = hopenet_box(np.array([[10.0, 10.0, 20.0, 20.0]]), margins)
    assert box.tolist() == [[0.0, 5.0, 40.0, 27.0]]


def test_negative_edges_are_truncated_towards_zero() -> None:
    none = Margins(left=0.0, top=0.0, right=0.0, bottom=0.0)
    box = hopenet_box(np.array([[-7.9, -0.5, 3.9, 8.0]]), none)
    assert box.tolist() == [[-7.0, 0.0, 3.0, 8.0]]


def test_many_faces_give_the_boxes_of_each_alone() -> None:
    faces = np.random.default_rng(3).uniform(0, 100, (20, 4))
    faces[:, 2:] += 200
    together = hopenet_box(faces, AFLW2000_MARGINS)
    alone = [hopenet_box(face[None], AFLW2000_MARGINS)[0] for face in faces]
    assert together.dtype == np.float32
    assert np.array_equal(together, np.stack(alone))


def test_the_faces_themselves_are_left_as_they_are() -> None:
    faces = np.array([[10.0, 10.0, 20.0, 20.0]])
    hopenet_box(faces, AFLW2000_MARGINS)
    assert faces.tolist() == [[10.0, 10.0, 20.0, 20.0]]


def test_invisible_points_count_under_hopenet_only() -> None:
    points = np.array([[100.0, 110.0], [300.0, 320.0], INVISIBLE]).T
    assert face_box(points, crop="hopenet").tolist() == [-1.0, 110.0, 300.0, 452.0]
    assert face_box(points, crop="visible").tolist() == [100.0, 110.0, 300.0, 320.0]


def test_a_face_without_visible_points_is_an_error() -> None:
    with pytest.raises(ValueError, match="no point is visible"):
        face_box(np.array([INVISIBLE, INVISIBLE]).T, crop="visible")


def test_points_on_a_line_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"must span a box, got \[5.0, 1.0\] to \[5.0, 9.0\]"):
        face_box(np.array([[5.0, 5.0], [1.0, 9.0]]), crop="hopenet")


@given(
    st.lists(st.tuples(EDGE, EDGE), min_size=2, max_size=21),
    st.integers(200, 600),
    st.integers(200, 600),
)
def test_fsanet_boxes_round_points_are_those_of_the_peers_code(
    points: list[tuple[float, float]], height: int, width: int
) -> None:
    columns = np.array(points).T
    try:
        face = face_box(columns, crop="fsanet")
    except ValueError:
        return
    box = fsanet_box(face[None], FSANET_POINTS, [(height, width)])
    assert tuple(box[0].astype(int)) == peers_fsanet_points(columns, height, width)


@given(
    st.tuples(
        st.integers(-50, 300), st.integers(-50, 300), st.integers(301, 700), st.integers(301, 700)
    )
)
def test_fsanet_boxes_round_detections_are_those_of_the_peers_code(
    box: tuple[int, int, int, int],
) -> None:
    crop = fsanet_box(np.array([box], dtype=np.float64), FSANET_BOXES, [(480, 640)])
    assert tuple(crop[0].astype(int)) == peers_fsanet_detection(box, 480, 640)


def test_fsanet_drops_points_by_the_coordinate_that_drops_more() -> None:
    points = np.array([[10.0, 20.0, -5.0, 30.0], [40.0, -1.0, -1.0, 50.0]])
    assert face_box(points, crop="fsanet").tolist() == [10.0, 40.0, 30.0, 50.0]
    assert face_box(points[::-1], crop="fsanet").tolist() == [40.0, 10.0, 50.0, 30.0]


def test_fsanet_drops_by_x_where_both_drop_as_many() -> None:
    points = np.array([[10.0, 20.0, -5.0], [40.0, -1.0, 50.0]])
    assert face_box(points, crop="fsanet").tolist() == [10.0, -1.0, 20.0, 40.0]


def test_each_image_has_its_own_size() -> None:
    face = np.array([[100.0, 100.0, 200.0, 300.0]] * 2)
    boxes = fsanet_box(face, FSANET_POINTS, [(450, 450), (310, 220)])
    assert boxes.tolist() == [[40, 0, 260, 420], [40, 0, 219, 309]]


def test_a_mirrored_face_counts_from_one() -> None:
    face = np.array([137.5, 20.0, 316.5, 90.0])
    assert mirrored(face, 450).tolist() == [134.5, 20.0, 313.5, 90.0]
    assert mirrored(mirrored(face, 450), 450).tolist() == face.tolist()


def test_boxes_without_an_area_are_empty() -> None:
    boxes = np.array([[0, 0, 1, 1], [5, 0, 5, 9], [0, 9, 5, 9], [9, 0, 5, 9]], dtype=np.float32)
    assert is_empty(boxes).tolist() == [False, True, True, True]
