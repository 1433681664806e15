"""ETH-XGaze: one HDF5 file for each subject, normalised patches of the face, directions."""

import json
from itertools import chain, count
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from hmtl import pose as poses
from hmtl.synth.framing import face_patch
from hmtl.synth.job import Job
from hmtl.synth.paint import gaze_axis
from hmtl.synth.raycast import Matrix
from hmtl.synth.samples import draw_sample, render_sample
from hmtl.synth.writers.writer import Writer, by_subject

# The published split; the paper validates on the last three of the training subjects.
_TRAIN = (
    *(0, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 18, 19, 21, 24, 26, 27, 28, 29, 30, 31, 32, 33),
    *(35, 36, 38, 39, 40, 41, 43, 44, 45, 46, 48, 50, 51, 52, 55, 56, 57, 58, 59, 60, 61, 62, 63),
    *(65, 66, 67, 69, 72, 73, 75, 76, 78, 79, 80, 81, 83, 84, 85, 88, 90, 92, 95, 98, 99, 100),
    *(101, 102, 103, 104, 105, 106, 107),
)
_VALIDATION = (108, 109, 111)
_TEST = (1, 2, 20, 23, 37, 49, 64, 68, 70, 82, 87, 91, 112, 114, 118)
# Beyond every published number.
_FIRST_SPARE = 200

_CAMERAS = 18


def numbers_of(subjects: int) -> list[int]:
    """Return the published numbers that rendered people go by, the same for every total.

    Of ten people two are test subjects and, as long as there are any, one a validation subject.
    """
    train, validation = chain(_TRAIN, count(_FIRST_SPARE)), iter(_VALIDATION)
    test = iter(_TEST)
    numbers = []
    for subject in range(subjects):
        special = test if subject % 5 == 4 else validation if subject % 10 == 1 else train
        numbers.append(next(chain(special, train)))
    return numbers


def _file_name(number: int) -> str:
    return f"subject{number:04d}.h5"


def _prepare(out: Path, job: Job) -> None:
    numbers = numbers_of(job.subjects)
    split = {
        "train": [_file_name(number) for number in numbers if number not in _TEST],
        "test": [_file_name(number) for number in numbers if number in _TEST],
        "test_person_specific": [],
    }
    for folder in ("train", "test"):
        (out / folder).mkdir(exist_ok=True)
    (out / "train_test_split.json").write_text(json.dumps(split, indent=1) + "\n")


def _write(out: Path, job: Job, indices: range) -> None:
    """Write the file of one subject, whole or not at all."""
    number = numbers_of(job.subjects)[indices.start]
    is_test = number in _TEST
    path = out / ("test" if is_test else "train") / _file_name(number)
    partial = path.with_suffix(".h5.partial")
    # Pinned, because equal arguments shall give equal bytes whatever h5py defaults to.
    with h5py.File(partial, "w", libver=("earliest", "v108")) as file:
        _fill(file, job, indices, has_gaze=not is_test)
    partial.replace(path)


def _fill(file: h5py.File, job: Job, indices: range, *, has_gaze: bool) -> None:
    """Write the data sets of one subject, typed and chunked as the published ones."""
    n, side = len(indices), job.size
    patches = file.create_dataset(
        "face_patch",
        shape=(n, side, side, 3),
        dtype=np.uint8,
        chunks=(1, side, side, 3),
        compression="lzf",
        track_times=False,
    )
    directions, gazes = np.empty((2, n, 2))
    for row, index in enumerate(indices):
        sample = draw_sample(job, index)
        rendered = render_sample(job, sample, face_patch(side))
        patches[row] = rendered.image[:, :, ::-1]
        turn = poses.to_matrix(sample.pose)
        directions[row] = _pitch_yaw(turn[:, 2])
        gazes[row] = _pitch_yaw(turn @ gaze_axis(sample.expression))
    rows = np.arange(n)[:, None]
    labels: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]] = {
        "face_head_pose": directions,
        # The patches are rendered normalised: no camera's picture has been turned.
        "face_mat_norm": np.tile(np.eye(3), (n, 1, 1)),
        "frame_index": (rows // _CAMERAS).astype(np.int64),
        "cam_index": (rows % _CAMERAS).astype(np.int64),
    }
    if has_gaze:
        labels["face_gaze"] = gazes
    for name, values in labels.items():
        file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), track_times=False)


def _pitch_yaw(axis: Matrix) -> Matrix:
    """Return pitch and yaw in radians of a direction (3,) in the frame of the image.

    The formula is that of `normalization_example.py` of ETH-XGaze's authors.
    """
    x, y, z = axis
    return np.array([np.arcsin(-y), np.arctan2(-x, z)])


WRITER = Writer(prepare=_prepare, tasks=by_subject, write=_write)
