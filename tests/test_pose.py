"""The pose conventions, against golden values of published files and first principles."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hmtl import pose
from hmtl.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

ANGLE = st.floats(-180, 180, allow_nan=False)
YAW = st.floats(-89, 89, allow_nan=False)
POSE = st.tuples(YAW, ANGLE, ANGLE).map(np.array)
ANY_POSE = st.tuples(ANGLE, ANGLE, ANGLE).map(np.array)
DIRECTION = st.tuples(ANGLE, YAW).map(np.array)

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


def turn(axis: str, degrees: float) -> FloatArray:
    """Return the rotation (3, 3) about an axis, active, right-handed."""
    matrix: FloatArray = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return matrix


def head_pose_of_xgaze(rotation: FloatArray) -> FloatArray:
    """Return the angles that ETH-XGaze's writer stores of a head's rotation: pitch, yaw."""
    x, y, z = rotation[:, 2]
    return np.array([np.arcsin(y), np.arctan2(x, z)])


def test_biwi_matrices_give_the_published_angles_exactly() -> None:
    assert pose.from_camera_matrix(BIWI_ROWS) == pytest.approx(BIWI_POSE, abs=1e-9)
    assert pose.from_matrix(CAMERA @ BIWI_ROWS @ CAMERA) == pytest.approx(BIWI_POSE, abs=1e-9)


def test_biwi_angles_give_the_published_matrix() -> None:
    assert pose.to_camera_matrix(BIWI_POSE) == pytest.approx(BIWI_ROWS, abs=1e-5)


def test_matrices_that_are_rounded_give_the_angles_of_peers_to_the_last_digit() -> None:
    rows = np.round(pose.to_camera_matrix([-81.0, 12.0, 33.0]), 6)
    # HopeNet's formula, on the transposed matrix.
    m = rows.T
    peers = [
        -np.arctan2(-m[2, 0], np.hypot(m[2, 1], m[2, 2])),
        np.arctan2(m[2, 1], m[2, 2]),
        -np.arctan2(m[1, 0], m[0, 0]),
    ]
    assert pose.from_camera_matrix(rows) == pytest.approx(np.rad2deg(peers), abs=1e-12)


@given(ANY_POSE)
def test_the_camera_matrix_is_the_product_of_turns_about_the_camera_axes(
    angles: FloatArray,
) -> None:
    yaw, pitch, roll = angles
    expected = turn("x", -pitch) @ turn("y", yaw) @ turn("z", roll)
    assert pose.to_camera_matrix(angles) == pytest.approx(expected, abs=1e-12)


@given(POSE)
def test_camera_matrices_give_back_their_pose(angles: FloatArray) -> None:
    again = pose.from_camera_matrix(pose.to_camera_matrix(angles))
    assert pose.wrap(again - angles) == pytest.approx(np.zeros(3), abs=1e-9)


def test_conversions_take_poses_of_any_number_of_dimensions() -> None:
    poses = np.random.default_rng(0).uniform(-80, 80, (2, 4, 3))
    assert pose.to_camera_matrix(poses).shape == (2, 4, 3, 3)
    assert pose.from_camera_matrix(pose.to_camera_matrix(poses)) == pytest.approx(poses)
    for function in (pose.to_direction, pose.from_direction, pose.from_level_direction):
        assert function(poses).shape == (2, 4, 3)
        assert np.array_equal(function(poses)[1, 2], function(poses[1, 2]), equal_nan=True)


@given(ANY_POSE)
def test_a_direction_is_what_the_writer_of_eth_xgaze_stores(angles: FloatArray) -> None:
    yaw, pitch, roll = angles
    stored = head_pose_of_xgaze(turn("x", -pitch) @ turn("y", yaw) @ turn("z", roll))
    found = pose.to_direction(angles)
    assert np.isnan(found[2])
    # Longitudes of a direction that is nearly a pole say little.
    apart = (found[:2] - np.rad2deg(stored[::-1]) + 180) % 360 - 180
    assert np.abs(apart * [np.cos(stored[0]), 1.0]).max() < 1e-5


def test_a_direction_of_60_and_40_degrees_has_an_euler_yaw_of_41_6() -> None:
    yaw, pitch, roll = pose.from_direction([60.0, 40.0])
    assert yaw == pytest.approx(41.6, abs=0.05)
    assert pitch == pytest.approx(59.2, abs=0.05)
    assert np.isnan(roll)


@given(DIRECTION)
def test_directions_survive_the_way_over_euler_angles(direction: FloatArray) -> None:
    for function in (pose.from_direction, pose.from_level_direction):
        again = pose.to_direction(function(direction))[:2]
        assert pose.wrap(again - direction) == pytest.approx(np.zeros(2), abs=1e-3)


@given(POSE.filter(lambda angles: abs(angles[1]) < 89))
def test_euler_poses_survive_the_way_over_directions_but_for_their_roll(angles: FloatArray) -> None:
    again = pose.from_direction(pose.to_direction(angles))
    assert again[:2] == pytest.approx(angles[:2], abs=1e-6)


@given(POSE, st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)))
def test_a_level_direction_is_the_whole_pose_of_a_normalised_patch(
    angles: FloatArray, place: tuple[float, float]
) -> None:
    head = pose.to_camera_matrix(angles)
    forward = np.array([*place, 1.0]) / np.linalg.norm([*place, 1.0])
    # The warp of ETH-XGaze: a camera that looks at the face, its rows level with the head.
    down = np.cross(forward, head[:, 0])
    assume(np.linalg.norm(down) > 0.02)
    down /= np.linalg.norm(down)
    normalised = np.stack([np.cross(down, forward), down, forward]) @ head
    # At the poles a direction leaves open where the head is turned.
    assume(abs(normalised[1, 2]) < 0.9999)
    pitch, yaw = np.rad2deg(head_pose_of_xgaze(normalised))
    found = pose.from_level_direction([yaw, pitch])
    assert pose.to_camera_matrix(found) == pytest.approx(normalised, abs=1e-6)


def test_a_level_head_has_a_roll_where_it_is_turned_and_raised() -> None:
    assert pose.from_level_direction([60.0, 40.0])[2] == pytest.approx(48.07, abs=0.005)
    assert pose.from_level_direction([60.0, 0.0]) == pytest.approx([60.0, 0.0, 0.0], abs=1e-12)
    assert pose.from_level_direction([0.0, 40.0]) == pytest.approx([0.0, 40.0, 0.0], abs=1e-12)


def test_the_files_of_eth_xgaze_hold_pitch_and_yaw_in_radians() -> None:
    directions = pose.from_xgaze([[0.1, -0.2], [0.0, 1.5]])
    assert directions[:, :2] == pytest.approx(np.rad2deg([[-0.2, 0.1], [1.5, 0.0]]))
    assert np.isnan(directions[:, 2]).all()
    assert pose.to_xgaze(directions) == pytest.approx(np.array([[0.1, -0.2], [0.0, 1.5]]))


def test_convert_changes_the_convention_by_name() -> None:
    poses = np.array([[41.56076257, 59.21026697, 5.0]])
    direction = pose.convert(poses, "euler", "direction")
    assert direction[0, :2] == pytest.approx([60.0, 40.0], abs=1e-4)
    back = pose.convert(direction, "direction", "euler")
    assert back[0, :2] == pytest.approx(poses[0, :2], abs=1e-4)
    assert np.isnan([direction[0, 2], back[0, 2]]).all()
    same = pose.convert(poses, "euler", "euler")
    assert np.array_equal(same, poses)
    assert not np.shares_memory(same, poses)


def test_an_unknown_convention_is_named() -> None:
    message = r"must be one of \['euler', 'direction'\], got 'quaternion'"
    with pytest.raises(ConfigError, match=message):
        pose.convert([0.0, 0.0, 0.0], "euler", "quaternion")  # type: ignore[arg-type]


def test_a_turn_in_the_image_plane_changes_all_three_angles() -> None:
    turned = pose.in_plane_turn([-50.0, 20.0, 13.0], 30.0)
    assert turned == pytest.approx([-50.7, -17.7, 60.8], abs=0.05)


@given(POSE, ANGLE)
def test_an_in_plane_turn_turns_the_axes_clockwise_in_the_image(
    angles: FloatArray, degrees: float
) -> None:
    axes = turn("z", degrees) @ pose.to_matrix(angles)
    assert pose.to_matrix(pose.in_plane_turn(angles, degrees)) == pytest.approx(axes, abs=1e-3)


@given(DIRECTION, ANGLE)
def test_an_in_plane_turn_of_a_direction_turns_the_facing_axis(
    direction: FloatArray, degrees: float
) -> None:
    facing = turn("z", degrees) @ pose.to_matrix(pose.from_level_direction(direction))[:, 2]
    turned = pose.in_plane_turn([*direction, np.nan], degrees, "direction")
    assert np.isnan(turned[2])
    again = pose.to_matrix(pose.from_level_direction(turned))[:, 2]
    assert again == pytest.approx(facing, abs=1e-3)


def test_an_in_plane_turn_keeps_an_unknown_roll_unknown() -> None:
    poses = np.array([[10.0, 20.0, np.nan], [10.0, 20.0, 30.0]])
    turned = pose.in_plane_turn(poses, [40.0, 40.0])
    assert np.isnan(poses[0, 2])
    assert turned[0, :2] == pytest.approx(turned[1, :2])
    assert np.isnan(turned[:, 2]).tolist() == [True, False]


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
