"""The colour camera of a Kinect: where it stands, what it shows, its calibration file.

The camera frame is OpenCV's, x right, y down, z away, lengths in mm; a point is given in the frame
of the depth camera, beside the colour camera.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hmtl.synth.framing import MM_PER_UNIT, Framer, Framing
from hmtl.synth.raycast import Matrix

# A nominal camera for an image 480 px high, and how far one differs from it.
_HEIGHT = 480
_FOCAL, _CENTER = 517.68, (320.0, 240.5)
_SHIFT_MM = np.array([-24.0, 6.0, -13.0])
_TURN_DEG, _PLACE_PX, _PLACE_MM = 0.8, 3.0, 2.0

_DEPTH_MM = (800.0, 1200.0)
# The middle of skull and face with the hair, in head units before the stretch.
_HEAD_CENTER = np.array([0.0, -0.08, -0.2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A pinhole camera without distortion."""

    height: int
    width: int
    intrinsic: Matrix
    """(3, 3) in px."""
    rotation: Matrix
    """(3, 3) and `translation` (3,) take a point from the depth camera's frame into this one's."""
    translation: Matrix


def draw_camera(height: int, rng: np.random.Generator) -> Camera:
    """Draw the camera of one recording, for images of 4:3 that are `height` px high."""
    scale = height / _HEIGHT
    focal = _FOCAL * rng.uniform(0.99, 1.01)
    x, y = _CENTER + rng.uniform(-_PLACE_PX, _PLACE_PX, 2)
    intrinsic = np.array([[focal * scale, 0, x * scale], [0, focal * scale, y * scale], [0, 0, 1]])
    translation = _SHIFT_MM + rng.uniform(-_PLACE_MM, _PLACE_MM, 3)
    turn = Rotation.from_euler("xyz", rng.uniform(-_TURN_DEG, _TURN_DEG, 3), degrees=True)
    return Camera(
        height=height,
        width=round(height * 4 / 3),
        intrinsic=_as_written(intrinsic),
        rotation=_as_written(turn.as_matrix()),
        translation=_as_written(translation),
    )


def calibration_text(camera: Camera) -> str:
    """Return the content of `rgb.cal`: matrix, distortion, rotation, translation, image size.

    The lines are those that the readers of BIWI expect: 0-2, 4, 6-8, 10 and 12.
    """
    blocks = [
        _rows(camera.intrinsic),
        _rows(np.zeros((1, 4))),
        _rows(camera.rotation),
        _rows(camera.translation[None]),
        f"{camera.width} {camera.height}\n",
    ]
    return "\n".join(blocks)


def recording(camera: Camera) -> Framer:
    """Frame somebody who sits about a metre in front of the camera, near the middle."""

    def frame(head: Matrix, _points: Matrix, rng: np.random.Generator) -> Framing:
        focal = camera.intrinsic[0, 0]
        scale = focal * MM_PER_UNIT / rng.uniform(*_DEPTH_MM)
        center = rng.uniform([0.38, 0.44], [0.62, 0.58]) * [camera.width, camera.height]
        place = center - scale * (head @ _HEAD_CENTER)[:2]
        return Framing(
            height=camera.height,
            width=camera.width,
            scale=float(scale),
            place=place,
            shows_torso=True,
        )

    return frame


def head_center(camera: Camera, head: Matrix, scale: float, place: Matrix) -> Matrix:
    """Return where the centre of a rendered head is, (3,) mm in the depth camera's frame.

    `head` (3, 3) is its rotation and stretch; `scale`, px per head unit, and `place` (2,) are those
    of its framing.
    """
    depth = camera.intrinsic[0, 0] * MM_PER_UNIT / scale
    pixel = np.append(place + scale * (head @ _HEAD_CENTER)[:2], 1.0)
    seen = np.linalg.solve(camera.intrinsic, pixel) * depth
    return np.linalg.solve(camera.rotation, seen - camera.translation)


def _as_written(values: Matrix) -> Matrix:
    """Return what a reader of the file gets: six digits."""
    return np.array([float(_number(value)) for value in values.flat]).reshape(values.shape)


def _number(value: float) -> str:
    return f"{value:.6g}"


def _rows(matrix: Matrix) -> str:
    return "".join("".join(f"{_number(value)} " for value in row) + "\n" for row in matrix)
