"""The one owner of the pose conventions.

A pose is (yaw, pitch, roll) in degrees, in this order. Seen in the image: yaw > 0 turns the nose to
the left, pitch > 0 raises it, roll > 0 turns the head clockwise. With x to the right, y down and z
towards the viewer, the head is turned by

    R = Rx(pitch) @ Ry(-yaw) @ Rz(roll)        (active, column vectors)

whose columns are the head's right-left, down and facing axes in the image. This is the
decomposition of 300W-LP, AFLW2000-3D and, through its matrices, BIWI. Radians exist only here, in
`conventions` and in the readers.

A direction is what ETH-XGaze publishes of a head: (yaw, pitch, NaN) in degrees, the longitude and
latitude of the facing axis, with the same signs. `conventions` has the poses of other projects.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hmtl.errors import ConfigError

Convention = Literal["euler", "direction"]
FloatArray = npt.NDArray[np.floating[Any]]

# |sin(yaw)| beyond which yaw and roll turn about the same axis and roll is set to 0.
GIMBAL_SINE = 0.9999999

_MIRRORED = np.array([True, False, True])
# From the image's axes (z towards the viewer) to the camera's (z away from it), and back.
_AWAY = np.diag([1.0, 1.0, -1.0])


def to_matrix(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rotation matrices (..., 3, 3) of poses (..., 3) in degrees."""
    yaw, pitch, roll = np.moveaxis(np.deg2rad(np.asarray(pose, dtype=np.float64)), -1, 0)
    cos_y, sin_y = np.cos(-yaw), np.sin(-yaw)
    cos_p, sin_p = np.cos(pitch), np.sin(pitch)
    cos_r, sin_r = np.cos(roll), np.sin(roll)
    rows = matrix_rows(cos_y, sin_y, cos_p, sin_p, cos_r, sin_r)
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_rows(
    cos_y: Any, sin_y: Any, cos_p: Any, sin_p: Any, cos_r: Any, sin_r: Any
) -> list[list[Any]]:
    """Return the elements of R, row by row, from the cosine and sine of -yaw, pitch and roll.

    They are NumPy's arrays here and tensors in `hmtl.models.rotation`, and so are the elements.
    """
    return [
        [cos_y * cos_r, -cos_y * sin_r, sin_y],
        [
            cos_p * sin_r + sin_p * sin_y * cos_r,
            cos_p * cos_r - sin_p * sin_y * sin_r,
            -sin_p * cos_y,
        ],
        [
            sin_p * sin_r - cos_p * sin_y * cos_r,
            sin_p * cos_r + cos_p * sin_y * sin_r,
            cos_p * cos_y,
        ],
    ]


def from_matrix(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the poses (..., 3) in degrees of rotation matrices (..., 3, 3); yaw in [-90, 90].

    Where yaw is ±90° only the sum of pitch and roll is determined; roll is then 0.
    """
    m = np.asarray(matrix, dtype=np.float64)
    locked = np.abs(m[..., 0, 2]) > GIMBAL_SINE
    # Unlike the arc sine exact for rows that are published with six digits.
    yaw = np.arctan2(-m[..., 0, 2], np.hypot(m[..., 1, 2], m[..., 2, 2]))
    pitch = np.where(
        locked,
        np.arctan2(m[..., 2, 1], m[..., 1, 1]),
        np.arctan2(-m[..., 1, 2], m[..., 2, 2]),
    )
    roll = np.where(locked, 0.0, np.arctan2(-m[..., 0, 1], m[..., 0, 0]))
    return np.asarray(np.rad2deg(np.stack([yaw, pitch, roll], axis=-1)))


def to_camera_matrix(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rotations (..., 3, 3) of poses (..., 3) in a camera's frame.

    There x points to the right, y down and z away from the viewer, as in OpenCV: the matrix is
    Rx(-pitch) @ Ry(yaw) @ Rz(roll), and so are the rows of BIWI's `_pose.txt`.
    """
    return _AWAY @ to_matrix(pose) @ _AWAY


def from_camera_matrix(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the poses (..., 3) of rotations (..., 3, 3) in a camera's frame; see `from_matrix`."""
    return from_matrix(_AWAY @ np.asarray(matrix, dtype=np.float64) @ _AWAY)


def to_direction(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the directions (..., 3) in which heads at Euler poses (..., 3) face.

    The roll does not matter and is NaN in the result.
    """
    yaw, pitch = np.moveaxis(np.deg2rad(np.asarray(pose, dtype=np.float64)[..., :2]), -1, 0)
    up, left = np.sin(pitch) * np.cos(yaw), np.sin(yaw)
    ahead = np.cos(pitch) * np.cos(yaw)
    return _direction(np.arctan2(left, ahead), np.arctan2(up, np.hypot(left, ahead)))


def from_direction(direction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the Euler poses (..., 3) of heads that face in directions (..., 3 or 2).

    The roll is NaN: a direction leaves it open. See `from_level_direction`.
    """
    left, up, ahead = np.moveaxis(_axis(direction), -1, 0)
    return _direction(np.arctan2(left, np.hypot(up, ahead)), np.arctan2(up, ahead))


def from_level_direction(direction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the Euler poses (..., 3) of level heads that face in directions (..., 3 or 2).

    A head is level when its right-left axis is horizontal in the image. ETH-XGaze's patches are
    warped until it is (`normalization_example.py` of its authors), so that their roll is known; it
    is not 0 where the head is both turned and raised.
    """
    left, up, ahead = np.moveaxis(_axis(direction), -1, 0)
    facing = np.stack([-left, -up, ahead], axis=-1)
    sign = np.where(ahead < 0.0, -1.0, 1.0)
    across = np.stack([sign * ahead, np.zeros_like(up), sign * left], axis=-1)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    return from_matrix(np.stack([across, np.cross(facing, across), facing], axis=-1))


def convert(
    poses: npt.ArrayLike, source: Convention, target: Convention
) -> npt.NDArray[np.float64]:
    """Return poses (..., 3) of one convention in another; a roll that is not known is NaN.

    Raises ConfigError for a name that is not a `Convention`.
    """
    known = get_args(Convention)
    for name in (source, target):
        if name not in known:
            raise ConfigError(f"a pose convention must be one of {list(known)}, got {name!r}")
    if source == target:
        return np.array(poses, dtype=np.float64)
    return to_direction(poses) if target == "direction" else from_direction(poses)


def from_xgaze(head_pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the directions (..., 3) of ETH-XGaze's `face_head_pose`: pitch, yaw in radians."""
    pitch, yaw = np.moveaxis(np.asarray(head_pose, dtype=np.float64), -1, 0)
    return _direction(yaw, pitch)


def to_xgaze(direction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ETH-XGaze's `face_head_pose` (..., 2) of directions (..., 3 or 2)."""
    return np.deg2rad(np.asarray(direction, dtype=np.float64)[..., [1, 0]])


def from_pose_para(pose_para: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return (yaw, pitch, roll) in degrees of `Pose_Para` rows: pitch, yaw, roll, … in radians."""
    radians = np.asarray(pose_para, dtype=np.float64)[..., [1, 0, 2]]
    return np.rad2deg(radians)


def to_pose_para(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the start of `Pose_Para` rows (pitch, yaw, roll in radians) of poses (..., 3)."""
    return np.deg2rad(np.asarray(pose, dtype=np.float64))[..., [1, 0, 2]]


def mirror(pose: npt.ArrayLike) -> FloatArray:
    """Return the pose (..., 3) of the left-right mirrored image: yaw and roll change sign."""
    values = np.asarray(pose)
    # A product would keep the sign of what is not a number.
    return np.where(_MIRRORED, -values, values)


def in_plane_turn(
    pose: npt.ArrayLike, degrees: npt.ArrayLike, convention: Convention = "euler"
) -> npt.NDArray[np.float64]:
    """Return the poses (..., 3) of images that are turned clockwise by `degrees` (...).

    All three angles change; a roll that is not known stays NaN.
    """
    angles = convert(pose, convention, "euler")
    unknown = np.isnan(angles[..., 2])
    angles[..., 2] = np.where(unknown, 0.0, angles[..., 2])
    roll = np.asarray(degrees, dtype=np.float64)
    turn = to_matrix(np.stack([np.zeros_like(roll), np.zeros_like(roll), roll], axis=-1))
    turned = from_matrix(turn @ to_matrix(angles))
    turned[..., 2] = np.where(unknown, np.nan, turned[..., 2])
    return convert(turned, "euler", convention)


def wrap(angle: npt.ArrayLike) -> FloatArray:
    """Return angles in degrees brought into [-180, 180)."""
    return np.asarray((np.asarray(angle) + 180.0) % 360.0 - 180.0)


def geodesic(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the angle (...) in degrees, [0, 180], of the rotation between two poses (..., 3).

    The formula is that of Huynh, "Metrics for 3D rotations", 2009, Φ6, through the chord
    ‖R1 - R2‖ = 2√2·sin(angle / 2), which stays exact for small angles.
    """
    chord = np.linalg.norm(to_matrix(first) - to_matrix(second), axis=(-2, -1))
    return np.asarray(np.rad2deg(2.0 * np.arcsin(np.clip(chord / np.sqrt(8.0), 0.0, 1.0))))


def angle_between(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the angle (...) in degrees, [0, 180], between directions (..., 3 or 2)."""
    chord = np.linalg.norm(_axis(first) - _axis(second), axis=-1)
    return np.asarray(np.rad2deg(2.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))))


def _axis(direction: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the facing axes (..., 3) of directions: to the left, upwards, towards the viewer."""
    values = np.asarray(direction, dtype=np.float64)[..., :2]
    yaw, pitch = np.moveaxis(np.deg2rad(values), -1, 0)
    return np.stack(
        [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], axis=-1
    )


def _direction(yaw: FloatArray, pitch: FloatArray) -> npt.NDArray[np.float64]:
    """Return (yaw, pitch, NaN) in degrees of angles (...) in radians."""
    return np.rad2deg(np.stack([yaw, pitch, np.full_like(yaw, np.nan)], axis=-1))
