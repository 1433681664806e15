"""`hmtl train`: one row of the paper's tables."""

from pathlib import Path

import click

from . import options, training


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
def train(
    request: training.Request, validation: tuple[Path, ...], val_split: str | None
) -> training.Job:
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
    return training.Job(preset=preset, config=config, data=data, validation=sets)
