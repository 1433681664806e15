"""Small data sets in published layouts: real JPEGs and MAT files, written in a moment."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

MAX_POSE_DEG = (75.0, 40.0, 30.0)


def write_300w_lp(root: Path, *, count: int, subjects: int, size: int = 96, seed: int = 0) -> Path:
    """Write `count` pairs of JPEG and MAT below `root`/AFW; the picture tells the pose.

    A bright disc on a noisy ground lies as far to the left as the yaw says and as high as the pitch
    says, and its colour goes with the roll, so that a network can learn from few of them.
    """
    rng = np.random.default_rng(seed)
    folder = root / "AFW"
    folder.mkdir(parents=True)
    poses = rng.uniform(-1.0, 1.0, (count, 3)) * MAX_POSE_DEG
    for number, pose in enumerate(poses):
        stem = folder / f"AFW_{seed}{number % subjects:04d}_1_{number // subjects}"
        Image.fromarray(_picture(pose, size, rng)).save(stem.with_suffix(".jpg"), quality=90)
        write_labels(stem.with_suffix(".mat"), pose, size)
    return root


def _picture(
    pose: npt.NDArray[np.float64], size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    yaw, pitch, roll = pose / MAX_POSE_DEG
    rows, columns = np.mgrid[0:size, 0:size] / size
    disc = np.hypot(columns - 0.5 + 0.2 * yaw, rows - 0.5 + 0.2 * pitch) < 0.12
    picture = rng.integers(60, 100, (size, size, 3))
    picture[disc] = (235, 128 + 100 * roll, 128 - 100 * roll)
    return picture.astype(np.uint8)


def write_labels(path: Path, pose: npt.ArrayLike, size: int) -> None:
    """Write a MAT file with a pose in degrees and 68 points on a circle."""
    yaw, pitch, roll = np.deg2rad(pose)
    angle = np.linspace(0.0, 2.0 * np.pi, 68, endpoint=False)
    points = size * (0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)]))
    labels = {
        "Pose_Para": np.array([[pitch, yaw, roll, 0.0, 0.0, 0.0, 1.0]], dtype=np.float32),
        "pt2d": points,
    }
    savemat(path, labels, do_compression=True)
