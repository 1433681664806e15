"""What passes from step to step: a picture to look at, what was found on it, and what was not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""
Boxes = npt.NDArray[np.float32]
"""(K, 4) x0, y0, x1, y1 in pixels, x1 and y1 exclusive; they may leave the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A JPEG or PNG."""

    name: str
    """The path as it was given, or the folder as given and the path below it."""
    path: Path
    """Absolute."""
    below: str
    """The path below the folder that was given; its name where it was given itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """A video file, or a camera."""

    name: str
    path: Path | None = None
    """Absolute; None for a camera."""
    camera: int = 0

    @property
    def below(self) -> str:
        return self.path.name if self.path else self.name.replace(":", "-")


Source = Picture | Video


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A picture, or a frame of a video, on which faces are to be found."""

    source: Source
    frame: int | None
    """Counted from 0; None for a picture."""
    size: tuple[int, int]
    """Height and width, px."""
    pixels: Callable[[], Pixels]
    """Decodes the picture, unless it is decoded already."""

    @property
    def name(self) -> str:
        return self.source.name if self.frame is None else f"{self.source.name}#{self.frame}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen:
    """A shot with the poses of its K faces; none where no face is on a frame."""

    shot: Shot
    boxes: Boxes
    """(K, 4): what was cropped."""
    poses: npt.NDArray[np.float32]
    """(K, 3) yaw, pitch, roll in degrees; roll NaN where only directions were learnt."""
    total: int | None
    """The number of pictures, or of the video's frames where it says so."""
    done: int
    """How many of them are done by now."""
    fps: float | None = None
    """Frames per second, of those that are looked at."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """Tells and counts what gives no pose."""

    tell: Callable[[str], None]
    """Takes one line."""
    by: object = None
    """The list or the detector that says where faces are."""
    bad: int = 0
    """Pictures and videos that could not be used, in whole or in part."""
    without: int = 0
    """Pictures and frames without a face."""

    def add_bad(self, reason: str) -> None:
        """Count an input that is at fault; the reason names it."""
        self.bad += 1
        self.tell(f"error: {reason}")

    def add_without(self, count: int, where: str) -> None:
        """Count pictures or frames on which there is no face."""
        self.without += count
        self.tell(f"no face on {where}" + (f", by {self.by}" if self.by else ""))
