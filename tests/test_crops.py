"""Crop rules against the peers' code, line for line, and golden crops of published files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmtl.data.crops import AFLW2000_MARGINS, W300LP_MARGINS, Margins, face_box, hopenet_box

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


@given(
    st.lists(st.tuples(EDGE, EDGE), min_size=2, max_size=21).filter(
        lambda points: len({p[0] for p in points}) > 1 and len({p[1] for p in points}) > 1
    ),
    st.booleans(),
)
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
