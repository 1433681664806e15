"""A folder of drawn pictures and videos."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from hmtl.errors import ConfigError, DataError
from hmtl.pose import Convention
from hmtl.predict.drawing import draw_faces
from hmtl.predict.opencv import load_opencv, plain_path
from hmtl.predict.shots import Seen, Video

_QUALITY = 95
_VIDEO_SUFFIX, _VIDEO_CODEC = ".mp4", "mp4v"


def check_folder(folder: Path, given: Sequence[str]) -> None:
    """Raise ConfigError for a folder that is in use, or that lies in an input.

    Nothing is written over what is there, and no drawing is taken for an input the next time.
    """
    if folder.is_symlink() or folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"drawings go into a folder, got the file {folder}")
        if any(folder.iterdir()):
            raise ConfigError(f"a folder for drawings must be empty or not be there, got {folder}")
    for text in given:
        if Path(text).is_dir() and folder.resolve().is_relative_to(Path(text).resolve()):
            raise ConfigError(f"drawings must not go into the input {text}, got {folder}")


class Drawings:
    """Draws on copies of pictures and videos, under the names that they have below their folder.

    A name that is taken gets a number: face.jpg, face-2.jpg. Videos become MP4.
    """

    def __init__(self, folder: Path, convention: Convention) -> None:
        self._folder = folder
        self._convention = convention
        self._taken: set[str] = set()
        self._video: Video | None = None
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0
        self._open = contextlib.ExitStack()

    def add(self, seen: Seen) -> None:
        """Draw on a picture or on the next frame of a video; DataError where it cannot be kept."""
        shot = seen.shot
        image = draw_faces(shot.pixels(), seen.boxes, seen.poses, self._convention)
        if isinstance(shot.source, Video):
            if shot.source != self._video:
                self.close()
                self._begin(shot.source, image.size, seen.fps or 1.0)
            self._append(image)
            return
        target = self._target(shot.source.below)
        is_png = target.suffix.lower() == ".png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target, "PNG" if is_png else "JPEG", quality=_QUALITY)
        except OSError as error:
            raise DataError(f"cannot write {target}: {error.strerror or error}") from error

    def close(self) -> None:
        """Finish the video at hand, if there is one; DataError where not all of it is on disk."""
        self._video = None
        self._open.close()

    def _begin(self, video: Video, size: tuple[int, int], fps: float) -> None:
        cv2 = load_opencv()
        target = self._target(str(PurePosixPath(video.below).with_suffix(_VIDEO_SUFFIX)))
        target.parent.mkdir(parents=True, exist_ok=True)
        name = self._open.enter_context(plain_path(target))
        writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*_VIDEO_CODEC), fps, size)
        if not writer.isOpened():
            raise DataError(f"cannot write the video {target}")
        self._video, self._writer, self._size, self._written = video, writer, size, 0
        self._open.callback(self._finish, name, target)

    def _finish(self, name: str, target: Path) -> None:
        """Complete a video, and look whether it has its frames: OpenCV tells of no full disk."""
        cv2 = load_opencv()
        self._writer.release()
        capture = cv2.VideoCapture(name)
        found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        # What ends the job may come between a frame and its count: then the file has one more.
        if found < self._written:
            raise DataError(
                f"cannot write the video {target}: it has {found:,} of {self._written:,} frames,"
                " as on a full disk"
            )

    def _append(self, image: Image.Image) -> None:
        cv2 = load_opencv()
        # A video has frames of one size, and OpenCV drops others without a word.
        fitting = image if image.size == self._size else image.resize(self._size)
        self._writer.write(cv2.cvtColor(np.asarray(fitting), cv2.COLOR_RGB2BGR))
        self._written += 1

    def _target(self, below: str) -> Path:
        """Return the path of a drawing that no other has."""
        stem, suffix = os.path.splitext(below)  # noqa: PTH122 — keeps the folders
        name, number = below, 2
        while name in self._taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self._taken.add(name)
        return self._folder / name
