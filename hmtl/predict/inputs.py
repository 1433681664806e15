"""What was given: pictures, folders of them, video files, cameras."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hmtl.data.columns import CODEC_OF_SUFFIX
from hmtl.data.layouts.images import LAYOUT as IMAGES
from hmtl.data.layouts.layout import Request
from hmtl.errors import DataError
from hmtl.predict.shots import Picture, Source, Video

VIDEO_SUFFIXES = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
_CAMERA = re.compile(r"webcam(?::(\d{1,4}))?")


def find_inputs(given: Sequence[str]) -> list[Source]:
    """Return pictures and videos in the order given, those of a folder by name, each file once.

    DataError for what is not there, for a file of another kind and a folder without pictures.
    """
    found: dict[object, Source] = {}
    for text in given:
        for source in _sources(text):
            found.setdefault(source.path or source.name, source)
    return list(found.values())


def _sources(text: str) -> Iterator[Source]:
    if match := _CAMERA.fullmatch(text):
        number = int(match[1] or 0)
        yield Video(name=f"webcam:{number}", camera=number)
        return
    path = Path(os.path.abspath(text))  # noqa: PTH100 — links keep their names
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _pictures_below(text, path)
    elif not path.exists():
        raise DataError(f"there is no file or folder {text}")
    elif suffix in CODEC_OF_SUFFIX:
        yield Picture(name=text, path=path, below=path.name)
    elif suffix in VIDEO_SUFFIXES:
        yield Video(name=text, path=path)
    else:
        kinds = ", ".join((*CODEC_OF_SUFFIX, *VIDEO_SUFFIXES))
        raise DataError(f"a picture or video must end in one of {kinds}, got {text}")


def _pictures_below(text: str, root: Path) -> Iterator[Picture]:
    """Yield what the layout `images` takes for samples, in its order."""
    names = IMAGES.scan(root, Request(crop=IMAGES.crops[0])).names
    if not names:
        raise DataError(f"no pictures in {text}, looked for {IMAGES.looks_for}")
    for name in names:
        yield Picture(name=os.path.join(text, name), path=root / name, below=name)  # noqa: PTH118
