"""What a layout is: how a published data set is recognised, listed and read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hmtl.data.columns import Columns
from hmtl.data.layouts.scan import Scan
from hmtl.errors import DataError
from hmtl.pose import Convention


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Which samples of a data set are wanted, and with which boxes."""

    crop: str
    """The crop rule, one of the layout's."""
    split: str | None = None
    """One of the layout's splits; None where it has none."""
    boxes: Path | None = None
    """A published list of face boxes that takes the place of the layout's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with a data set."""

    kind: str
    """What it is about, in one or two words: "label", "image", "pair", "split", ..."""
    path: str
    """The file, below the root of the data set."""
    message: str
    """One whole line that names the file."""
    files: tuple[str, ...] = ()
    """All files of a message about many, which names the first."""


OnProblem = Callable[[Problem], None]


def refuse(problem: Problem) -> NoReturn:
    """Raise DataError: what a problem is to somebody who opens a data set to use it."""
    raise DataError(problem.message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How one published data set lies on disk.

    A location is the folder that the names are below, or the one file that lists them.
    """

    name: str
    looks_for: str
    """What a folder must hold to be taken for this layout, for error messages."""
    example: str
    """The same in a word or two, for a message about all layouts."""
    crops: tuple[str, ...]
    """The crop rules that can be asked for, the default first."""
    splits: tuple[str, ...] = ()
    """The splits that can be asked for, the default first."""
    takes_boxes: bool = False
    """Whether published lists of boxes can take the place of the layout's own."""
    convention: Convention = "euler"
    find: Callable[[Path], Path | None]
    """The location that a folder or file given by the user means, if it fits."""
    scan: Callable[[Path, Request], Scan]
    """Every file below the location that the columns are made from."""
    read: Callable[[Path, Scan, Request, OnProblem], Columns]
    """The columns; a sample that is wrong is told to the last argument and, if that returns, left
    out. DataError where nothing at all can be made of the files."""
    published: Callable[[Columns, Request], int | None] | None = None
    """How many samples the published data set has, of which these columns may be a part; None where
    the request is not for all of a published part."""
    at: Callable[[Path], "Layout"] | None = None
    """The same layout as it is at a location, where its rules differ from place to place."""
    own_index: Callable[[Path], tuple[Path, Columns, str]] | None = None
    """The index that is a part of the data set, its columns and its fingerprint: no other is kept
    beside it. FileNotFoundError where there is none, StaleIndexError where it cannot be used,
    DataError where the files are not those that it is of."""
    verify: Callable[[Path, OnProblem], None] | None = None
    """Everything that can be wrong with the files beside what opening and decoding find."""
    audit: Callable[[Path], list[Problem]] | None = None
    """The files below the location that are listed but not there, of kind "missing file", and
    there but not listed; neither keeps the data set from being opened."""
