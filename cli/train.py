"""`hmtl train`: one row of the paper's tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hmtl.config import Config
from hmtl.preset import Preset

from . import options, training

if TYPE_CHECKING:
    from hmtl.data import Dataset


@click.command(epilog="Example: hmtl train table2/hmtl-puzzle3-aug1 --data 300W_LP --out run")
@training.run_options
@click.option(
    "--val",
    "validation",
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="A data set to evaluate after every epoch.",
)
@click.option("--val-split", metavar="NAME", help="The published split of --val to evaluate.")
@click.pass_context
def train(
    ctx: click.Context,
    request: training.Request,
    validation: tuple[Path, ...],
    val_split: str | None,
) -> None:
    """Train the PRESET, a name or a TOML file, into a run folder."""
    if val_split is not None and not validation:
        raise click.UsageError("--val-split needs a --val")
    preset, config = training.choose(request, "train", ["pose"])

    from hmtl.data import open_dataset

    data = training.open_data(request, config)
    rule = config.data.crop
    sets = [
        open_dataset(path, split=val_split, crop=options.fitting_rule(path, rule))
        for path in validation
    ]
    if request.dry_run:
        _describe(preset, config, [data, *sets])
    else:
        ctx.exit(training.run(request, config, data=data, validation=sets))


def _describe(preset: Preset, config: Config, datasets: list["Dataset"]) -> None:
    """Show what a run would be: settings, size of the network, counts of the data."""
    from hmtl.assemble import build_model, usable_samples

    click.echo(f"# {preset.title}\n{config.to_toml()}")
    model = build_model(config)
    plain = sum(parameter.numel() for parameter in model.pose_network().parameters())
    total = sum(parameter.numel() for parameter in model.parameters())
    click.echo(f"parameters: {total:,} in training, {plain:,} at evaluation")
    usable = len(usable_samples(config, datasets[0]))
    click.echo(f"training: {usable:,} of {len(datasets[0]):,} samples of {datasets[0].root}")
    for dataset in datasets[1:]:
        click.echo(f"validation: {len(dataset):,} samples of {dataset.root}")
