"""`hmtl data rechunk`: an HDF5 file rewritten so that images can be read one by one."""

from pathlib import Path

import click

from . import options
from .console import printable, progress


@click.command(epilog="Example: hmtl data rechunk subject0000.h5 rechunked/subject0000.h5")
@click.argument("source", metavar="IN", type=options.PATH)
@click.argument("target", metavar="OUT", type=options.PATH)
def rechunk(source: Path, target: Path) -> None:
    """Copy the HDF5 file IN to OUT with each image in an LZF chunk of its own.

    For files whose chunks hold several images or parts of one, which cannot be read image by image.
    """
    from hmtl.data.rechunk import rechunk as copy

    with progress() as show:
        copy(source, target, lambda done, total: show("copying images", done, total))
    click.echo(f"{printable(str(target))} written")
