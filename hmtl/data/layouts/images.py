"""Pictures without labels: every JPEG and PNG below a folder, each one face.

Never found by itself, as almost any folder has pictures in it: labels that are there but not
understood would be passed over in silence.
"""

import os
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np

from hmtl.data.columns import CODEC_OF_SUFFIX, Columns, file_extents
from hmtl.data.crops import BOX
from hmtl.data.layouts.files import SampleError, codec_of, image_size, unreadable
from hmtl.data.layouts.layout import Layout, OnProblem, Request
from hmtl.data.layouts.scan import UNREADABLE, Scan, scan_folders
from hmtl.data.parallel import in_order
from hmtl.errors import DataError

NAME = "images"
_SUFFIXES = tuple(CODEC_OF_SUFFIX)
_LOOKS_FOR = f"{', '.join(_SUFFIXES)} files, here or in the folders below"


def _find(_root: Path) -> None:
    return None


def _scan(root: Path, _request: Request) -> Scan:
    return scan_folders(root, _folders(root), (*_SUFFIXES, *map(str.upper, _SUFFIXES)))


def _folders(root: Path) -> list[str]:
    """Return `root` ("") and all folders below it, but hidden ones and what links lead to."""
    found = []
    for path, below, _ in os.walk(root, onerror=_refuse):
        below[:] = [name for name in below if name[0] not in "_."]
        folder = os.path.relpath(path, root)
        found.append("" if folder == os.curdir else PurePosixPath(folder).as_posix())
    return found


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


def _read(root: Path, scan: Scan, _request: Request, on_problem: OnProblem) -> Columns:
    if not scan.names:
        raise DataError(f"no pictures in {root}, looked for {_LOOKS_FOR}")

    def size(row: int) -> tuple[int, int] | SampleError:
        name = scan.names[row]
        try:
            if scan.sizes[row] == UNREADABLE:
                raise unreadable("image", root, name)
            return image_size(root, name)
        except SampleError as error:
            return error

    rows: list[int] = []
    sides: list[tuple[int, int]] = []
    with closing(in_order(size, len(scan.names), threads=0)) as found:
        for row, answer in enumerate(found):
            if isinstance(answer, SampleError):
                on_problem(answer.problem)
            else:
                rows.append(row)
                sides.append(answer)
    names = [scan.names[row] for row in rows]
    height, width = np.asarray(sides, dtype=np.float32).reshape(-1, 2).T
    whole = np.stack([np.zeros_like(width), np.zeros_like(width), width, height], axis=1)
    return Columns(
        files=tuple(names),
        extent=file_extents([scan.sizes[row] for row in rows], [codec_of(name) for name in names]),
        pose=np.full((len(rows), 3), np.nan, dtype=np.float32),
        face=whole,
        box=whole,
        # Nothing is known of who is on a picture: each is a subject of its own.
        subject=np.arange(len(rows), dtype=np.int32),
        subjects=tuple(os.path.splitext(name)[0] for name in names),  # noqa: PTH122 — no Path of each
    )


LAYOUT = Layout(
    name=NAME,
    looks_for=_LOOKS_FOR,
    example="pictures without labels if named",
    crops=(BOX,),
    find=_find,
    scan=_scan,
    read=_read,
)
