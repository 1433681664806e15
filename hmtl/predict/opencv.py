"""OpenCV, for videos, cameras and YuNet; it need not be installed."""

import contextlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hmtl.errors import ConfigError


def require_opencv(what: str) -> None:
    """Raise ConfigError, which says what it is for, unless OpenCV is installed and can be used."""
    if not importlib.util.find_spec("cv2"):
        raise ConfigError(f"{what} needs OpenCV: pip install 'hmtl[video]'")
    load_opencv()


def load_opencv() -> Any:
    """Import OpenCV, for who uses it: it takes a tenth of a second.

    ConfigError where it is installed and cannot be imported.
    """
    # It and its FFmpeg would print a line on stderr for each damaged block, beside our own.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        # It lacks a library of the system, or was built for another NumPy.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(f"OpenCV is installed, but cannot be used: {reason}") from error


@contextlib.contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """Yield a name by which OpenCV finds a file, or makes it.

    It takes text only, and "%" for the number of a picture in a row of them.
    """
    name = os.fspath(path)
    if name.isascii() and "%" not in name:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        suffix = path.suffix if path.suffix.isascii() and "%" not in path.suffix else ""
        link = Path(folder) / f"video{suffix}"
        link.symlink_to(path.absolute())
        yield os.fspath(link)
