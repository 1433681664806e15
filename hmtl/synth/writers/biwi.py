"""BIWI Kinect head pose: sequences of frames with pose texts and a calibration; colour only.

There are no depth frames and no head meshes, as in the copies of the data set that hold its colour
part. The rotation in a pose text is that of the colour picture, which is what readers take it for;
the head's centre is in the depth camera's frame and reaches the picture through `rgb.cal`.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from hmtl import pose as poses
from hmtl.synth.camera import calibration_text, draw_camera, head_center, recording
from hmtl.synth.job import Job
from hmtl.synth.raycast import Matrix
from hmtl.synth.samples import camera_stream, draw_sample, render_sample
from hmtl.synth.writers.writer import Writer, by_number

# Sequences of people who were recorded twice: 02 again, 03 again, 05 again, 07 again.
_SECOND_RECORDINGS = (15, 18, 21, 22)
_FIRST_FRAME = 3


def sequence_of(subject: int) -> int:
    """Return the number of a subject's sequence, passing over those of other people."""
    sequence = subject + 1
    for taken in _SECOND_RECORDINGS:
        sequence += sequence >= taken
    return sequence


def _folder(out: Path, subject: int) -> Path:
    return out / "hpdb" / f"{sequence_of(subject):02d}"


def _prepare(out: Path, job: Job) -> None:
    for subject in range(job.subjects):
        folder = _folder(out, subject)
        folder.mkdir(parents=True, exist_ok=True)
        camera = draw_camera(job.size, camera_stream(job, subject))
        (folder / "rgb.cal").write_text(calibration_text(camera))


def _write(out: Path, job: Job, indices: range) -> None:
    for index in indices:
        variant, subject = divmod(index, job.subjects)
        camera = draw_camera(job.size, camera_stream(job, subject))
        sample = draw_sample(job, index)
        rendered = render_sample(job, sample, recording(camera))
        head = poses.to_matrix(sample.pose) @ np.diag(sample.identity.proportions)
        center = head_center(camera, head, rendered.scale, rendered.place)
        stem = f"frame_{variant + _FIRST_FRAME:05d}"
        folder = _folder(out, subject)
        Image.fromarray(rendered.image).save(folder / f"{stem}_rgb.png")
        (folder / f"{stem}_pose.txt").write_text(_pose_text(sample.pose, center))


def _pose_text(pose: Matrix, center: Matrix) -> str:
    """Return three rows of the pose's rotation, a blank line and the head's centre (3,) in mm.

    The published rows have six digits, too few for the angles to come back to 1e-4°.
    """
    rotation = poses.to_camera_matrix(pose)
    rows = "".join("".join(f"{value:.9f} " for value in row) + "\n" for row in rotation)
    return rows + "\n" + "".join(f"{value:.4f} " for value in center) + "\n"


WRITER = Writer(prepare=_prepare, tasks=by_number, write=_write)
