"""The one owner of the pose conventions.

A pose is (yaw, pitch, roll) in degrees, in this order. Seen in the image: yaw > 0 turns the nose to
the left, pitch > 0 raises it, roll > 0 turns the head clockwise. With x to the right, y down and z
towards the viewer, the head is turned by

    R = Rx(pitch) @ Ry(-yaw) @ Rz(roll)        (active, column vectors)

whose columns are the head's right-left, down and facing axes in the image. This is the
decomposition of 300W-LP, AFLW2000-3D and, through its matrices, BIWI. Radians exist only here and
in the readers.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

# |sin(yaw)| beyond which yaw and roll turn about the same axis and roll is set to 0.
GIMBAL_SINE = 0.9999999

_MIRROR = np.array([-1.0, 1.0, -1.0])


def to_matrix(pose: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rotation matrices (..., 3, 3) of poses (..., 3) in degrees."""
    yaw, pitch, roll = np.moveaxis(np.deg2rad(np.asarray(pose, dtype=np.float64)), -1, 0)
    cos_y, sin_y = np.cos(-yaw), np.sin(-yaw)
    cos_p, sin_p = np.cos(pitch), np.sin(pitch)
    cos_r, sin_r = np.cos(roll), np.sin(roll)
    rows = [
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
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the poses (..., 3) in degrees of rotation matrices (..., 3, 3); yaw in [-90, 90].

    Where yaw is ±90° only the sum of pitch and roll is determined; roll is then 0.
    """
    m = np.asarray(matrix, dtype=np.float64)
    sine = np.clip(m[..., 0, 2], -1.0, 1.0)
    locked = np.abs(sine) > GIMBAL_SINE
    yaw = -np.arcsin(sine)
    pitch = np.where(
        locked,
        np.arctan2(m[..., 2, 1], m[..., 1, 1]),
        np.arctan2(-m[..., 1, 2], m[..., 2, 2]),
    )
    roll = np.where(locked, 0.0, np.arctan2(-m[..., 0, 1], m[..., 0, 0]))
    return np.asarray(np.rad2deg(np.stack([yaw, pitch, roll], axis=-1)))


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
    return np.asarray(values * _MIRROR.astype(values.dtype, copy=False))


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
