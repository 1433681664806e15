"""What a layout is: how a published data set is recognised, listed and read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hmtl.data.columns import Columns
from hmtl.data.layouts.scan import Scan


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How one published data set lies on disk.

    A location is the folder that the names are below, or the one file that lists them.
    """

    name: str
    looks_for: str
    """What a folder must hold to be taken for this layout, for error messages."""
    crops: tuple[str, ...]
    """The crop rules that can be asked for, the default first."""
    find: Callable[[Path], Path | None]
    """The location that a folder or file given by the user means, if it fits."""
    scan: Callable[[Path], Scan]
    """Every file that the columns are made from."""
    read: Callable[[Path, Scan, str], Columns]
    """The columns of (location, scan, crop rule); DataError names the file that is wrong."""
    published: Callable[[Columns], int] | None = None
    """How many samples the published data set has, of which these columns may be a part."""
