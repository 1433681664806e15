"""`hmtl demo`: the whole method in minutes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options

if TYPE_CHECKING:
    from hmtl.demo import Demo


@click.command(epilog="Example: hmtl demo --out hmtl-demo")
@click.option(
    "--out",
    metavar="DIR",
    type=options.PATH,
    default=Path("hmtl-demo"),
    show_default=True,
    help="Folder for the rendered heads, the runs and the report.",
)
def demo(out: Path) -> None:
    """Render heads, train SL and HMTL, evaluate both, and write a report.

    Needs no GPU, no data set and no network. The rendered heads are kept and used again.
    """
    from hmtl.demo import run_demo

    started = time.monotonic()
    result = run_demo(out, say=click.echo)
    _show(result)
    click.echo(f"report: {result.report}  ({time.monotonic() - started:.0f} s)")


def _show(result: "Demo") -> None:
    from rich.console import Console
    from rich.table import Table

    from hmtl.demo import error_table

    errors = error_table(result)
    table = Table(
        title="errors on people never trained on, degrees", title_justify="left", box=None
    )
    for place, heading in enumerate(errors.header):
        table.add_column(heading, justify="right" if place else "left")
    for row in errors.rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"puzzle heads: {result.puzzle_accuracy:.3f} of the tiles right"
        f" (chance {result.chance:.3f})"
    )
