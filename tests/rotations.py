"""Rotations from Rodrigues' formula, sharing nothing with `hmtl.pose`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def axis_rotation(axis: Sequence[float], degrees: float) -> Matrix:
    """Return the rotation about one axis by Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=np.float64)
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turn_of(pose: Sequence[float]) -> Matrix:
    """Return the rotation of a head at (yaw, pitch, roll) in degrees, z towards the viewer."""
    yaw, pitch, roll = pose
    return (
        axis_rotation((1, 0, 0), pitch)
        @ axis_rotation((0, 1, 0), -yaw)
        @ axis_rotation((0, 0, 1), roll)
    )
