"""AFLW2000-3D: `image00002.jpg` and its `.mat`, all in one folder."""

import re
from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.crops import AFLW2000_MARGINS, HOPENET, VISIBLE
from hmtl.data.layouts.layout import Layout
from hmtl.data.layouts.pairs import IMAGE, LABELS, read_pairs
from hmtl.data.layouts.scan import Scan, from_rows, scan_folder

PUBLISHED = 2_000

_NAME = re.compile(r"image\d+\.jpg")


def _find(root: Path) -> Path | None:
    for folder in (root, root / "AFLW2000"):
        for path in folder.glob(f"image*{IMAGE}"):
            if _NAME.fullmatch(path.name) and path.with_suffix(LABELS).exists():
                return folder
    return None


def _scan(root: Path) -> Scan:
    return from_rows(scan_folder(root, "", (IMAGE, LABELS)))


def _read(root: Path, scan: Scan, crop: str) -> Columns:
    return read_pairs(root, scan, crop=crop, margins=AFLW2000_MARGINS, subject_of=str)


LAYOUT = Layout(
    name="aflw2000",
    looks_for=f"imageNNNNN{IMAGE} with imageNNNNN{LABELS}, here or in AFLW2000",
    crops=(HOPENET, VISIBLE),
    find=_find,
    scan=_scan,
    read=_read,
    published=lambda _: PUBLISHED,
)
