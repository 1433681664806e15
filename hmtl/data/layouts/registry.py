"""The layouts that are known, and which of them a folder has."""

import os
from pathlib import Path

from hmtl.data.layouts import aflw2000, biwi, csv, images, packed, w300lp, xgaze
from hmtl.data.layouts.layout import Layout
from hmtl.errors import ConfigError, DataError

LAYOUTS = {
    layout.name: layout
    for layout in (
        w300lp.LAYOUT,
        aflw2000.LAYOUT,
        biwi.LAYOUT,
        xgaze.LAYOUT,
        csv.LAYOUT,
        packed.LAYOUT,
        images.LAYOUT,
    )
}


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without "." and ".."; links are kept as they are named."""
    return Path(os.path.normpath(Path(path).absolute()))


def find_layout(root: Path, name: str | None = None) -> tuple[Layout, Path]:
    """Return the layout of `root`, detected unless it is named, and its absolute location.

    Raises ConfigError for a name that is unknown and DataError when `root` cannot be read or does
    not have the structure of exactly one layout.
    """
    if name is not None and name not in LAYOUTS:
        raise ConfigError(f"unknown layout {name!r}, expected one of {list(LAYOUTS)}")
    root = absolute(root)
    try:
        root.stat()
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror}") from error
    if name is not None:
        return _at(LAYOUTS[name], LAYOUTS[name].find(root) or root)
    found = [
        (layout, location)
        for layout in LAYOUTS.values()
        if (location := layout.find(root)) is not None
    ]
    if not found:
        raise DataError(f"unknown layout of {root}, {_advice(root)}")
    if len(found) > 1:
        fits = " and ".join(f"{layout.name} ({location})" for layout, location in found)
        raise DataError(f"{root} fits {fits}: name the layout or give the folder of one")
    return _at(*found[0])


def _at(layout: Layout, location: Path) -> tuple[Layout, Path]:
    return (layout.at(location) if layout.at else layout), location


def _advice(root: Path) -> str:
    """Return what helps somebody who gave a folder of no known layout, or one within a data set."""
    above = root.parent
    for layout in LAYOUTS.values():
        try:
            location = layout.find(above)
        except (DataError, OSError):
            continue
        # A data set beside `root` may be found from above too.
        if location is not None and above == (location if location.is_dir() else location.parent):
            return f"the folder above is {layout.name}: give {above}"
    examples = (f"{layout.example} ({layout.name})" for layout in LAYOUTS.values())
    return f"looked for {', '.join(examples)}"
