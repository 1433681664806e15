"""`hmtl data stats`: subjects, sizes and poses of a data set."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .console import json_text, printable, progress

if TYPE_CHECKING:
    from rich.table import Table

# Of each row of the drawn histogram, beside the bars.
_LABEL_WIDTH, _COUNT_WIDTH, _GAP = 15, 7, 2
_LEAST_BAR, _WIDEST_BAR = 4, 40
# Angles rarely go beyond: where fewer do, one row on each side is enough for them.
_USUAL_DEG = 100
_RARE = 0.01


@click.command(epilog="Example: hmtl data stats 300W_LP --plot poses.png")
@options.folder
@options.layout
@options.split
@options.crop
@options.boxes
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option("--plot", metavar="FILE", type=options.PATH, help="Draw the poses: .png or .svg.")
def stats(
    root: Path,
    layout: str | None,
    split: str | None,
    crop: str | None,
    boxes: Path | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Count the samples and subjects of DIR, and show sizes and poses."""
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise click.BadParameter(f"must end in .png or .svg, got {plot}", param_hint="--plot")

    from hmtl.data import open_dataset
    from hmtl.data.stats import dataset_stats

    data = open_dataset(root, layout=layout, split=split, crop=crop, boxes=boxes)
    with progress() as show:
        found = dataset_stats(data, on_progress=lambda done, total: show("headers", done, total))
    if plot is not None:
        from hmtl.plots import pose_histograms

        pose_histograms(found["pose"]).savefig(plot, format=plot.suffix.lower()[1:], dpi=110)
    if as_json:
        click.echo(json_text(found))
    else:
        _show(found)


def _show(found: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    split = f", split {found['split']}" if found["split"] else ""
    boxes = f", boxes: {found['boxes']}" if found["boxes"] else ""
    subjects = found["subjects"]
    each = ", ".join(
        f"{name} {subjects['samples'][name]:,g}"
        for name in ("min", "median", "max")
        if subjects["samples"][name] is not None
    )
    lines = [
        f"{found['root']} ({found['layout']}{split}, crop rule {found['crop']}{boxes})",
        f"samples: {found['n']:,}; subjects: {subjects['n']:,}; samples of a subject: {each}",
    ]
    if found["images"]["unreadable"]:
        lines.append(f"{found['images']['unreadable']:,} images cannot be read")
    for name, what in (("beyond_99", "an angle beyond ±99°"), ("flipped", "mirrored copies")):
        if found[name] is not None and found["n"]:
            lines.append(f"{what}: {found[name]['n']:,} ({100 * found[name]['share']:.1f} %)")
    for line in lines:
        click.echo(printable(line))
    console.print(_sizes_table(found["sizes"]))
    console.print(_poses_table(found["pose"], console.width))


def _sizes_table(sizes: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> "Table":
    rows = [
        (f"{what} {side}", quantiles)
        for what, sides in sizes.items()
        for side, quantiles in sides.items()
    ]
    table = _table("px", list(rows[0][1]))
    for name, quantiles in rows:
        values = ("–" if value is None else f"{value:,.0f}" for value in quantiles.values())
        table.add_row(name, *values)
    return table


def _poses_table(pose: Mapping[str, Mapping[str, Any]], width: int) -> "Table":
    """Return the histograms of the angles side by side, within so many columns of the terminal."""
    from rich.bar import Bar

    rows = _histogram_rows(pose)
    most = max((max(counts) for _, counts in rows), default=1)
    room = (width - _LABEL_WIDTH) // len(pose) - _COUNT_WIDTH - 2 * _GAP
    bar_width = min(max(room, _LEAST_BAR), _WIDEST_BAR)
    table = _table("degrees", [])
    for angle in pose:
        table.add_column(angle, justify="right")
        table.add_column("", width=bar_width)
    for label, counts in rows:
        cells: list[str | Bar] = []
        for count in counts:
            cells += [f"{count:,}" if count else "", Bar(most, 0, count, width=bar_width)]
        table.add_row(label, *cells)
    return table


def _histogram_rows(pose: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[int]]]:
    """Return a label and the count of each angle for every row that is drawn, from low to high."""
    histograms = [stats["histogram"] for stats in pose.values()]
    edges = histograms[0]["edges"]
    limit = _USUAL_DEG if _are_usual(histograms) else edges[-1]
    first, end = edges.index(-limit), edges.index(limit)
    below = [h["below"] + sum(h["counts"][:first]) for h in histograms]
    above = [h["above"] + sum(h["counts"][end:]) for h in histograms]
    rows = [
        (f"{low} to {high}", [h["counts"][place] for h in histograms])
        for place, (low, high) in enumerate(pairwise(edges))
        if first <= place < end
    ]
    rows = [(f"below {-limit}", below), *rows, (f"{limit} and above", above)]
    filled = [number for number, (_, counts) in enumerate(rows) if any(counts)]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def _are_usual(histograms: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether few angles lie beyond the usual ones."""
    for histogram in histograms:
        bounds = zip(histogram["edges"][:-1], histogram["counts"], strict=True)
        inside = sum(count for low, count in bounds if -_USUAL_DEG <= low < _USUAL_DEG)
        total = sum(histogram["counts"]) + histogram["below"] + histogram["above"]
        if total - inside > _RARE * total:
            return False
    return True


def _table(first: str, headings: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, _GAP, 0, 0))
    table.add_column(first, justify="right", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
