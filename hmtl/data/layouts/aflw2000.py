"""AFLW2000-3D: `image00002.jpg` and its `.mat`, all in one folder."""

import re
from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.crops import AFLW2000_MARGINS, FSANET, HOPENET, VISIBLE
from hmtl.data.layouts.layout import Layout, OnProblem, Request
from hmtl.data.layouts.pairs import IMAGE, LABELS, read_pairs
from hmtl.data.layouts.scan import Scan, matching, scan_folders

PUBLISHED = 2_000

_LOOKS_FOR = f"imageNNNNN{IMAGE} with imageNNNNN{LABELS}, here or in AFLW2000"
_NAME = re.compile(rf"image\d+({re.escape(IMAGE)}|{re.escape(LABELS)})")


def _find(root: Path) -> Path | None:
    for folder in (root, root / "AFLW2000"):
        names = set(matching(folder, _NAME))
        if any(name.endswith(IMAGE) and name.replace(IMAGE, LABELS) in names for name in names):
            return folder
    return None


def _scan(root: Path, _request: Request) -> Scan:
    return scan_folders(root, [""], (IMAGE, LABELS))


def _read(root: Path, scan: Scan, request: Request, on_problem: OnProblem) -> Columns:
    return read_pairs(
        root,
        scan,
        crop=request.crop,
        margins=AFLW2000_MARGINS,
        looks_for=_LOOKS_FOR,
        subject_of=str,
        on_problem=on_problem,
    )


LAYOUT = Layout(
    name="aflw2000",
    looks_for=_LOOKS_FOR,
    example=f"image*{IMAGE} with {LABELS}",
    crops=(HOPENET, VISIBLE, FSANET),
    find=_find,
    scan=_scan,
    read=_read,
    published=lambda _columns, _request: PUBLISHED,
)
