"""300W-LP: `AFW/AFW_134212_1_0.jpg` and its `.mat`, mirrored copies in `AFW_Flip/`."""

import re
from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.crops import FSANET, HOPENET, LANDMARKS, VISIBLE, W300LP_MARGINS
from hmtl.data.layouts import landmarks
from hmtl.data.layouts.layout import Layout, OnProblem, Request
from hmtl.data.layouts.pairs import IMAGE, LABELS, read_pairs
from hmtl.data.layouts.scan import Scan, matching, scan_folders, subfolders
from hmtl.errors import DataError

FLIP = "_Flip"
PUBLISHED = 61_225
PUBLISHED_WITH_FLIPS = 122_450

_LOOKS_FOR = f"a folder such as AFW or AFW{FLIP} with {IMAGE} files, here or in 300W_LP"
_SETS = ("AFW", "HELEN", "IBUG", "LFPW")
_OTHER_FOLDERS = ("Code", landmarks.FOLDER)
_IMAGE = re.compile(rf".*{re.escape(IMAGE)}")
# The yaw step of a rendering: AFW_134212_1_2 is the photo AFW_134212_1, turned by 2 · 5°.
_STEP = re.compile(r"_\d+$")


def _find(root: Path) -> Path | None:
    for folder in (root, root / "300W_LP"):
        for name in _SETS:
            if any(matching(folder / (name + end), _IMAGE) for end in ("", FLIP)):
                return folder
    return None


def _scan(root: Path, request: Request) -> Scan:
    folders = [name for name in subfolders(root) if name not in _OTHER_FOLDERS]
    scan = scan_folders(root, folders, (IMAGE, LABELS))
    return scan + _scan_landmarks(root) if request.crop == LANDMARKS else scan


def _scan_landmarks(root: Path) -> Scan:
    if not (root / landmarks.FOLDER).is_dir():
        raise DataError(f"crop rule {LANDMARKS!r} needs the folder {root / landmarks.FOLDER}")
    folders = [f"{landmarks.FOLDER}/{name}" for name in subfolders(root / landmarks.FOLDER)]
    return scan_folders(root, folders, (landmarks.SUFFIX,))


def _without_landmarks(scan: Scan) -> tuple[Scan, list[str]]:
    """Return the scan of the pairs and the names behind them, which are those of the landmarks."""
    count = sum(not name.startswith(f"{landmarks.FOLDER}/") for name in scan.names)
    pairs = Scan(names=scan.names[:count], sizes=scan.sizes[:count], mtimes=scan.mtimes[:count])
    return pairs, scan.names[count:]


def _read(root: Path, scan: Scan, request: Request, on_problem: OnProblem) -> Columns:
    face_of = None
    if request.crop == LANDMARKS:
        scan, points = _without_landmarks(scan)
        face_of = landmarks.landmark_faces(root, points, FLIP)
    return read_pairs(
        root,
        scan,
        crop=request.crop,
        margins=W300LP_MARGINS,
        looks_for=_LOOKS_FOR,
        subject_of=photo,
        on_problem=on_problem,
        face_of=face_of,
    )


def _published(columns: Columns, _request: Request) -> int:
    flipped = any(f"{FLIP}/" in name for name in columns.files)
    return PUBLISHED_WITH_FLIPS if flipped else PUBLISHED


def photo(stem: str) -> str:
    """Return the photo that a sample, named without suffix, was rendered or mirrored from."""
    folder, _, name = stem.rpartition("/")
    return f"{folder.removesuffix(FLIP)}/{_STEP.sub('', name)}"


LAYOUT = Layout(
    name="300w-lp",
    looks_for=_LOOKS_FOR,
    example=f"AFW/*{IMAGE}",
    crops=(HOPENET, VISIBLE, LANDMARKS, FSANET),
    find=_find,
    scan=_scan,
    read=_read,
    published=_published,
)
