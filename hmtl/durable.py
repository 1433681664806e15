"""What was written reaches the disk before more is said of it, and a file is there whole or not."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hmtl.errors import RunError


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file takes the place of `path` once it is on the disk.

    RunError says what the system did not allow, such as a full disk; `path` is then as it was.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except Exception as error:
        refused = _refused_by_system(error)
        if refused is None:
            raise
        raise RunError(f"cannot write {path}: {refused}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def discard_leftovers(*paths: Path) -> None:
    """Remove what writers of these files left when they were killed; none may be at work."""
    for path in paths:
        _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _refused_by_system(error: BaseException | None) -> str | None:
    """Return what the operating system said, also where a library hid it behind its own error."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None
