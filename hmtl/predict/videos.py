"""Poses of the faces on the frames of videos and cameras, which OpenCV decodes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from hmtl.config import Config
from hmtl.errors import DataError
from hmtl.predict.boxes import Locate, located
from hmtl.predict.faces import predict_faces
from hmtl.predict.opencv import load_opencv, plain_path
from hmtl.predict.shots import Boxes, Pixels, Seen, Shot, Tally, Video

# Of decoded frames that wait for the network: 40 of 1920 × 1080.
_MOST_BYTES = 256 << 20
# Containers without a count have it guessed from length and rate, a little beside the truth.
_GUESSED_SHARE = 0.01
_USUAL_FPS = 25.0


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiting:
    """Frames, and the boxes on them, that are to be predicted together."""

    shots: list[Shot] = field(default_factory=list)
    images: list[Pixels] = field(default_factory=list)
    boxes: list[Boxes] = field(default_factory=list)
    faces: int = 0
    bytes: int = 0

    def add(self, shot: Shot, image: Pixels, boxes: Boxes) -> None:
        self.shots.append(shot)
        self.images.append(image)
        self.boxes.append(boxes)
        self.faces += len(boxes)
        self.bytes += image.nbytes


@dataclass(kw_only=True, slots=True)
class _Count:
    """What became of the frames of a video."""

    read: int = 0
    without: int = 0
    outside: int = 0
    reason: str = ""
    """What is wrong with the first frame whose boxes lie outside of it."""


def check_camera(video: Video) -> None:
    """Raise DataError where a camera gives no picture."""
    capture = load_opencv().VideoCapture(video.camera)
    is_there = capture.isOpened()
    capture.release()
    if not is_there:
        raise DataError(f"there is no camera {video.name}, or it is in use")


def predict_video(
    network: nn.Module,
    config: Config,
    video: Video,
    locate: Locate,
    tally: Tally,
    *,
    every: int = 1,
) -> Iterator[Seen]:
    """Yield every so manieth frame of a video, in order, with the poses of its faces.

    Frames are decoded as far ahead as one batch of faces needs, of a camera not at all. A video
    that cannot be read, or that ends before it should, is told to the tally.
    """
    cv2 = load_opencv()
    count = _Count()
    with ExitStack() as stack:
        place = stack.enter_context(plain_path(video.path)) if video.path else video.camera
        capture = cv2.VideoCapture(place)
        stack.callback(capture.release)
        if not capture.isOpened():
            tally.add_bad(f"{video.name} cannot be read as a video")
            return
        total = _frame_count(capture, cv2)
        fps = _rate(capture, cv2) / every
        batches = _batches(_frames(capture, every), video, locate, count, config.train.batch_size)
        for waiting in batches:
            yield from _seen(network, config, waiting, total=total, fps=fps)
    _tell(video, count, total, tally)


def _frames(capture: Any, every: int) -> Iterator[tuple[int, Pixels | None]]:
    """Yield the number of each frame, and of every so manieth its pixels in RGB."""
    cv2 = load_opencv()
    number = 0
    while capture.grab():
        pixels: Pixels | None = None
        if number % every == 0:
            is_whole, frame = capture.retrieve()
            if not is_whole:
                return
            pixels = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        yield number, pixels
        number += 1


def _batches(
    frames: Iterator[tuple[int, Pixels | None]],
    video: Video,
    locate: Locate,
    count: _Count,
    most_faces: int,
) -> Iterator[_Waiting]:
    """Yield frames once they have a batch of faces or take too much memory, in the end the rest."""
    waiting = _Waiting()
    for number, pixels in frames:
        count.read = number + 1
        if pixels is None:
            continue
        shot = _shot(video, number, pixels)
        try:
            boxes = located(locate, shot)
            count.without += len(boxes) == 0
        except DataError as error:
            boxes = np.empty((0, 4), dtype=np.float32)
            count.outside += 1
            count.reason = count.reason or str(error)
        waiting.add(shot, pixels, boxes)
        is_full = waiting.faces >= most_faces or waiting.bytes >= _MOST_BYTES
        if is_full or video.path is None:
            yield waiting
            waiting = _Waiting()
    if waiting.shots:
        yield waiting


def _shot(video: Video, number: int, pixels: Pixels) -> Shot:
    height, width, _ = pixels.shape
    return Shot(source=video, frame=number, size=(height, width), pixels=lambda: pixels)


def _seen(
    network: nn.Module, config: Config, waiting: _Waiting, *, total: int | None, fps: float
) -> Iterator[Seen]:
    """Yield the frames with the poses of their faces."""
    of_faces = [
        image
        for image, boxes in zip(waiting.images, waiting.boxes, strict=True)
        for _ in range(len(boxes))
    ]
    poses = predict_faces(network, config, of_faces, np.concatenate(waiting.boxes))
    ends = np.cumsum([len(boxes) for boxes in waiting.boxes])
    parts = np.split(poses, ends[:-1])
    for shot, boxes, part in zip(waiting.shots, waiting.boxes, parts, strict=True):
        assert shot.frame is not None
        yield Seen(shot=shot, boxes=boxes, poses=part, total=total, done=shot.frame + 1, fps=fps)


def _frame_count(capture: Any, cv2: Any) -> int | None:
    """Return how many frames a video says to have; None where it does not."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < 2**40 else None


def _rate(capture: Any, cv2: Any) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0.01 < rate < 10_000 else _USUAL_FPS


def _tell(video: Video, count: _Count, total: int | None, tally: Tally) -> None:
    """Tell what is wrong with a video that was read to its end."""
    if count.without:
        share = f"{count.without:,} of {count.read:,} frames of {video.name}"
        tally.add_without(count.without, share)
    if count.outside:
        more = f", and so on {count.outside - 1:,} more frames" if count.outside > 1 else ""
        tally.add_bad(count.reason + more)
    if video.path is None:
        tally.add_bad(f"{video.name} gives no more frames")
    elif count.read == 0:
        tally.add_bad(f"{video.name} has no frame that can be read")
    elif total is not None and total - count.read > max(1, _GUESSED_SHARE * total):
        tally.add_bad(
            f"{video.name} ends after {count.read:,} of {total:,} frames: it is damaged or cut off"
        )
