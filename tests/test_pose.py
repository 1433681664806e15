"""The pose conventions, against golden values of published files and first principles."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hmtl import pose

FloatArray = npt.NDArray[np.float64]

ANGLE = st.floats(-180, 180, allow_nan=False)
YAW = st.floats(-89, 89, allow_nan=False)
POSE = st.tuples(YAW, ANGLE, ANGLE).map(np.array)
ANY_POSE = st.tuples(ANGLE, ANGLE, ANGLE).map(np.array)

# From the camera's axes (z away from the viewer) to the image's (z towards the viewer).
CAMERA = np.diag([1.0, 1.0, -1.0])
MIRROR = np.diag([-1.0, 1.0, 1.0])

# hpdb/02/frame_00003_pose.txt of BIWI, and the angles of a published list of its frames.
BIWI_ROWS = np.array(
    [
        [0.988397, 0.0731349, 0.133128],
        [-0.0441539, 0.976945, -0.208876],
        [-0.145334, 0.200575, 0.968838],
    ]
)
BIWI_POSE = [7.65038772637362, -12.166425417769508, -4.231800330308715]


def test_to_matrix_is_the_product_of_the_three_turns() -> None:
    yaw, pitch, roll = 31.0, -17.0, 43.0
    turns = [
        Rotation.from_euler("x", pitch, degrees=True),
        Rotation.from_euler("y", -yaw, degrees=True),
        Rotation.from_euler("z", roll, degrees=True),
    ]
    expected = (turns[0] * turns[1] * turns[2]).as_matrix()
    assert pose.to_matrix([yaw, pitch, roll]) == pytest.approx(expected, abs=1e-12)


def test_positive_angles_turn_the_nose_left_and_up_and_the_head_clockwise() -> None:
    right, down, facing = pose.to_matrix([30.0, 0.0, 0.0]).T
    assert facing[0] < 0
    right, down, facing = pose.to_matrix([0.0, 30.0, 0.0]).T
    assert facing[1] < 0
    right, down, facing = pose.to_matrix([0.0, 0.0, 30.0]).T
    assert right[1] > 0
    assert down[0] < 0


def test_the_columns_are_the_axes_that_hopenet_draws() -> None:
    yaw, pitch, roll = np.deg2rad([-25.0, 40.0, -70.0])
    p, y, r = pitch, -yaw, roll
    cos, sin = np.cos, np.sin
    drawn = [
        [cos(y) * cos(r), cos(p) * sin(r) + cos(r) * sin(p) * sin(y)],
        [-cos(y) * sin(r), cos(p) * cos(r) - sin(p) * sin(y) * sin(r)],
        [sin(y), -cos(y) * sin(p)],
    ]
    axes = pose.to_matrix([-25.0, 40.0, -70.0])[:2].T
    assert axes == pytest.approx(np.array(drawn), abs=1e-12)


def test_biwi_matrices_give_the_published_angles() -> None:
    # Published with 1e-7 of rounding in the rows, and decomposed by another, equal, formula.
    found = pose.from_matrix(CAMERA @ BIWI_ROWS @ CAMERA)
    assert found == pytest.approx(BIWI_POSE, abs=1e-4)


def test_biwi_angles_give_the_published_matrix() -> None:
    rows = CAMERA @ pose.to_matrix(BIWI_POSE) @ CAMERA
    assert rows == pytest.approx(BIWI_ROWS, abs=1e-5)


def test_a_turn_in_the_image_plane_changes_all_three_angles() -> None:
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    turned = pose.from_matrix(turn @ pose.to_matrix([-50.0, 20.0, 13.0]))
    assert turned == pytest.approx([-50.7, -17.7, 60.8], abs=0.05)


@given(POSE)
def test_matrices_give_back_their_pose(angles: FloatArray) -> None:
    again = pose.from_matrix(pose.to_matrix(angles))
    assert pose.wrap(again - angles) == pytest.approx(np.zeros(3), abs=1e-6)


@given(ANY_POSE)
def test_poses_beyond_ninety_degrees_of_yaw_come_back_as_the_same_rotation(
    angles: FloatArray,
) -> None:
    again = pose.from_matrix(pose.to_matrix(angles))
    assert abs(again[0]) <= 90.0
    assert pose.geodesic(again, angles) < 0.1


@pytest.mark.parametrize("yaw", [90.0, -90.0])
def test_at_ninety_degrees_of_yaw_the_roll_is_zero_and_the_rotation_kept(yaw: float) -> None:
    found = pose.from_matrix(pose.to_matrix([yaw, 20.0, 35.0]))
    assert found[2] == 0.0
    assert pose.geodesic(found, [yaw, 20.0, 35.0]) < 1e-6


@given(ANY_POSE)
def test_mirror_is_the_reflection_of_the_matrix(angles: FloatArray) -> None:
    reflected = MIRROR @ pose.to_matrix(angles) @ MIRROR
    assert pose.to_matrix(pose.mirror(angles)) == pytest.approx(reflected, abs=1e-12)


def test_mirror_keeps_the_type_and_the_missing_roll() -> None:
    mirrored = pose.mirror(np.array([[10, -20, np.nan]], dtype=np.float32))
    assert mirrored.dtype == np.float32
    assert np.array_equal(mirrored, [[-10, -20, np.nan]], equal_nan=True)


def test_pose_para_is_pitch_yaw_roll_in_radians() -> None:
    row = [0.1, -0.2, 0.3, 70.0, 280.0, -60.0, 0.001]
    assert pose.from_pose_para([row])[0] == pytest.approx(np.rad2deg([-0.2, 0.1, 0.3]))


@given(ANY_POSE)
def test_pose_para_and_pose_are_inverse(angles: FloatArray) -> None:
    assert pose.from_pose_para(pose.to_pose_para(angles)) == pytest.approx(angles, abs=1e-10)


@given(st.floats(-1000, 1000), st.integers(-3, 3))
def test_wrap_has_a_period_of_360_degrees(angle: float, periods: int) -> None:
    wrapped = float(pose.wrap(angle))
    assert -180.0 <= wrapped < 180.0
    assert abs(float(pose.wrap(wrapped - float(pose.wrap(angle + 360.0 * periods))))) < 1e-9


@given(ANY_POSE, ANY_POSE)
def test_geodesic_is_the_angle_of_the_relative_rotation(
    first: FloatArray, second: FloatArray
) -> None:
    relative = Rotation.from_matrix(pose.to_matrix(first).T @ pose.to_matrix(second))
    angle = np.rad2deg(relative.magnitude())
    assert float(pose.geodesic(first, second)) == pytest.approx(angle, abs=1e-5)
    assert float(pose.geodesic(second, first)) == pytest.approx(angle, abs=1e-5)


@given(ANY_POSE, ANY_POSE)
def test_geodesic_is_the_same_in_the_mirror(first: FloatArray, second: FloatArray) -> None:
    mirrored = pose.geodesic(pose.mirror(first), pose.mirror(second))
    assert float(mirrored) == pytest.approx(float(pose.geodesic(first, second)), abs=1e-5)


def test_geodesic_of_a_turn_about_one_axis_is_that_turn() -> None:
    turned = np.array([[0.001, 0, 0], [0, 179.0, 0], [0, 0, 180.0]])
    assert pose.geodesic(np.zeros((3, 3)), turned) == pytest.approx([0.001, 179.0, 180.0], rel=1e-6)


def rotation_between(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) that brings points (3, N) nearest to others (Kabsch)."""
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(second @ first.T)
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt


@pytest.mark.data
def test_published_points_turn_as_the_published_angles_say(realdata: Path) -> None:
    variables = [scipy.io.loadmat(path) for path in sorted((realdata / "AFLW2000").glob("*.mat"))]
    assert len(variables) == 16
    points = [np.asarray(v["pt3d_68"], dtype=np.float64) for v in variables]
    turns = [pose.to_matrix(pose.from_pose_para(v["Pose_Para"][0])) for v in variables]
    errors = []
    for i in range(16):
        for j in range(i):
            measured = rotation_between(points[i], points[j])
            difference = measured @ turns[i] @ turns[j].T
            errors.append(np.rad2deg(Rotation.from_matrix(difference).magnitude()))
    assert np.mean(errors) < 2.5
