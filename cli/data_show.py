"""`hmtl data show`: a picture of what a network sees, and the ranges it is drawn from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .console import encodable, printable, write_file

if TYPE_CHECKING:
    from hmtl.data import Dataset

BAD = 1
_EXAMPLE = "hmtl data show 300W_LP --augmentation level2 --count 4 --out sheet.png"


@click.command(epilog=f"Example: {_EXAMPLE}")
@click.argument("root", metavar="[DIR]", type=options.PATH, required=False)
@options.layout
@options.split
@options.crop
@options.boxes
@options.augmentation
@options.pretext
@options.grid
@click.option("--puzzled-fraction", type=float, help="Share of puzzled samples.  [1.0]")
@options.views
@options.size
@click.option(
    "--fit",
    type=click.Choice(["short-side", "stretch"]),
    help="What becomes of a box that is no square.  [short-side]",
)
@options.decode
@click.option(
    "--exif", type=click.Choice(["refuse", "ignore"]), help="Of turned pictures.  [refuse]"
)
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--epoch", default=0, show_default=True, type=int)
@click.option(
    "--count",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of samples, the first of the epoch.",
)
@click.option(
    "--index", multiple=True, type=int, help="A row of the data set instead; may be repeated."
)
@click.option("--scale", default=0, type=click.IntRange(0, 16), help="Enlarge by a whole factor.")
@click.option("--no-labels", "bare", is_flag=True, help="Draw nothing over the pixels.")
@click.option("--out", default="sheet.png", show_default=True, metavar="FILE", type=options.PATH)
@click.option("--list", "is_list", is_flag=True, help="Print the ranges as TOML; DIR is not used.")
@click.pass_context
def show(
    ctx: click.Context,
    /,
    root: Path | None,
    layout: str | None,
    split: str | None,
    crop: str | None,
    boxes: Path | None,
    index: tuple[int, ...],
    count: int,
    scale: int,
    bare: bool,
    out: Path,
    is_list: bool,
    **given: Any,
) -> None:
    """Draw what a network sees of DIR: original, crop, views, puzzled input with its labels.

    Every pixel is the loader's. Over them lie the head's axes (x red, y green, z blue), the number
    of each tile and, where tiles are turned, the turn (counter-clockwise) with an arrow to where
    the upper side went. Samples that cannot be read are named, and the exit code is 1.

    With --list the ranges of an augmentation, or without one those of every preset, are printed as
    TOML to start a file of one's own from:

    \b
      hmtl data show --list --augmentation level2 > mine.toml
      hmtl data show 300W_LP --augmentation mine.toml
    """
    if is_list:
        click.echo(encodable(_ranges(given["augmentation"])))
        return
    if root is None:
        raise click.UsageError("Missing argument 'DIR'.", ctx)
    if out.suffix.lower() != ".png":
        raise click.BadParameter(f"must end in .png, got {out}", param_hint="--out")

    from hmtl.data import open_dataset
    from hmtl.data.preview import loader_defaults, preview
    from hmtl.show.figure import sheet_png
    from hmtl.show.sheet import make_sheet

    data = open_dataset(root, layout=layout, split=split, crop=crop, boxes=boxes)
    asked = {name: value for name, value in given.items() if value is not None}
    shown_count = _fitting(data, index, count, {**loader_defaults(), **asked}, scale)
    shown = preview(data, index[:shown_count] or None, count=shown_count, **asked)
    name = str(asked.get("augmentation", loader_defaults()["augmentation"]))
    sheet = make_sheet(shown, augmentation=Path(name).name, scale=scale)
    write_file(out, sheet_png(sheet, labels=not bare))
    click.echo(encodable(f"{printable(str(out))}: {sheet.title} · {sheet.subtitle}"))
    for reason in shown.bad.values():
        click.echo(f"error: {printable(reason)}", err=True)
    if shown.bad:
        ctx.exit(BAD)


def _ranges(name: str | None) -> str:
    from hmtl.data.augmentation import resolve_augmentation
    from hmtl.show.ranges import augmentation_toml, presets_toml

    return presets_toml() if name is None else augmentation_toml(resolve_augmentation(name))


def _fitting(
    data: "Dataset", index: tuple[int, ...], count: int, settings: dict[str, Any], scale: int
) -> int:
    """Return how many samples are drawn; say so where a sheet has no room for all."""
    from hmtl.data.preview import canvas_side
    from hmtl.show.figure import most_rows
    from hmtl.show.sheet import column_count, enlargement

    wanted = len(index) or min(count, len(data))
    # The loader tells of settings that are too small.
    size, views, grid = (max(settings[name], 1) for name in ("size", "views", "grid"))
    columns = column_count(views, has_puzzle=settings["pretext"] != "none")
    side = canvas_side({**settings, "size": size, "grid": grid})
    most = most_rows(columns, side * (scale or enlargement(size)))
    if wanted > most:
        click.echo(f"{most:,} of {wanted:,} samples drawn: a sheet has no room for more", err=True)
    return min(wanted, most)
