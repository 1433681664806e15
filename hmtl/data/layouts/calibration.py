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
    text = read_bytes("calibration", root, name).decode("utf-8", "replace")
    try:
        numbers = _numbers(text.splitlines())
    except ValueError as error:
        reason = f"{error} (without the file the nominal camera is used)"
        raise wrong("calibration", root, name, reason) from error
    return Camera(intrinsic=numbers[:3], rotation=numbers[3:6], shift=numbers[6])


def _numbers(lines: list[str]) -> Array:
    """Return the rows (7, 3) of K, the rotation and the translation.

    Raises ValueError that says which line is wrong.
    """
    rows = []
    for number in (0, 1, 2, 6, 7, 8, 10):
        line = lines[number] if number < len(lines) else ""
        try:
            row = [float(value) for value in line.split()]
        except ValueError:
            row = []
        if len(row) != 3 or not all(abs(value) <= LARGEST for value in row):
            raise ValueError(f"expected 3 numbers in line {number + 1}, got {line[:40]!r}")
        rows.append(row)
    numbers = np.array(rows)
    for number, value in enumerate(np.diag(numbers[:3]).tolist(), start=1):
        if not value > 0.0:
            raise ValueError(f"number {number} of line {number} must be positive, got {value:g}")
    if not is_rotation(numbers[3:6]):
        raise ValueError(f"the lines 7-9 must be a rotation, {deviation(numbers[3:6])}")
    return numbers


def is_rotation(matrix: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which matrices (..., 3, 3) are rotations, as far as six printed digits tell."""
    m = np.asarray(matrix, dtype=np.float64)
    return np.asarray((_skew(m) < _TOLERANCE) & (np.linalg.det(m) > 0.0))


def deviation(matrix: Array) -> str:
    """Return what keeps a matrix (3, 3) from being a rotation."""
    skew = float(_skew(matrix))
    if skew < _TOLERANCE:
        return f"its determinant is {np.linalg.det(matrix):.2g}"
    return f"its product with its transpose differs from 1 by {skew:.2g}"


def _skew(matrices: Array) -> Array:
    """Return how far matrices (..., 3, 3) are from having orthonormal rows."""
    products = matrices @ np.swapaxes(matrices, -1, -2)
    return np.asarray(np.abs(products - np.eye(3)).max(axis=(-2, -1)))


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
