"""The one way to open a data set: layout detected, request checked, index used."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import CODEC_OF_SUFFIX
from hmtl.data.dataset import Dataset
from hmtl.data.index import MISSING, open_columns
from hmtl.data.layouts.layout import Layout, Request
from hmtl.data.layouts.registry import find_layout
from hmtl.errors import ConfigError, DataError

_logger = logging.getLogger(__name__)


def open_dataset(
    root: str | os.PathLike[str],
    layout: str | None = None,
    split: str | None = None,
    crop: str | None = None,
    boxes: str | os.PathLike[str] | None = None,
    names: Iterable[str] | str | os.PathLike[str] | None = None,
) -> Dataset:
    """Open a data set as published; the layout is detected and the index cached.

    `crop` and `split` are a rule and a split of the layout ("" or None for its default), `boxes` a
    published list of face boxes, for layouts without boxes of their own. `names` selects samples:
    their paths below the root, with or without extension, or a text file with one in each line.
    Raises ConfigError for an argument that the layout does not know and DataError for data that are
    missing or wrong.
    """
    known, location = find_layout(Path(root), layout)
    request = make_request(known, split=split, crop=crop, boxes=boxes)
    indexed = open_columns(known, location, request)
    if indexed.reason not in (None, MISSING):
        _logger.warning("index of %s made anew: %s", location, indexed.reason)
    columns = indexed.columns
    dataset = Dataset(
        root=location if location.is_dir() else location.parent,
        layout=known.name,
        crop=request.crop,
        files=columns.files,
        extent=columns.extent,
        pose=columns.pose,
        face=columns.face,
        box=columns.box,
        subject=columns.subject,
        subjects=columns.subjects,
        convention=known.convention,
        split=request.split,
        boxes=columns.boxes,
        origin=columns.origin,
        origins=columns.origins,
        packings=columns.packings,
        fingerprint=indexed.fingerprint,
    )
    found = f"{len(dataset):,} samples"
    published = known.published(columns, request) if known.published else None
    if published is not None:
        found = f"{len(dataset):,} of the published {published:,} samples"
    _logger.info("%s (%s): %s", location, known.name, found)
    return dataset if names is None else dataset.subset(_named(dataset, names))


def make_request(
    layout: Layout,
    *,
    split: str | None = None,
    crop: str | None = None,
    boxes: str | os.PathLike[str] | None = None,
) -> Request:
    """Return the request with the layout's defaults; ConfigError for what it does not know."""
    if boxes is not None and not layout.takes_boxes:
        raise ConfigError(f"layout {layout.name!r} has boxes of its own, got boxes={str(boxes)!r}")
    if split and not layout.splits:
        raise ConfigError(f"layout {layout.name!r} has no splits, got split={split!r}")
    return Request(
        crop=_choose("crop rule", crop, layout.crops, layout) or "",
        split=_choose("split", split, layout.splits, layout),
        boxes=None if boxes is None else Path(boxes).absolute(),
    )


def _choose(what: str, value: str | None, known: tuple[str, ...], layout: Layout) -> str | None:
    """Return `value` or the first that is known, None where none is."""
    if value and value not in known:
        raise ConfigError(
            f"unknown {what} {value!r} of layout {layout.name!r}, expected one of {list(known)}"
        )
    return value or next(iter(known), None)


def _named(
    dataset: Dataset, names: Iterable[str] | str | os.PathLike[str]
) -> npt.NDArray[np.bool_]:
    """Return the mask of the samples that are listed, as `open_dataset` says."""
    paths = dataset.name
    stems = [_without_extension(path) for path in paths]
    # The lists of BIWI in use name frames, not pictures.
    frames = [stem.removesuffix("_rgb") for stem in stems]
    known = {*paths, *stems, *frames}
    above = f"{dataset.root.name}/"
    listed = (name if name in known else name.removeprefix(above) for name in _listed(names))
    wanted = set(listed)
    place = f" ({names})" if isinstance(names, str | os.PathLike) else ""
    if not wanted:
        raise DataError(f"no names are listed{place}")
    if unknown := sorted(wanted.difference(known)):
        raise DataError(
            f"{len(unknown)} of {len(wanted)} listed names are not in {dataset.root}, "
            f"the first is {unknown[0]!r}{place}"
        )
    rows = zip(paths, stems, frames, strict=True)
    return np.array([not wanted.isdisjoint(aliases) for aliases in rows])


def _listed(names: Iterable[str] | str | os.PathLike[str]) -> Iterable[str]:
    if isinstance(names, str | os.PathLike):
        try:
            lines: Iterable[str] = Path(names).read_text("utf-8-sig", "surrogateescape").split("\n")
        except OSError as error:
            raise DataError(f"cannot read list of names {names}: {error.strerror}") from error
    else:
        lines = names
    return (line.strip().removeprefix("./") for line in lines if line.strip())


def _without_extension(path: str) -> str:
    stem, dot, extension = path.rpartition(".")
    return stem if f"{dot}{extension}".lower() in CODEC_OF_SUFFIX else path
