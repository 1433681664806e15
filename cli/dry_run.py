"""`--dry-run`: what a run would be, and how long it would take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hmtl.config import Config
from hmtl.preset import Preset

from .console import plain_table, print_parts, printable

if TYPE_CHECKING:
    from hmtl.bench.plan import Expected
    from hmtl.data import Dataset


def describe(
    preset: Preset, config: Config, data: "Dataset", validation: Sequence["Dataset"]
) -> None:
    """Show settings, network, data and the expected time of a run; a few steps are done for it."""
    from hmtl.bench.plan import measure_time

    click.echo(f"# {preset.title}\n{config.to_toml()}")
    _show_network(config)
    _show_data(config, data, validation)
    _show_time(measure_time(config, data), config)


def _show_network(config: Config) -> None:
    from hmtl.bench.plan import network_parts

    parts = network_parts(config)
    rows = [
        (part.name, part.shape, f"{part.parameters:,}", "yes" if part.is_kept else "dropped")
        for part in parts
    ]
    print_parts([plain_table(("network", "output", "parameters", "at evaluation"), rows)])
    total = sum(part.parameters for part in parts)
    kept = sum(part.parameters for part in parts if part.is_kept)
    click.echo(f"parameters: {total:,} in training, {kept:,} at evaluation\n")


def _show_data(config: Config, data: "Dataset", validation: Sequence["Dataset"]) -> None:
    import numpy as np

    from hmtl.assemble import usable_samples

    usable = usable_samples(config, data)
    left_out = len(data) - len(usable)
    why = f", {left_out:,} left out beyond ±99°" if left_out else ""
    click.echo(
        printable(f"training: {len(usable):,} of {len(data):,} samples of {data.root}")
        + f" ({data.layout}, {len(np.unique(usable.subject)):,} subjects, crop {data.crop}{why})"
    )
    for dataset in validation:
        click.echo(printable(f"validation: {len(dataset):,} samples of {dataset.root}"))


def _show_time(expected: "Expected", config: Config) -> None:
    batch = config.train.batch_size
    click.echo(
        f"{expected.steps_per_epoch:,} steps of {batch} samples an epoch, {expected.epochs} epochs:"
        f" {expected.steps_per_epoch * expected.epochs:,} steps\n"
        f"expected time on this machine: {_duration(expected.seconds)}, evaluations apart"
        f" ({expected.measured} steps were measured:"
        f" {batch / expected.seconds_per_step:,.0f} images/s)"
    )


def _duration(seconds: float) -> str:
    """Return a time in the two largest of its units."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 48:
        return f"{hours // 24:.0f} days {hours % 24:.0f} h"
    if hours >= 1:
        return f"{hours // 1:.0f} h {minutes % 60:.0f} min"
    return f"{minutes // 1:.0f} min {seconds % 60:.0f} s"
