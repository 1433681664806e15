"""`hmtl data pack`: the faces of a data set as tar shards, made to be read fast."""

from pathlib import Path

import click

from . import options
from .console import printable, progress

_MIB = 1 << 20


@click.command(epilog="Example: hmtl data pack 300W_LP 300W_LP-256 --size 256")
@click.argument("root", metavar="DATA", type=options.PATH)
@click.argument("out", metavar="OUT", type=options.PATH)
@options.layout
@options.split
@options.crop
@options.boxes
@click.option(
    "--size",
    metavar="PX",
    type=int,
    help="Longest side of a stored crop; 256 by default. Small crops are not enlarged.",
)
@click.option(
    "--margin",
    metavar="F",
    type=float,
    help="Largest factor on the margin round the face that training draws; 4/3 by default.",
)
@click.option(
    "--fit",
    type=click.Choice(["short-side", "stretch"]),
    help="What of a crop to keep: its centred square (the default), or all of it.",
)
@click.option("--quality", type=int, help="Of JPEG, 1 to 100; 80 by default.")
@click.option(
    "--codec",
    type=click.Choice(["jpeg", "raw"]),
    help="JPEG (the default), or raw pixels: ten times the bytes, nothing to decode.",
)
@click.option("--shard-mb", metavar="N", type=int, help="Size of a shard in MiB; 256 by default.")
@click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of threads; 0 is one per core.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out and name what cannot be read.")
def pack(
    root: Path,
    out: Path,
    layout: str | None,
    split: str | None,
    crop: str | None,
    boxes: Path | None,
    shard_mb: int | None,
    workers: int,
    skip_bad: bool,
    **settings: object,
) -> None:
    """Write the faces of DATA into the folder OUT, as tar shards and an index.

    OUT opens like any data set, and its shards are read by plain `webdataset`. Of each image that
    part is kept which the training crops of the presets can reach; --margin and --fit change that.
    OUT must be empty or not be there; in the end it is whole, or not there.
    """
    from hmtl.data import open_dataset
    from hmtl.data.pack import pack as write

    chosen = {name: value for name, value in settings.items() if value is not None}
    if shard_mb is not None:
        chosen["shard_bytes"] = shard_mb * _MIB
    data = open_dataset(root, layout=layout, split=split, crop=crop, boxes=boxes)
    with progress() as show:
        written = write(
            data,
            out,
            skip_bad=skip_bad,
            threads=workers,
            on_progress=lambda done, total: show("packing", done, total),
            **chosen,  # type: ignore[arg-type]
        )
    left_out = f", {len(written.skipped):,} left out" if written.skipped else ""
    shards = f"{written.shards:,} shard{'s' * (written.shards != 1)}"
    click.echo(
        f"{written.samples:,} samples in {shards} of {written.size / _MIB:,.1f} MiB{left_out}: "
        f"{printable(str(out))}"
    )
