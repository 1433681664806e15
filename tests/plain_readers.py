"""Readers of published layouts as a script without this project would have them, slow and obvious.

Each yields, for every image, its name, its angles in degrees and its pixels (H, W, 3), RGB.
"""

import json

import h5py
import numpy as np
from PIL import Image
from scipy.io import loadmat


def read_pairs(root):
    """300W-LP and AFLW2000-3D: yaw, pitch, roll."""
    for path in sorted(root.rglob("*.jpg")):
        pitch, yaw, roll = loadmat(path.with_suffix(".mat"))["Pose_Para"][0, :3]
        name = path.relative_to(root).with_suffix("").as_posix()
        yield name, np.degrees([yaw, pitch, roll]), pixels(path)


def read_biwi(root):
    """BIWI: yaw, pitch, roll by the formula of HopeNet's `datasets.py`."""
    for path in sorted(root.glob("hpdb/*/frame_*_rgb.png")):
        lines = path.with_name(path.name.replace("rgb.png", "pose.txt")).read_text().splitlines()
        matrix = np.array([[float(word) for word in line.split()] for line in lines[:3]]).T
        roll = -np.arctan2(matrix[1, 0], matrix[0, 0])
        yaw = -np.arctan2(-matrix[2, 0], np.sqrt(matrix[2, 1] ** 2 + matrix[2, 2] ** 2))
        pitch = np.arctan2(matrix[2, 1], matrix[2, 2])
        name = path.relative_to(root).as_posix().removesuffix("_rgb.png")
        yield name, np.degrees([yaw, pitch, roll]), pixels(path)


def head_square(frame):
    """Return x, y and side in px of the 240 mm round the head centre of a frame of BIWI."""
    lines = frame.with_name("rgb.cal").read_text().splitlines()
    rows = [[float(word) for word in line.strip().split(" ") if word] for line in lines]
    matrix, rotation, shift = np.array(rows[:3]), np.array(rows[6:9]), np.array(rows[10])
    text = frame.with_name(frame.name.replace("rgb.png", "pose.txt")).read_text().splitlines()
    place = rotation @ [float(word) for word in text[4].split()] + shift
    x, y, depth = matrix @ place
    return x / depth, y / depth, matrix[0, 0] * 240.0 / depth


def read_xgaze(root):
    """ETH-XGaze: yaw and pitch of the direction."""
    split = json.loads((root / "train_test_split.json").read_text())
    for folder in ("train", "test"):
        for file_name in split[folder]:
            with h5py.File(root / folder / file_name, "r") as file:
                for row, (pitch, yaw) in enumerate(file["face_head_pose"]):
                    patch = file["face_patch"][row]
                    name = f"{folder}/{file_name}#{row}"
                    yield name, np.degrees([yaw, pitch]), patch[:, :, [2, 1, 0]]


def pixels(path):
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


READERS = {
    "300w-lp": read_pairs,
    "aflw2000": read_pairs,
    "biwi": read_biwi,
    "eth-xgaze": read_xgaze,
}
