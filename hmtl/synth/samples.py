"""What image i of a rendered data set shows: who, at which pose, with which face."""

from dataclasses import dataclass

import numpy as np

from hmtl import pose as poses
from hmtl.synth.framing import Framer
from hmtl.synth.identity import Expression, Identity, draw_expression, draw_identity
from hmtl.synth.job import LAYOUTS, Job
from hmtl.synth.raycast import Matrix
from hmtl.synth.scene import Rendered, render_head

YAW_PITCH_ROLL_RANGE = np.array([75.0, 40.0, 30.0])

# The streams of random numbers; a layout's own number keeps its people apart from the others'.
_PERSON, _PICTURE, _CAMERA = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What one image shows."""

    identity: Identity
    pose: Matrix
    """(3,) yaw, pitch, roll in degrees."""
    expression: Expression
    rng: np.random.Generator
    """For what is drawn while rendering: framing, light, background, noise."""


def pose_of(layout: str, seed: int, index: int) -> Matrix:
    """Return the pose (yaw, pitch, roll in degrees) at which image `index` is rendered."""
    return _draw_pose(layout, _stream(layout, seed, _PICTURE, index))


def draw_sample(job: Job, index: int) -> Sample:
    """Draw what image `index` shows."""
    person = _stream(job.layout, job.seed, _PERSON, index % job.subjects)
    rng = _stream(job.layout, job.seed, _PICTURE, index)
    pose = _draw_pose(job.layout, rng)
    return Sample(
        identity=draw_identity(person), pose=pose, expression=draw_expression(rng), rng=rng
    )


def render_sample(job: Job, sample: Sample, framer: Framer | None = None) -> Rendered:
    """Render what `draw_sample` has drawn; a sample can be rendered once."""
    return render_head(
        sample.identity,
        sample.pose,
        sample.rng,
        size=job.size,
        expression=sample.expression,
        framer=framer,
    )


def camera_stream(job: Job, subject: int) -> np.random.Generator:
    """Return the random numbers for the camera that records a subject."""
    return _stream(job.layout, job.seed, _CAMERA, subject)


def _stream(layout: str, seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, LAYOUTS.index(layout), stream, number])


def _draw_pose(layout: str, rng: np.random.Generator) -> Matrix:
    """Draw a pose uniform in its angles, for ETH-XGaze in those of the facing direction."""
    angles = rng.uniform(-YAW_PITCH_ROLL_RANGE, YAW_PITCH_ROLL_RANGE)
    return poses.from_level_direction(angles[:2]) if layout == "eth-xgaze" else angles
