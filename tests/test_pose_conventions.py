"""The poses of other projects, against their published formulas and files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hmtl import conventions, pose

FloatArray = npt.NDArray[np.float64]

ANGLE = st.floats(-180, 180, allow_nan=False)
YAW = st.floats(-89, 89, allow_nan=False)
POSE = st.tuples(YAW, ANGLE, ANGLE).map(np.array)

# Annotation of hpdb/01/frame_00501 of BIWI, rounded as it was quoted: `.bin` and pose.
BIWI_BIN = [41.503, -62.064, -12.802]
BIWI_POSE = [-52.376, -54.920, 41.554]


def turns(axes: str, *degrees: float) -> FloatArray:
    """Return the product (3, 3) of active rotations about the axes, the last one done first."""
    matrix: FloatArray = Rotation.from_euler(axes.upper(), degrees, degrees=True).as_matrix()
    return matrix


def same_rotation(first: FloatArray, second: FloatArray) -> None:
    assert pose.to_matrix(first) == pytest.approx(pose.to_matrix(second), abs=1e-6)


@given(POSE)
def test_rotation_vectors_are_those_of_the_camera_matrix(angles: FloatArray) -> None:
    yaw, pitch, roll = angles
    expected = turns("xyz", -pitch, yaw, roll)
    found = Rotation.from_rotvec(conventions.to_rotation_vector(angles)).as_matrix()
    assert found == pytest.approx(expected, abs=1e-9)
    same_rotation(conventions.from_rotation_vector(conventions.to_rotation_vector(angles)), angles)


@given(POSE)
def test_rotation_vectors_become_the_angles_that_img2pose_makes_of_them(
    angles: FloatArray,
) -> None:
    inverse = Rotation.from_rotvec(conventions.to_rotation_vector(angles)).as_matrix().T
    pitch, yaw, roll = Rotation.from_matrix(inverse).as_euler("xyz", degrees=True) * [1, -1, -1]
    assert pose.wrap(angles - [yaw, pitch, roll]) == pytest.approx(np.zeros(3), abs=1e-6)


def test_a_nod_is_a_rotation_about_the_x_axis_of_the_camera() -> None:
    vector = conventions.to_rotation_vector([0.0, 30.0, 0.0])
    assert vector == pytest.approx([-np.deg2rad(30.0), 0.0, 0.0])


@given(POSE)
def test_sixdrepnet_matrices_are_those_of_its_training(angles: FloatArray) -> None:
    yaw, pitch, roll = angles
    expected = turns("zyx", roll, yaw, pitch)
    assert conventions.to_sixdrepnet_matrix(angles) == pytest.approx(expected, abs=1e-12)
    again = conventions.from_sixdrepnet_matrix(expected)
    assert pose.wrap(again - angles) == pytest.approx(np.zeros(3), abs=1e-6)


@given(POSE)
def test_sixdrepnet_decodes_the_pose_as_it_is(angles: FloatArray) -> None:
    m = conventions.to_sixdrepnet_matrix(angles)
    pitch = np.arctan2(m[2, 1], m[2, 2])
    yaw = np.arctan2(-m[2, 0], np.hypot(m[0, 0], m[1, 0]))
    roll = np.arctan2(m[1, 0], m[0, 0])
    decoded = np.rad2deg([yaw, pitch, roll])
    assert pose.wrap(decoded - angles) == pytest.approx(np.zeros(3), abs=1e-6)


@given(POSE, POSE)
def test_the_angle_between_two_heads_is_the_same_for_6drepnet(
    first: FloatArray, second: FloatArray
) -> None:
    matrices = [conventions.to_sixdrepnet_matrix(angles) for angles in (first, second)]
    angle = np.rad2deg(Rotation.from_matrix(matrices[0] @ matrices[1].T).magnitude())
    assert float(pose.geodesic(first, second)) == pytest.approx(angle, abs=1e-5)


@given(POSE)
def test_3ddfa_turns_a_model_whose_y_points_upwards(angles: FloatArray) -> None:
    yaw, pitch, roll = angles
    expected = turns("xyz", -pitch, -yaw, -roll)
    assert conventions.to_3ddfa_matrix(angles) == pytest.approx(expected, abs=1e-12)
    upwards = np.diag([1.0, -1.0, 1.0])
    assert upwards @ expected @ upwards == pytest.approx(pose.to_matrix(angles), abs=1e-12)
    again = conventions.from_3ddfa_matrix(expected)
    assert pose.wrap(again - angles) == pytest.approx(np.zeros(3), abs=1e-6)


@given(POSE)
def test_3ddfa_prints_other_angles_than_300w_lp_has(angles: FloatArray) -> None:
    m = conventions.to_3ddfa_matrix(angles)
    if abs(m[2, 0]) > 0.998:
        return
    printed = np.rad2deg(
        [np.arcsin(m[2, 0]), np.arctan2(m[2, 1], m[2, 2]), np.arctan2(m[1, 0], m[0, 0])]
    )
    found = conventions.to_3ddfa_angles(angles)
    assert pose.wrap(found - printed) == pytest.approx(np.zeros(3), abs=1e-6)
    same_rotation(conventions.from_3ddfa_angles(printed), angles)


def test_3ddfa_prints_a_nod_and_a_tilt_with_the_other_sign_and_a_turn_with_the_same() -> None:
    printed = conventions.to_3ddfa_angles(np.diag([30.0, 30.0, 30.0]))
    assert printed == pytest.approx(np.diag([30.0, -30.0, -30.0]), abs=1e-12)


def test_biwi_has_two_sets_of_angles() -> None:
    assert conventions.from_biwi_angles(BIWI_BIN) == pytest.approx(BIWI_POSE, abs=2e-3)
    assert conventions.to_biwi_angles(BIWI_POSE) == pytest.approx(BIWI_BIN, abs=2e-3)


@given(POSE)
def test_biwi_angles_are_turns_about_the_axes_of_the_camera(angles: FloatArray) -> None:
    pitch, yaw, roll = conventions.to_biwi_angles(angles)
    expected = turns("zyx", roll, yaw, pitch)
    assert pose.to_camera_matrix(angles) == pytest.approx(expected, abs=1e-3)
    same_rotation(
        conventions.from_biwi_angles([pitch, yaw, roll]), pose.from_camera_matrix(expected)
    )


@pytest.mark.data
def test_biwi_files_of_both_kinds_say_the_same(realdata: Path) -> None:
    paths = sorted((realdata / "BIWI/hpdb/01").glob("*_pose.bin"))
    assert len(paths) == 10
    for path in paths:
        angles = np.fromfile(path, dtype="<f4")[3:]
        rows = np.loadtxt(path.with_suffix(".txt"))[:3]
        expected = pose.from_camera_matrix(rows)
        assert conventions.from_biwi_angles(angles) == pytest.approx(expected, abs=1e-3)


@given(POSE)
def test_whenet_shows_a_head_from_behind_as_a_large_yaw(angles: FloatArray) -> None:
    whenet = conventions.to_whenet(angles)
    facing = pose.to_matrix(angles)[2, 2] > 0
    if np.isnan(whenet).any():
        assert np.isnan(whenet).all()
        _, pitch, roll = np.abs(angles)
        assert (pitch > 90) != (roll > 90)
        return
    assert np.abs(whenet[1:]).max() <= 90.0
    assert (abs(whenet[0]) <= 90.0) == facing or abs(angles[1]) == 90.0
    same_rotation(whenet, angles)
    same_rotation(conventions.from_whenet(whenet), angles)
    assert abs(conventions.from_whenet(whenet)[0]) <= 90.0


def test_whenet_has_the_same_angles_for_a_face() -> None:
    assert conventions.to_whenet([30.0, 20.0, -10.0]) == pytest.approx([30.0, 20.0, -10.0])
    assert conventions.to_whenet([10.0, 170.0, -175.0]) == pytest.approx([170.0, -10.0, 5.0])
    assert np.isnan(conventions.to_whenet([10.0, 100.0, 20.0])).all()


def test_opal_has_the_other_yaw() -> None:
    # image00002 of AFLW2000-3D: 1.044 in Pose_Para, -1.04 in opal23's list.
    assert conventions.negate_yaw([1.044, -17.0, 4.0]) == pytest.approx([-1.044, -17.0, 4.0])


def test_conversions_take_poses_of_any_number_of_dimensions() -> None:
    poses = np.random.default_rng(0).uniform(-80, 80, (2, 4, 3))
    kinds = ("rotation_vector", "sixdrepnet_matrix", "3ddfa_matrix", "3ddfa_angles", "biwi_angles")
    for kind in (*kinds, "whenet"):
        there = getattr(conventions, f"to_{kind}")
        back = getattr(conventions, f"from_{kind}")
        assert there(poses)[1, 2] == pytest.approx(there(poses[1, 2]), abs=1e-12)
        assert back(there(poses)) == pytest.approx(poses, abs=1e-9)
