"""Reading a data set as `hmtl data check` does: what is wrong is collected, not raised."""

from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.layouts.layout import Problem
from hmtl.data.layouts.registry import find_layout
from hmtl.data.opening import make_request


def read_collecting(
    root: Path,
    layout: str | None = None,
    *,
    split: str | None = None,
    crop: str | None = None,
    boxes: Path | None = None,
) -> tuple[Columns, list[Problem]]:
    """Return what can be read of a data set, and what is wrong with it."""
    found, location = find_layout(root, layout)
    request = make_request(found, split=split, crop=crop, boxes=boxes)
    problems: list[Problem] = []
    scan = found.scan(location, request)
    return found.read(location, scan, request, problems.append), problems
