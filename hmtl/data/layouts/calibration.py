"""BIWI's colour camera: `rgb.cal` of a sequence, or the nominal camera of the sensor.

A calibration has K in the lines 0 to 2, the rotation from the depth camera's frame in the lines 6
to 8 and the translation in mm in line 10, counted from 0: so read it the parsers of Hugging Face
(`datasets/biwi_kinect_head_pose`) and of opentrack's neural net tracker. The lines between, the
distortion among them, are not used.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import LARGEST
from hmtl.data.layouts.files import SampleError, image_size, read_bytes, wrong

FILE = "rgb.cal"
SIDE_MM = 240.0
"""The side of the square that a head is taken to fill."""

NOMINAL_SIZE = (480, 640)
"""(height, width) in px of the pictures that the nominal camera is for."""

# Six digits leave 2e-6. This is 0.03° and more than any matrix that was computed as a rotation.
_TOLERANCE = 1e-3

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Camera:
    """A pinhole camera: pixel = intrinsic @ (rotation @ point + shift)."""

    intrinsic: Array
    """(3, 3), px."""
    rotation: Array
    """(3, 3), from the depth camera's frame."""
    shift: Array
    """(3,), mm."""


NOMINAL = Camera(
    intrinsic=np.array([[517.68, 0.0, 320.0], [0.0, 517.68, 240.5], [0.0, 0.0, 1.0]]),
    rotation=np.eye(3),
    shift=np.array([-24.0, 0.0, -11.0]),
)
"""The sensor without the few degrees of tilt that differ from sequence to sequence."""


def read_camera(root: Path, name: str) -> Camera:
    """Return the camera of the calibration file `name`; SampleError where it is not one."""
    lines = read_bytes("calibration", root, name).decode("utf-8", "replace").splitlines()
    try:
        rows = [[float(value) for value in lines[line].split()] for line in (0, 1, 2, 6, 7, 8, 10)]
        numbers = np.array(rows)  # (7, 3)
    except (IndexError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (7, 3) or not (np.abs(numbers) <= LARGEST).all():
        reason = "expected 3 numbers in each of the lines 1-3, 7-9 and 11 of the calibration"
        raise wrong("calibration", root, name, reason)
    if not is_rotation(numbers[3:6]) or not (np.diag(numbers[:3]) > 0.0).all():
        reason = "expected positive focal lengths and, in the lines 7-9, a rotation"
        raise wrong("calibration", root, name, reason)
    return Camera(intrinsic=numbers[:3], rotation=numbers[3:6], shift=numbers[6])


def is_rotation(matrix: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which matrices (..., 3, 3) are rotations, as far as six printed digits tell."""
    m = np.asarray(matrix, dtype=np.float64)
    unit = np.abs(m @ np.swapaxes(m, -1, -2) - np.eye(3)).max(axis=(-2, -1)) < _TOLERANCE
    return np.asarray(unit & (np.linalg.det(m) > 0.0))


def refuse_other_sizes(root: Path, images: list[str]) -> None:
    """Raise SampleError where the first image with a header is not of NOMINAL_SIZE."""
    for name in images:
        try:
            size = image_size(root, name)
        except SampleError:
            continue
        if size != NOMINAL_SIZE:
            height, width = size
            reason = f"without {FILE}, expected an image of 640×480, got {width}×{height}"
            raise wrong("calibration", root, name, reason)
        return


def head_squares(camera: Camera, centres: Array) -> Array:
    """Return the squares (N, 4) in px of SIDE_MM round points (N, 3) in mm.

    A square is NaN where its point is not before the camera.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        points = centres @ camera.rotation.T + camera.shift
        depth = np.where(points[:, 2:] > 0.0, points[:, 2:], np.nan)  # (N, 1)
        centre = (points @ camera.intrinsic.T)[:, :2] / depth
        half = SIDE_MM / 2 * np.diag(camera.intrinsic)[:2] / depth
        return np.concatenate([centre - half, centre + half], axis=1)
