"""The poses of other projects and programs, from and to those of `pose`.

Each name is that of whoever uses the convention; `docs/conventions.md` shows them side by side.
Angles are degrees unless a function says otherwise. HopeNet, FSA-Net and yakhyo's networks need no
conversion: they predict the labels of 300W-LP as they are.

Note [One matrix]
3DDFA's face model has y upwards: its matrix is S R S with S = diag(1, -1, 1) and R that of
`pose.to_matrix`. The reflections only negate the turns about x and z, so this is `to_matrix` of
(yaw, -pitch, -roll). 6DRepNet's matrix is its transpose. The angle between two heads is the same in
all of them, so geodesic errors can be compared.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from hmtl.pose import from_camera_matrix, from_matrix, to_camera_matrix, to_matrix, wrap

FloatArray = npt.NDArray[np.float64]

# What becomes of (yaw, pitch, roll) where y points upwards.
_Y_UP = np.array([1.0, -1.0, -1.0])
# The same rotation by other angles: (180 - yaw, 180 + pitch, 180 + roll).
_OTHER_SIGNS = np.array([-1.0, 1.0, 1.0])


def to_rotation_vector(pose: npt.ArrayLike) -> FloatArray:
    """Return the rotation vectors (..., 3) in radians of poses (..., 3), in OpenCV's camera frame.

    They are what `cv2.Rodrigues` and `cv2.solvePnP` use, with a model of the head whose x points to
    the right of the image, y down and z into the head, and what img2pose predicts.
    """
    matrix = to_camera_matrix(pose)
    vectors = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(vectors, dtype=np.float64).reshape(matrix.shape[:-1])


def from_rotation_vector(vector: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) of rotation vectors (..., 3) in radians; see the other way."""
    values = np.asarray(vector, dtype=np.float64)
    matrix = Rotation.from_rotvec(values.reshape(-1, 3)).as_matrix()
    return from_camera_matrix(np.reshape(matrix, (*values.shape, 3)))


def to_sixdrepnet_matrix(pose: npt.ArrayLike) -> FloatArray:
    """Return the matrices (..., 3, 3) on which 6DRepNet is trained: Rz(roll) Ry(yaw) Rx(pitch).

    Its `get_R` makes them of 300W-LP's angles, and its Euler angles undo exactly that, so that they
    are poses as they are here. See Note [One matrix].
    """
    return np.swapaxes(to_3ddfa_matrix(pose), -1, -2)


def from_sixdrepnet_matrix(matrix: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) of matrices (..., 3, 3) that 6DRepNet predicts."""
    return from_3ddfa_matrix(np.swapaxes(np.asarray(matrix), -1, -2))


def to_3ddfa_matrix(pose: npt.ArrayLike) -> FloatArray:
    """Return the rotations (..., 3, 3) of 3DDFA's face model, whose y points upwards.

    They are Rx(-pitch) Ry(-yaw) Rz(-roll); 300W-LP's labels stem from them. 3DDFA and 3DDFA_V2 find
    them in the parameters of a face with `P2sRt`.
    """
    return to_matrix(_Y_UP * np.asarray(pose, dtype=np.float64))


def from_3ddfa_matrix(matrix: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) of rotations (..., 3, 3) of 3DDFA's face model."""
    return _Y_UP * from_matrix(matrix)


def to_3ddfa_angles(pose: npt.ArrayLike) -> FloatArray:
    """Return the (yaw, pitch, roll) (..., 3) that 3DDFA's and 3DDFA_V2's `matrix2angle` give.

    These are not 300W-LP's angles: the order of the turns is another, and pitch and roll have the
    other sign. Within 4° of a profile, 3DDFA_V2 sets the yaw to ±90°.
    """
    return -from_matrix(np.swapaxes(to_3ddfa_matrix(pose), -1, -2))


def from_3ddfa_angles(angles: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) of the (yaw, pitch, roll) (..., 3) of 3DDFA's `matrix2angle`."""
    matrix = to_matrix(-np.asarray(angles, dtype=np.float64))
    return from_3ddfa_matrix(np.swapaxes(matrix, -1, -2))


def to_biwi_angles(pose: npt.ArrayLike) -> FloatArray:
    """Return the angles (..., 3) of BIWI's `_pose.bin` files of poses (..., 3).

    They are pitch, yaw and roll, in this order: the camera frame's matrix is Rz(roll) Ry(yaw)
    Rx(pitch). Pitch has the other sign than here, and none of them is one of `_pose.txt`.
    """
    inverse = np.swapaxes(to_camera_matrix(pose), -1, -2)
    return np.asarray(_Y_UP * from_matrix(inverse))[..., [1, 0, 2]]


def from_biwi_angles(angles: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) of the last three numbers (..., 3) of BIWI's `_pose.bin` files."""
    values = np.asarray(angles, dtype=np.float64)[..., [1, 0, 2]]
    return from_camera_matrix(np.swapaxes(to_matrix(_Y_UP * values), -1, -2))


def to_whenet(pose: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) as WHENet has them: yaw in [-180, 180), the others within ±90°.

    Order and signs are as here, the yaw of a head seen from behind is beyond ±90°. Where pitch or
    roll is beyond ±90° both ways, all three are NaN; WHENet leaves such heads out.
    """
    here = wrap(np.asarray(pose, dtype=np.float64))
    there = wrap(180.0 + _OTHER_SIGNS * here)
    fits = [
        (np.abs(angles[..., 1:]) <= 90.0).all(axis=-1, keepdims=True) for angles in (here, there)
    ]
    return np.where(fits[0], here, np.where(fits[1], there, np.nan))


def from_whenet(pose: npt.ArrayLike) -> FloatArray:
    """Return the poses (..., 3) with yaw in [-90, 90] of WHENet's, whose yaw is in [-180, 180)."""
    return from_matrix(to_matrix(pose))


def negate_yaw(pose: npt.ArrayLike) -> FloatArray:
    """Return poses (..., 3) with the other sign of yaw: from opal23's annotations or to them."""
    return np.asarray(pose, dtype=np.float64) * [-1.0, 1.0, 1.0]
