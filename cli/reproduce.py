"""`hmtl reproduce`: a table of the paper, row by row."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmtl.reproduce.tables import TITLES

from . import options
from .console import json_text, plain_table, print_parts, printable

if TYPE_CHECKING:
    from hmtl.reproduce.plan import Plan

_STDERR = 2


@click.command(epilog="Example: hmtl reproduce table5 --data datasets --out reproduced")
@click.argument("table", metavar="TABLE", type=click.Choice(list(TITLES)))
@click.option(
    "--data",
    "where",
    metavar="DIR|FILE",
    type=options.PATH,
    required=True,
    help='The folder that has the data sets, under any names, or a TOML file of layout = "path".',
)
@click.option(
    "--out", metavar="DIR", type=options.PATH, required=True, help="Folder for runs and tables."
)
@click.option("--only", metavar="ROW", multiple=True, help="Train this row; may be repeated.")
@click.option(
    "--seeds",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="Train with the seeds 0 to N-1; mean and standard deviation are shown.",
)
@click.option(
    "--scale",
    type=click.Choice(["full", "smoke"]),
    default="full",
    help="smoke: the same way in minutes on a CPU, with numbers that mean nothing.",
)
@options.devices
@options.settings
@click.option("--dry-run", is_flag=True, help="Show what would be done, and train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def reproduce(
    table: str,
    where: Path,
    out: Path,
    only: tuple[str, ...],
    seeds: int,
    scale: str,
    devices: int,
    settings: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train and evaluate every row of a TABLE of the paper, table1 to table6.

    Runs that are there are gone on with; those that are finished stay as they are. The table is
    kept in DIR/TABLE.json and DIR/TABLE.html, anew after every row.
    """
    from hmtl.reproduce.document import make_document
    from hmtl.reproduce.outcome import refuse_changes
    from hmtl.reproduce.plan import Asked, make_plan
    from hmtl.reproduce.work import Work, check_imagenet

    asked = Asked(
        table=table,
        data=where,
        out=out,
        only=only,
        seeds=seeds,
        settings=settings,
        scale="smoke" if scale == "smoke" else "full",
        devices=devices,
    )
    plan = make_plan(asked)
    refuse_changes(plan)
    code = 0
    if dry_run:
        found = make_document(plan, {})
    else:
        check_imagenet(plan)
        work = Work(plan, say=_tell, stdout=_STDERR if as_json else None)
        code = work.carry_out()
        found = work.found()
    if as_json:
        click.echo(json_text(found))
    elif dry_run:
        _show_plan(plan, found)
    else:
        _show_errors(found)
        click.echo(printable(f"written: {out / table}.json, {out / table}.html"))
    for run in (run for row in found["rows"] for run in row["runs"] if run["error"]):
        _tell(f"failed: {run['run']}: {run['error']}")
    click.get_current_context().exit(code)


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)


def _show_plan(plan: "Plan", found: Mapping[str, Any]) -> None:
    """Print how far each run is and the commands of those that are not done, as a shell script."""
    from hmtl.reproduce.document import DONE, NOT_NEEDED

    click.echo(f"# {_title(found)}")
    runs = [run for row in found["rows"] for run in row["runs"]]
    entries = {run["run"]: run for run in [*found["pretraining"], *runs]}
    images = 0
    for run in plan.in_order():
        entry = entries[run.folder.relative_to(plan.asked.out).as_posix()]
        click.echo()
        click.echo(printable(f"# {entry['run']}: {entry['state']}, {run.samples:,} samples"))
        if entry["state"] not in (DONE, NOT_NEEDED):
            images += run.samples * run.config.train.epochs
            for command in entry["commands"]:
                click.echo(printable(command))
    click.echo(f"\n# to train on: {images:,} images; `hmtl train … --dry-run` measures the time")


def _show_errors(found: Mapping[str, Any]) -> None:
    from hmtl.reproduce.document import ANGLES
    from hmtl.reproduce.page import our_number, paper_number

    rows = []
    for row in found["rows"]:
        for compared in row["comparisons"]:
            paper = [paper_number(compared, angle) for angle in ANGLES]
            ours = [our_number(compared, angle) for angle in ANGLES]
            rows.append((row["row"], compared["protocol"], "paper", *paper))
            rows.append(("", "", "ours", *ours))
    print_parts([_title(found), plain_table(("row", "protocol", "", *ANGLES), rows)])


def _title(found: Mapping[str, Any]) -> str:
    return f"{found['title']} ({found['note']})" if found["note"] else str(found["title"])
