"""`hmtl data index`: the index of a data set, made or looked at."""

import time
from pathlib import Path

import click

from . import options
from .console import printable


@click.command(epilog="Example: hmtl data index 300W_LP")
@options.folder
@options.layout
@options.split
@options.crop
@options.boxes
def index(
    root: Path, layout: str | None, split: str | None, crop: str | None, boxes: Path | None
) -> None:
    """Make the index of DIR where there is none that fits, and tell where it lies.

    Every command makes it when it needs it; made beforehand, the first training starts at once.
    """
    from hmtl.data.index import open_columns
    from hmtl.data.layouts.registry import find_layout
    from hmtl.data.opening import make_request

    started = time.monotonic()
    known, location = find_layout(root, layout)
    request = make_request(known, split=split, crop=crop, boxes=boxes)
    indexed = open_columns(known, location, request)
    seconds = time.monotonic() - started
    state = "fresh" if indexed.reason is None else f"made: {indexed.reason}"
    for packing in indexed.columns.packings:
        click.echo(printable(packing.summary()))
    path = "not kept, as no folder for it can be written to"
    if indexed.path is not None:
        path = printable(str(indexed.path))
    click.echo(f"index: {path}")
    click.echo(f"{known.name}: {len(indexed.columns.extent):,} samples, {seconds:.2f} s, {state}")
