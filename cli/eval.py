"""`hmtl eval`: the errors of a run on a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options

if TYPE_CHECKING:
    from rich.table import Table

_ANGLES = ("yaw", "pitch", "roll", "mean")


@click.command("eval", epilog="Example: hmtl eval run --data AFLW2000 --protocol hopenet")
@click.argument("run", metavar="RUN", type=options.PATH)
@options.data(required=True)
@options.weights
@click.option(
    "--protocol",
    "names",
    metavar="NAME",
    multiple=True,
    help="How to count: hopenet, paper-full, wrapped, sixdrepnet; may be repeated.",
)
@options.layout
@options.split
@options.crop
@click.option("--list", "listed", metavar="FILE", help="Evaluate on the samples a file lists.")
@options.boxes
@click.option("--subjects", metavar="NAMES|N", help="Evaluate on these subjects, or the first N.")
def evaluate(
    run: Path,
    root: Path,
    weights: str,
    names: tuple[str, ...],
    layout: str | None,
    split: str | None,
    crop: str | None,
    listed: str | None,
    boxes: Path | None,
    subjects: str | None,
) -> None:
    """Evaluate the weights of a RUN, and keep the results in RUN/results.json."""
    from rich.console import Console

    from hmtl import evaluate as evaluation
    from hmtl.assemble import choose_device, plain_network, read_weights
    from hmtl.data import open_dataset
    from hmtl.protocols import DEFAULT_PROTOCOLS, find_protocol

    chosen = [find_protocol(name).name for name in names or DEFAULT_PROTOCOLS]
    saved = read_weights(run, weights)
    network, config = plain_network(saved, choose_device("auto")), saved.config
    rule = crop or options.fitting_rule(root, config.data.crop, layout)
    data = open_dataset(root, layout, split=split, crop=rule, boxes=boxes, names=listed)
    if subjects is not None:
        data = options.select_subjects(data, subjects)
    # A part of a data set must not be taken for the whole, nor other weights for the last.
    selection = {
        "step": saved.step,
        "subjects": subjects,
        "list": listed,
        "weights": None if weights == "last" else weights,
    }
    named = {key: value for key, value in selection.items() if value is not None}
    entries = [
        {**entry, **named} for entry in evaluation.evaluate(network, data, config, names=chosen)
    ]
    evaluation.record(run, entries)
    console = Console(highlight=False)
    if not console.is_terminal:
        # Nobody reads along: rather a long line than a cut one.
        console.width = 200
    console.print(_error_table(entries))
    console.print(_yaw_table(entries))
    if entries[0]["invalid"]:
        click.echo(f"{entries[0]['invalid']} samples could not be read and are left out", err=True)


def _error_table(entries: Sequence[dict[str, Any]]) -> "Table":
    chosen = (entries[0]["dataset"], entries[0].get("split"), entries[0].get("boxes"))
    table = _table(f"errors on {', '.join(filter(None, chosen))}, degrees")
    for heading in ("protocol", "n", "skipped", "crop", *_ANGLES, "geodesic"):
        table.add_column(heading, justify="left" if heading in ("protocol", "crop") else "right")
    for entry in entries:
        mae = [_degrees(entry["mae"][angle]) for angle in _ANGLES]
        counts = [str(entry["n"]), str(entry["skipped"])]
        table.add_row(entry["protocol"], *counts, entry["crop"], *mae, _degrees(entry["geodesic"]))
    return table


def _yaw_table(entries: Sequence[dict[str, Any]]) -> "Table":
    table = _table("by the label's |yaw|")
    for heading in ("protocol", "|yaw|", "n", *_ANGLES, "geodesic"):
        table.add_column(heading, justify="left" if heading == "protocol" else "right")
    for entry in entries:
        for bounds, part in entry["yaw_bins"].items():
            mae = [_degrees(part[angle]) for angle in _ANGLES]
            table.add_row(
                entry["protocol"], bounds, str(part["n"]), *mae, _degrees(part["geodesic"])
            )
    return table


def _table(title: str) -> "Table":
    from rich.table import Table

    return Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))


def _degrees(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
