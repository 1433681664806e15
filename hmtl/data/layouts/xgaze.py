"""ETH-XGaze: `train/subject0003.h5` and others, normalised face patches, a split in a JSON file.

The labels are directions: normalisation has taken the roll away.
"""

import json
import logging
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import EXTENT_DTYPE, Columns, sample_name
from hmtl.data.crops import BOX
from hmtl.data.layouts.hdf5 import find_dataset, image_extents, open_hdf5, written_rows
from hmtl.data.layouts.layout import Layout, OnProblem, Problem, Request
from hmtl.data.layouts.scan import Row, Scan, from_rows, matching, scan_folder
from hmtl.errors import DataError
from hmtl.pose import from_xgaze

SPLIT_FILE = "train_test_split.json"
IMAGES = "face_patch"
LABELS = "face_head_pose"
SUFFIX = ".h5"

TRAIN, FIT, VAL, TEST, PERSON_SPECIFIC = "train", "fit", "val", "test", "test-person-specific"
# The paper's validation subjects, all of them in the published list of training files.
VAL_FILES = ("subject0108.h5", "subject0109.h5", "subject0111.h5")

# The list in the split file of each split, and the folder; copies differ in the last one's.
_LISTS = {
    TRAIN: ("train",),
    FIT: ("train",),
    VAL: ("train",),
    TEST: ("test",),
    PERSON_SPECIFIC: ("test_person_specific", "test_specific"),
}
_FOLDERS = tuple(dict.fromkeys(name for names in _LISTS.values() for name in names))
_SUBJECT = re.compile(rf"subject.*{re.escape(SUFFIX)}")
# As the authors' scripts and the archives call the folder.
_PLACES = ("", "ETH-XGaze", "xgaze", "xgaze_224", "xgaze_448")
# Angles of float32 may be π rounded up.
_PI = float(np.float32(np.pi))
_TURN_DEG = 360.0

_logger = logging.getLogger(__name__)


class _Subject(NamedTuple):
    """The rows of one file that can be used, and what is wrong with the others."""

    extent: npt.NDArray[Any]
    pose: npt.NDArray[np.float32]
    problems: list[Problem]


def audit(root: Path) -> list[Problem]:
    """Return which files are listed but not there, or there but not listed.

    Neither keeps a copy from being opened: it takes a while until all are there.
    """
    lists = _read_lists(root)
    if lists is None:
        return []
    problems: list[Problem] = []
    for split in (TRAIN, TEST, PERSON_SPECIFIC):
        folder = _folder(root, split)
        there = {name for name, _, _ in _rows(root, folder)}
        listed = {f"{folder}/{name}" for name in _listed(lists, split)}
        for kind, names, said in (
            ("missing file", listed - there, f"file that {SPLIT_FILE} lists is not there"),
            ("unlisted file", there - listed, f"file is not listed in {SPLIT_FILE}"),
        ):
            problems += [
                Problem(kind=kind, path=name, message=f"{said}: {root / name}")
                for name in sorted(names)
            ]
    return problems


def _find(root: Path) -> Path | None:
    for place in _PLACES:
        folder = root / place
        if any(matching(folder / name, _SUBJECT) for name in _FOLDERS):
            return folder
    return None


def _scan(root: Path, request: Request) -> Scan:
    split = request.split or TRAIN
    folder = _folder(root, split)
    there = {row[0]: row for row in _rows(root, folder)}
    lists = _read_lists(root)
    if lists is None:
        names = [name.rpartition("/")[2] for name in there]
        _logger.info("no %s in %s: taking the files in %s", SPLIT_FILE, root, folder)
    else:
        names = _listed(lists, split)
    wanted = sorted(f"{folder}/{name}" for name in names if _belongs(name, split))
    missing = [name for name in wanted if name not in there]
    if missing:
        of_all = f"{len(missing)} of the {len(wanted)} files of split {split!r}"
        _logger.warning("%s are not there, the first is %s", of_all, root / missing[0])
    return from_rows(there[name] for name in wanted if name in there)


def _belongs(name: str, split: str) -> bool:
    """Return whether a file of a split's list belongs to it."""
    return split not in (FIT, VAL) or (name in VAL_FILES) == (split == VAL)


def _folder(root: Path, split: str) -> str:
    names = _LISTS[split]
    return next((name for name in names if (root / name).is_dir()), names[0])


def _rows(root: Path, folder: str) -> list[Row]:
    return scan_folder(root, folder, (SUFFIX,)) if (root / folder).is_dir() else []


def _read_lists(root: Path) -> dict[str, list[str]] | None:
    """Return the lists of the split file, file names by key, or None where there is none."""
    path = root / SPLIT_FILE
    try:
        lists = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(lists, dict):
        raise DataError(f"split file must hold an object of lists, got {lists!r:.40} in {path}")
    return {key: _names(lists[key], key, path) for key in _FOLDERS if key in lists}


def _names(listed: Any, key: str, path: Path) -> list[str]:
    if not isinstance(listed, list):
        raise DataError(f"{key!r} must be a list of file names, got {listed!r:.40} in {path}")
    for name in listed:
        if not (isinstance(name, str) and name.endswith(SUFFIX) and "/" not in name):
            raise DataError(f"{key!r} must list names ending in {SUFFIX}, got {name!r} in {path}")
    twice = next((name for name, count in Counter(listed).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{key!r} must list each file once, got {twice!r} twice in {path}")
    return listed


def _listed(lists: dict[str, list[str]], split: str) -> list[str]:
    """Return the file names in the list of a split; none where there is no such list."""
    return next((lists[key] for key in _LISTS[split] if key in lists), [])


def _read(root: Path, scan: Scan, request: Request, on_problem: OnProblem) -> Columns:
    files: list[str] = []
    extents: list[npt.NDArray[Any]] = [np.empty(0, dtype=EXTENT_DTYPE)]
    poses = [np.empty((0, 3), dtype=np.float32)]
    if not scan.names:
        on_problem(_no_files(root, request))
    for name in scan.names:
        try:
            subject = _read_subject(root, name)
        except DataError as error:
            on_problem(Problem(kind="file", path=name, message=str(error)))
            continue
        for problem in subject.problems:
            on_problem(problem)
        subject.extent["file"] = len(files)
        files.append(name)
        extents.append(subject.extent)
        poses.append(subject.pose)
    extent = np.concatenate(extents)
    face = np.zeros((len(extent), 4), dtype=np.float32)
    face[:, 2], face[:, 3] = extent["width"], extent["height"]
    return Columns(
        files=tuple(files),
        extent=extent,
        pose=np.concatenate(poses),
        face=face,
        box=face,
        subject=extent["file"].astype(np.int32),
        subjects=tuple(PurePosixPath(name).stem for name in files),
    )


def _no_files(root: Path, request: Request) -> Problem:
    split = request.split or TRAIN
    folder = _folder(root, split)
    known = f" ({', '.join(VAL_FILES)})" if split == VAL else ""
    listed = f" that {SPLIT_FILE} lists" if (root / SPLIT_FILE).exists() else ""
    message = f"no files of split {split!r}{known}{listed} in {root / folder}"
    return Problem(kind="split", path=folder, message=message)


def _read_subject(root: Path, name: str) -> _Subject:
    path = root / name
    with open_hdf5(path) as file:
        extent = image_extents(file, IMAGES)
        labels = find_dataset(file, LABELS)
        if labels.dtype.kind != "f" or labels.shape != (len(extent), 2):
            raise DataError(
                f"data set {LABELS} must be float of shape ({len(extent)}, 2), as {IMAGES} has "
                f"{len(extent)} images, got {labels.dtype} {labels.shape} in {path}"
            )
        angles = labels[()].astype(np.float64)
        labelled = written_rows(labels) | (extent["size"] == 0)
    valid = labelled & (np.abs(angles) <= _PI).all(axis=1)
    in_degrees = ((np.abs(angles) > 2.0 * _PI) & (np.abs(angles) <= _TURN_DEG)).any()
    hint = " (these look like degrees)" if in_degrees else ""
    problems: list[Problem] = []
    for row in np.flatnonzero(~valid).tolist():
        found = angles[row].tolist() if labelled[row] else "none"
        got = f"got {found}{hint} in row {row} of {path}"
        message = f"{LABELS} must be two angles in radians within ±π, {got}"
        problems.append(Problem(kind="label", path=sample_name(name, row), message=message))
    pose = from_xgaze(angles[valid]).astype(np.float32)
    return _Subject(extent=extent[valid], pose=pose, problems=problems)


LAYOUT = Layout(
    name="eth-xgaze",
    looks_for=f"{' or '.join(_FOLDERS)} with subject*{SUFFIX} files, here or in "
    f"{' or '.join(_PLACES[1:])}",
    example=f"{TRAIN}/subject*{SUFFIX}",
    crops=(BOX,),
    splits=tuple(_LISTS),
    convention="direction",
    find=_find,
    scan=_scan,
    read=_read,
    audit=audit,
)
