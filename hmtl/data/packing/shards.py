"""Shards written one after the other, in a folder that takes its name when it is whole."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hmtl.data.packing import tar
from hmtl.data.packing.own_index import INDEX
from hmtl.durable import sync
from hmtl.errors import ConfigError, DataError

SHARD = "shard-{:06d}.tar"
_OURS = re.compile(r"shard-\d{6,}\.tar|" + re.escape(INDEX))
_PARTIAL = ".partial"


def is_shard(name: str) -> bool:
    """Return whether a file has the name of a shard that was packed here."""
    return name != INDEX and _OURS.fullmatch(name) is not None


class ShardWriter:
    """Writes samples into shards of about so many bytes."""

    def __init__(self, folder: Path, limit: int, comment: str) -> None:
        self._folder = folder
        self._limit = limit
        self._comment = tar.comment(comment)
        self._file: BinaryIO | None = None
        self._offset = self._crc = 0
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.crcs: list[int] = []

    def add(self, members: list[tuple[str, bytes]]) -> tuple[int, int]:
        """Write the members of one sample; return its shard and where the first one's bytes begin.

        A shard is closed before it would become larger than the limit; one sample always fits.
        """
        blocks = [tar.member(name, content) for name, content in members]
        size = sum(map(len, blocks))
        if self._file is None or self._offset + size > self._limit:
            self.close()
            self._begin()
        start = self._offset + tar.BLOCK
        for block in blocks:
            self._write(block)
        return len(self.names) - 1, start

    def close(self) -> None:
        """Close the shard at hand, if there is one."""
        if self._file is None:
            return
        self._write(tar.end(self._offset))
        self._file.close()
        self._file = None
        self.sizes.append(self._offset)
        self.crcs.append(self._crc)

    def abandon(self) -> None:
        """Close the file and no more."""
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self.names.append(SHARD.format(len(self.names)))
        self._file = (self._folder / self.names[-1]).open("xb")
        self._offset = self._crc = 0
        self._write(self._comment)

    def _write(self, block: bytes) -> None:
        assert self._file is not None
        self._file.write(block)
        self._offset += len(block)
        self._crc = zlib.crc32(block, self._crc)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that takes its place at the end of the block, as a whole.

    It does once all its bytes are on the disk, so that a failing machine leaves no part of it.

    `target` must be an empty folder or not be there (ConfigError). What an interrupted call left is
    removed; one that another process writes at the moment is refused.
    """
    # The name of `.` is empty.
    target = target.absolute()
    _demand_empty(target)
    if not target.parent.is_dir():
        raise DataError(f"cannot write {target}: there is no folder {target.parent}")
    partial = target.with_name(target.name + _PARTIAL)
    with _writing(target), _locked(partial, target):
        _clear(partial)
        try:
            yield partial
            for path in (*partial.iterdir(), partial):
                sync(path)
            _demand_empty(target)
            partial.rename(target)
            sync(target.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise _not_empty(target) from error
        raise DataError(f"cannot write {target}: {error.strerror}") from error


@contextlib.contextmanager
def _locked(folder: Path, target: Path) -> Iterator[None]:
    """Make a folder, if it is not there, and keep all others from writing to it."""
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise ConfigError(f"folder {folder} is in the way: it is no folder") from error
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have finished, and given the folder its name, before it was ours.
            is_ours = os.path.samestat(os.fstat(descriptor), folder.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:
            raise ConfigError(f"another process is writing {target}")
        yield
    finally:
        os.close(descriptor)


def _demand_empty(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise _not_empty(target)
    if target.is_dir() and any(target.iterdir()):
        raise _not_empty(target)


def _not_empty(target: Path) -> ConfigError:
    return ConfigError(f"target must be an empty folder or not be there, got {target}")


def _clear(folder: Path) -> None:
    """Remove what an interrupted call left; ConfigError for anything else."""
    for path in folder.iterdir():
        if not _OURS.fullmatch(path.name):
            raise ConfigError(f"folder {folder} is in the way: it holds {path.name}")
    for path in folder.iterdir():
        path.unlink()
