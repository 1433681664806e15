"""`hmtl data check`: every file of a data set opened once, and what is wrong named."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .console import json_text, no_warnings, printable, progress

if TYPE_CHECKING:
    from rich.table import Table

    from hmtl.data.check import Report
    from hmtl.data.layouts.layout import Problem

WRONG = 1
_LINES_PER_KIND = 20


@click.command(epilog="Example: hmtl data check 300W_LP")
@options.folder
@options.layout
@click.option(
    "--split",
    "splits",
    metavar="NAME",
    multiple=True,
    help="Look at this split only; may be repeated.",
)
@options.crop
@options.boxes
@click.option(
    "--against",
    metavar="OTHER",
    type=options.PATH,
    multiple=True,
    help="A data set that must not share a subject with this one.",
)
@click.option("--complete", is_flag=True, help="Fewer samples than were published are an error.")
@click.option("--json", "as_json", is_flag=True, help="Print all that was found as JSON.")
@click.option(
    "--jobs",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of threads; 0 is one per core.",
)
@click.pass_context
def check(
    ctx: click.Context,
    root: Path,
    layout: str | None,
    splits: tuple[str, ...],
    crop: str | None,
    boxes: Path | None,
    against: tuple[Path, ...],
    complete: bool,
    as_json: bool,
    jobs: int,
) -> None:
    """Read every label and decode every image of DIR, and name what is wrong.

    The exit code is 1 where something cannot be read or is wrong; notes tell what is unusual, such
    as a copy with fewer samples than were published. JSON has the keys layout, root, splits, n,
    published, rendered, counts, errors and notes; the last two list kind, file, message and, of a
    message about many, files.
    """
    from hmtl.data.check import check_dataset, to_json

    # What layouts warn of is reported.
    with progress() as show, no_warnings("hmtl.data.layouts"):
        report = check_dataset(
            root,
            layout,
            splits=splits,
            crop=crop,
            boxes=boxes,
            against=against,
            complete=complete,
            threads=jobs,
            on_progress=show,
        )
    if as_json:
        click.echo(json_text(to_json(report)))
    else:
        _show(report)
    if report.errors:
        ctx.exit(WRONG)


def _show(report: "Report") -> None:
    """Print the kinds of what was found, every finding in a line, and the verdict."""
    from rich.console import Console

    from hmtl.data.checks.findings import counts_by_kind

    counts = counts_by_kind(report.errors, report.notes)
    if counts:
        Console(highlight=False).print(_kinds_table(counts))
    _show_lines("error", report.errors)
    _show_lines("note", report.notes)
    click.echo(_verdict(report))


def _kinds_table(counts: dict[str, dict[str, int]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("kind")
    for heading in ("errors", "notes"):
        table.add_column(heading, justify="right")
    for kind, found in sorted(counts.items()):
        table.add_row(kind, f"{found['errors']:,}", f"{found['notes']:,}")
    return table


def _show_lines(what: str, problems: "Sequence[Problem]") -> None:
    kind_of = attrgetter("kind")
    for _, same in groupby(sorted(problems, key=kind_of), key=kind_of):
        messages = [problem.message for problem in same]
        for message in messages[:_LINES_PER_KIND]:
            click.echo(f"{what}: {printable(message)}")
        if (more := len(messages) - _LINES_PER_KIND) > 0:
            click.echo(f"{what}: … and {more:,} more, --json lists all")


def _verdict(report: "Report") -> str:
    samples = f"{report.n:,} samples"
    if report.published is not None:
        samples += f" of {report.published:,} published"
    elif report.rendered is not None:
        samples += f" of {report.rendered:,} rendered"
    errors, notes = len(report.errors), len(report.notes)
    return (
        f"{report.layout}: {samples}, {errors:,} error{'s' * (errors != 1)}, "
        f"{notes:,} note{'s' * (notes != 1)}"
    )
