"""300W-LP: `AFW/AFW_134212_1_0.jpg` and its `.mat`, mirrored copies in `AFW_Flip/`."""

import re
from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.crops import HOPENET, VISIBLE, W300LP_MARGINS
from hmtl.data.layouts.layout import Layout
from hmtl.data.layouts.pairs import IMAGE, LABELS, read_pairs
from hmtl.data.layouts.scan import Row, Scan, from_rows, scan_folder, subfolders

FLIP = "_Flip"
PUBLISHED = 61_225
PUBLISHED_WITH_FLIPS = 122_450

_SETS = ("AFW", "HELEN", "IBUG", "LFPW")
_OTHER_FOLDERS = ("Code", "landmarks")
# The yaw step of a rendering: AFW_134212_1_2 is the photo AFW_134212_1, turned by 2 · 5°.
_STEP = re.compile(r"_\d+$")


def _find(root: Path) -> Path | None:
    for folder in (root, root / "300W_LP"):
        for name in _SETS:
            if any(next((folder / (name + end)).glob(f"*{IMAGE}"), None) for end in ("", FLIP)):
                return folder
    return None


def _scan(root: Path) -> Scan:
    rows: list[Row] = []
    for folder in subfolders(root):
        if folder not in _OTHER_FOLDERS:
            rows += scan_folder(root, folder, (IMAGE, LABELS))
    return from_rows(rows)


def _read(root: Path, scan: Scan, crop: str) -> Columns:
    return read_pairs(root, scan, crop=crop, margins=W300LP_MARGINS, subject_of=photo)


def _published(columns: Columns) -> int:
    flipped = any(f"{FLIP}/" in name for name in columns.files)
    return PUBLISHED_WITH_FLIPS if flipped else PUBLISHED


def photo(stem: str) -> str:
    """Return the photo that a sample, named without suffix, was rendered or mirrored from."""
    folder, _, name = stem.rpartition("/")
    return f"{folder.removesuffix(FLIP)}/{_STEP.sub('', name)}"


LAYOUT = Layout(
    name="300w-lp",
    looks_for=f"a folder such as AFW or AFW{FLIP} with {IMAGE} files, here or in 300W_LP",
    crops=(HOPENET, VISIBLE),
    find=_find,
    scan=_scan,
    read=_read,
    published=_published,
)
