"""Packed data sets: `hmtl-packed.npz` beside tar shards in the WebDataset layout.

`hmtl data pack` writes them. Their index is a part of them; where it is lost, or the shards are
somebody else's, the samples are read from the shards: an image and a `.json` label each.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from hmtl.data.columns import Columns
from hmtl.data.crops import BOX
from hmtl.data.index import StaleIndexError
from hmtl.data.layouts.layout import Layout, OnProblem, Problem, Request, refuse
from hmtl.data.layouts.scan import UNREADABLE, Scan, from_rows, scan_folder
from hmtl.data.packing.own_index import INDEX, OwnIndex, read_own_index
from hmtl.data.packing.reading import first_label, read_packing, read_shard
from hmtl.data.packing.record import Packing
from hmtl.data.packing.shards import is_shard
from hmtl.data.packing.table import PackedSample, columns_of
from hmtl.data.packing.verify import verify_index, verify_shards
from hmtl.errors import DataError

_SUFFIX = ".tar"


def _find(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix == _SUFFIX and _is_shard(root) else None
    if (root / INDEX).is_file():
        return root
    shards = _shards(root) if root.is_dir() else []
    return root if shards and (is_shard(shards[0]) or _is_shard(root / shards[0])) else None


def _is_shard(path: Path) -> bool:
    return read_packing(path) is not None or first_label(path) is not None


def _shards(location: Path) -> list[str]:
    """Return the names of the archives, below the folder or the one that was given."""
    if location.is_file():
        return [location.name]
    return [name for name, _, _ in scan_folder(location, "", (_SUFFIX,))]


def _folder(location: Path) -> Path:
    return location.parent if location.is_file() else location


def _at(location: Path) -> Layout:
    packing = _packing(location)
    if packing is not None:
        return replace(
            LAYOUT,
            crops=(packing.crop,),
            splits=(packing.split,) if packing.split else (),
            convention=packing.convention,
        )
    labels = (first_label(_folder(location) / name) for name in _shards(location))
    label = next((label for label in labels if label is not None), None)
    if label is None or label.convention == "euler":
        return LAYOUT
    return replace(LAYOUT, convention="direction")


def _packing(location: Path) -> Packing | None:
    if location.is_dir():
        try:
            return read_own_index(location).columns.packings[0]
        except (FileNotFoundError, StaleIndexError):
            pass
    found = (read_packing(_folder(location) / name) for name in _shards(location))
    return next((packing for packing in found if packing is not None), None)


def _own_index(location: Path) -> tuple[Path, Columns, str]:
    if location.is_file():
        raise FileNotFoundError
    index = read_own_index(location)
    return location / INDEX, _present(location, index, refuse), index.fingerprint


def _present(folder: Path, index: OwnIndex, on_problem: OnProblem) -> Columns:
    """Return the samples of the shards that are there; the others are told.

    Shards are known by their sizes. Their times of change are those of a copy, and what is within
    them has checksums.
    """
    columns = index.columns
    there = np.ones(len(columns.files), dtype=np.bool_)
    for number, name in enumerate(columns.files):
        expected = int(index.sizes[number])
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            there[number] = False
            message = f"cannot read shard {folder / name}: {error.strerror}"
            on_problem(Problem(kind="shard", path=name, message=message))
            continue
        if size != expected:
            message = f"shard has {size:,} bytes, {INDEX} says {expected:,}: {folder / name}"
            on_problem(Problem(kind="shard", path=name, message=message))
    if there.all():
        return columns
    kept = there[columns.extent["file"]]
    taken = {
        name: getattr(columns, name)[kept]
        for name in ("extent", "pose", "face", "box", "subject", "origin")
    }
    return replace(columns, **taken)


def _scan(location: Path, _request: Request) -> Scan:
    folder = _folder(location)
    rows = scan_folder(folder, "", (_SUFFIX,))
    if location.is_file():
        rows = [row for row in rows if row[0] == location.name]
    return from_rows(rows)


def _read(location: Path, scan: Scan, _request: Request, on_problem: OnProblem) -> Columns:
    if location.is_dir():
        try:
            return _present(location, read_own_index(location), on_problem)
        except (FileNotFoundError, StaleIndexError):
            pass
    return _read_shards(_folder(location), scan, on_problem)


def _read_shards(folder: Path, scan: Scan, on_problem: OnProblem) -> Columns:
    samples: list[PackedSample] = []
    packings: dict[Packing | None, str] = {}
    for number, (name, size) in enumerate(zip(scan.names, scan.sizes, strict=True)):
        packings.setdefault(read_packing(folder / name), name)
        try:
            if size == UNREADABLE:
                raise DataError(f"cannot read shard {folder / name}")
            samples += read_shard(folder, number, name, len(samples), on_problem)
        except DataError as error:
            on_problem(Problem(kind="shard", path=name, message=str(error)))
    if len(packings) > 1:
        names = " and ".join(packings.values())
        raise DataError(f"shards of different data sets, {names}: {folder}")
    packing = next(iter(packings), None)
    samples = _of_one_convention(folder, scan, samples, on_problem)
    if not samples:
        raise DataError(f"no samples in {folder}, looked for {LAYOUT.looks_for}")
    return columns_of(samples, scan.names, packing)


def _of_one_convention(
    folder: Path, scan: Scan, samples: list[PackedSample], on_problem: OnProblem
) -> list[PackedSample]:
    """Return the samples whose pose means what the first one's does; the others are told."""
    kept: list[PackedSample] = []
    for sample in samples:
        convention, expected = sample.label.convention, samples[0].label.convention
        if convention == expected:
            kept.append(sample)
            continue
        name = scan.names[sample.file]
        message = (
            f"convention must be {expected!r} as before, got {convention!r}: "
            f"{sample.label.name!r} in {folder / name}"
        )
        on_problem(Problem(kind="label", path=name, message=message))
    return kept


def _verify(location: Path, on_problem: OnProblem) -> None:
    if location.is_file():
        return
    try:
        index = read_own_index(location)
    except (FileNotFoundError, StaleIndexError) as error:
        if _packing(location) is not None or not isinstance(error, FileNotFoundError):
            verify_index(location, error, on_problem)
        return
    verify_shards(location, index, _shards(location), on_problem)


LAYOUT = Layout(
    name="packed",
    looks_for=f"{INDEX}, or {_SUFFIX} files of images with a .json label each",
    example=f"{INDEX} or shard-*{_SUFFIX}",
    crops=(BOX,),
    find=_find,
    at=_at,
    scan=_scan,
    read=_read,
    own_index=_own_index,
    verify=_verify,
)
