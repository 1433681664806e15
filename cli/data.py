"""`hmtl data`: verify, look at, index, convert and render data sets."""

from pathlib import Path

import click

from .console import printable
from .data_check import check
from .data_index import index
from .data_pack import pack
from .data_rechunk import rechunk
from .data_show import show
from .data_stats import stats


@click.group("data")
def data() -> None:
    """Verify, look at, index, convert and render data sets."""


@data.command("synth")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--layout",
    required=True,
    type=click.Choice(["300w-lp", "aflw2000", "biwi", "eth-xgaze"]),
    help="The published layout to write.",
)
@click.option("--count", required=True, type=click.IntRange(min=1), help="Number of images.")
@click.option("--subjects", required=True, type=click.IntRange(min=1), help="Number of people.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--size", default=128, show_default=True, type=click.IntRange(min=32), help="Height in px."
)
@click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of processes; 0 is one per core.",
)
def synth(
    out: Path, layout: str, count: int, subjects: int, seed: int, size: int, workers: int
) -> None:
    """Render 3D heads at known poses into OUT.

    Another seed renders other people, so two seeds make a training and a test set:

    \b
      hmtl data synth heads/train --layout 300w-lp --count 2000 --subjects 100 --seed 0
      hmtl data synth heads/test --layout aflw2000 --count 400 --subjects 100 --seed 1
    """
    from hmtl.synth import render_dataset

    place = printable(str(out))
    with click.progressbar(length=count, label=f"rendering {place}") as bar:
        render_dataset(
            out,
            layout=layout,
            count=count,
            subjects=subjects,
            seed=seed,
            size=size,
            workers=workers,
            on_progress=lambda done: bar.update(done - bar.pos),
        )
    click.echo(f"{count} images of {subjects} subjects in {place}")


for command in (check, stats, show, index, pack, rechunk):
    data.add_command(command)
