"""`hmtl data stats`: subjects, sizes and poses of a data set."""

import io
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from . import options
from .console import encodable, json_text, printable, progress, write_file

_GAP = 2
_LABEL_HEADING = "degrees"
_WIDEST_BAR = 40
# What bars are drawn of, from thin to full.
_BLOCKS, _PLAIN_BLOCKS = "▏▎▍▌▋▊▉█", "#"
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
    if as_json:
        click.echo(json_text(found))
    else:
        _show(found)
    if plot is not None:
        _plot(found, plot)


def _plot(found: Mapping[str, Any], path: Path) -> None:
    from hmtl.data.stats import known_angles
    from hmtl.plots import pose_histograms

    split = f", split {found['split']}" if found["split"] else ""
    name = Path(found["root"]).name
    title = f"{name} ({found['layout']}{split}), {_counted(found['n'], 'sample')}"
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # The name of a folder may have letters that the font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = pose_histograms(known_angles(found), title=printable(title))
        figure.savefig(picture, format=path.suffix.lower()[1:], dpi=110)
    write_file(path, picture.getvalue())


def _show(found: Mapping[str, Any]) -> None:
    from hmtl.data.stats import known_angles

    encoding = sys.stdout.encoding or "utf-8"
    blocks = _BLOCKS if encoding.lower().startswith("utf") else _PLAIN_BLOCKS
    width = shutil.get_terminal_size().columns
    lines = [
        *_summary(found),
        *_size_lines(found["sizes"], width),
        *_pose_lines(known_angles(found), width, blocks),
    ]
    for line in lines:
        click.echo(encodable(printable(line)))


def _summary(found: Mapping[str, Any]) -> list[str]:
    from hmtl.data.packing.record import Packing

    split = f", split {found['split']}" if found["split"] else ""
    boxes = f", boxes: {found['boxes']}" if found["boxes"] else ""
    subjects = found["subjects"]
    counts = f"{_counted(found['n'], 'sample')}, {_counted(subjects['n'], 'subject')}"
    if subjects["n"]:
        each = (f"{name} {subjects['samples'][name]:,g}" for name in ("min", "median", "max"))
        counts += f"; samples of a subject: {', '.join(each)}"
    lines = [
        f"{found['root']} ({found['layout']}{split}, crop rule {found['crop']}{boxes})",
        counts,
    ]
    lines += [Packing(**packing).summary() for packing in found["packings"]]
    if found["convention"] == "direction":
        lines.append("directions (yaw and pitch of the facing axis; no roll)")
    if found["images"]["unreadable"]:
        lines.append(f"{_counted(found['images']['unreadable'], 'image')} cannot be read")
    for name, what in (
        ("beyond_99", "an angle beyond -99 to 99 degrees"),
        ("flipped", "mirrored copies"),
    ):
        if found[name] is not None and found["n"]:
            lines.append(f"{what}: {found[name]['n']:,} ({100 * found[name]['share']:.1f} %)")
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _size_lines(
    sizes: Mapping[str, Mapping[str, Mapping[str, float | None]]], width: int
) -> list[str]:
    """Return the quantiles of the sides as a table, or one text for each side where it is wider."""
    cells = {
        f"{what} {side}": {
            name: "-" if value is None else f"{value:,.0f}" for name, value in quantiles.items()
        }
        for what, sides in sizes.items()
        for side, quantiles in sides.items()
    }
    rows = [["px", *next(iter(cells.values()))]]
    rows += [[name, *values.values()] for name, values in cells.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gap = _GAP if sum(widths) + _GAP * len(widths[1:]) <= width else 1
    if sum(widths) + gap * len(widths[1:]) <= width:
        return [
            (" " * gap).join(cell.rjust(size) for cell, size in zip(row, widths, strict=True))
            for row in rows
        ]
    texts = [
        f"{name} in px: " + ", ".join(f"{key} {value}" for key, value in values.items())
        for name, values in cells.items()
    ]
    return [line for text in texts for line in wrap(text, width, subsequent_indent="  ")]


def _pose_lines(pose: Mapping[str, Mapping[str, Any]], width: int, blocks: str) -> list[str]:
    """Return the histograms of the angles side by side; one below the other where too wide.

    Of what there is no room for, the bars go first.
    """
    rows = _histogram_rows(pose)
    labels = [_LABEL_HEADING, *(label for label, _ in rows)]
    label_width = max(map(len, labels))
    count_width = max((len(f"{count:,}") for _, counts in rows for count in counts), default=1)
    room = (width - label_width) // len(pose)
    gap = _GAP if room >= _GAP + count_width else 1
    least = max(count_width, *map(len, pose))
    if len(pose) > 1 and room < gap + least:
        apart = [_pose_lines({angle: stats}, width, blocks) for angle, stats in pose.items()]
        return [line for lines in apart for line in lines]
    bar_width = min(max(room - gap - count_width - 1, 0), _WIDEST_BAR)
    cell_width = max(least, count_width + 1 + bar_width if bar_width else 0)
    most = max((max(counts) for _, counts in rows), default=1)
    lines = [[_heading(angle, count_width + 1, cell_width) for angle in pose]]
    for _, counts in rows:
        bars = [_bar(count / most * bar_width, blocks) for count in counts]
        numbers = [f"{count:,}" if count else "" for count in counts]
        number_width = count_width if bar_width else cell_width
        lines.append(
            [
                f"{number:>{number_width}} {bar}".ljust(cell_width)[:cell_width]
                for number, bar in zip(numbers, bars, strict=True)
            ]
        )
    return [
        (" " * gap).join([label.rjust(label_width), *cells]).rstrip()
        for label, cells in zip(labels, lines, strict=True)
    ]


def _heading(angle: str, bar_start: int, width: int) -> str:
    """Return the name of an angle over its bar, or to the left of it where that is too short."""
    return (" " * min(bar_start, width - len(angle)) + angle).ljust(width)


def _bar(length: float, blocks: str) -> str:
    """Return a bar of a length in characters; `blocks` end with the full one, the others part it.

    Something that is not nothing is drawn.
    """
    parts = len(blocks)
    whole, rest = divmod(max(round(length * parts), 1 if length else 0), parts)
    return blocks[-1] * whole + (blocks[rest - 1] if rest else "")


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
    rows = [(f"below {-limit}", below), *rows, (f"{limit} or more", above)]
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
