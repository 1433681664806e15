"""Where the data sets that a table needs lie: below one folder, or as a TOML file says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hmtl.data.layouts.registry import LAYOUTS, absolute, find_layout
from hmtl.errors import ConfigError, DataError
from hmtl.tables import read_toml

_PACKED = "packed"


def find_places(where: Path, needed: Sequence[str]) -> dict[str, Path]:
    """Return the folders of the data sets of the needed layouts.

    `where` is a folder that has them below it or is one of them, or a TOML file of
    `layout = "path"`. DataError says in one line what is missing or there twice.
    """
    found = _read_file(where) if where.is_file() else _look_below(where)
    for layout in needed:
        places = [place for place, name in found.items() if name == layout]
        if len(places) > 1:
            both = " and ".join(map(str, places))
            raise DataError(
                f'{both} are both {layout}: --data FILE.toml with {layout} = "path" names one'
            )
    missing = [layout for layout in needed if layout not in found.values()]
    if missing:
        raise DataError(f"no data set of layout {' and '.join(missing)}: {_told(where, found)}")
    return {name: place for place, name in found.items() if name in needed}


def _look_below(folder: Path) -> dict[Path, str]:
    """Return the layouts of the folders below one, "" for those of none."""
    try:
        below = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_dir())
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    itself = _layout_of(folder)
    if itself is not None and itself[1] == absolute(folder):
        # Its own folders would be taken for data sets.
        return {folder: itself[0]}
    layouts = {path: _layout_of(path) for path in below}
    return {path: layout[0] if layout else "" for path, layout in layouts.items()}


def _layout_of(folder: Path) -> tuple[str, Path] | None:
    try:
        layout, location = find_layout(folder)
    except DataError:
        return None
    return layout.name, location


def _read_file(path: Path) -> dict[Path, str]:
    places: dict[Path, str] = {}
    for layout, place in read_toml(path).items():
        if layout not in LAYOUTS or not isinstance(place, str):
            raise ConfigError(
                f'{path} must have lines of layout = "path" with layouts of {list(LAYOUTS)}, got'
                f" {layout} = {place!r}"
            )
        folder = path.parent / place
        known, _ = find_layout(folder)
        if known.name not in (layout, _PACKED):
            raise DataError(f"{folder} is of layout {known.name}, not {layout} as {path} says")
        places[folder] = layout
    return places


def _told(where: Path, found: Mapping[Path, str]) -> str:
    """Return what was found, in words."""
    if where.is_file():
        return f"{where} has {', '.join(found.values()) or 'nothing'}"
    if list(found) == [where]:
        return f"{where} is {found[where]}: give the folder above"
    folders = [f"{place.name} ({layout or 'unknown'})" for place, layout in found.items()]
    return f"looked in {where}, which has {', '.join(folders) or 'no folders'}"
