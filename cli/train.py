"""`hmtl train`: one row of the paper's tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hmtl.config import Config
from hmtl.preset import Preset, load_preset, parse_settings, preset_names

from . import options

if TYPE_CHECKING:
    from hmtl.data import Dataset

STOPPED_BY_SIGNAL = 75
# What `--list` holds when it is given without a file.
SHOW_PRESETS = ""


@click.command(epilog="Example: hmtl train table2/hmtl-puzzle3-aug1 --data 300W_LP --out run")
@click.argument("preset", required=False)
@options.data(required=False)
@click.option("--out", metavar="RUN", type=options.PATH, help="The run folder to write.")
@click.option(
    "--val",
    "validation",
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="A data set to evaluate after every epoch.",
)
@click.option("--val-split", metavar="NAME", help="The published split of --val to evaluate.")
@options.settings
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--allow-changes", is_flag=True, help="Let --resume change settings.")
@click.option("--init", metavar="WEIGHTS", help="Backbone to start from: imagenet, or a file.")
@click.option("--subjects", metavar="NAMES|N", help="Train on these subjects, or the first N.")
@options.layout
@options.split
@options.crop
@click.option(
    "--list",
    "names",
    metavar="[FILE]",
    is_flag=False,
    flag_value=SHOW_PRESETS,
    default=None,
    help="Train on the samples a file lists; without a file: list the presets.",
)
@options.boxes
@options.tensorboard
@click.option("--dry-run", is_flag=True, help="Show settings, network and data, and train nothing.")
@click.pass_context
def train(
    ctx: click.Context,
    preset: str | None,
    root: Path | None,
    out: Path | None,
    validation: tuple[Path, ...],
    val_split: str | None,
    settings: tuple[str, ...],
    resume: bool,
    allow_changes: bool,
    init: str | None,
    subjects: str | None,
    layout: str | None,
    split: str | None,
    crop: str | None,
    names: str | None,
    boxes: Path | None,
    tensorboard: bool,
    dry_run: bool,
) -> None:
    """Train the PRESET, a name or a TOML file, into a run folder."""
    if names == SHOW_PRESETS and preset is None:
        _list_presets()
        return
    if preset is None:
        raise click.UsageError("a PRESET is missing: `hmtl train --list` shows them")
    if names == SHOW_PRESETS:
        raise click.UsageError("--list needs a FILE beside a PRESET")
    if val_split is not None and not validation:
        raise click.UsageError("--val-split needs a --val")
    chosen = load_preset(preset)
    config = _settled(chosen, settings, crop=crop, init=init)
    if root is None or (out is None and not dry_run):
        raise click.UsageError(f"--{'data' if root is None else 'out'} is missing")

    from hmtl.data import open_dataset

    rule = config.data.crop
    data = open_dataset(root, layout, split=split, crop=rule, boxes=boxes, names=names)
    if subjects is not None:
        data = options.select_subjects(data, subjects)
    sets = [
        open_dataset(path, split=val_split, crop=options.fitting_rule(path, rule))
        for path in validation
    ]
    if out is None or dry_run:
        _describe(chosen, config, [data, *sets])
        return

    from hmtl import engine

    outcome = engine.train(
        config,
        data=data,
        out=out,
        validation=sets,
        resume=resume,
        allow_changes=allow_changes,
        tensorboard=tensorboard,
    )
    ctx.exit(STOPPED_BY_SIGNAL if outcome.stopped_by else 0)


def _settled(
    preset: Preset, settings: tuple[str, ...], *, crop: str | None, init: str | None
) -> Config:
    """Return the preset's config with what the command line changes."""
    values = parse_settings(settings)
    named = {"data.crop": crop, "model.init": init}
    values |= {key: value for key, value in named.items() if value is not None}
    return preset.config.updated(values, "the command line")


def _list_presets() -> None:
    for name in preset_names():
        preset = load_preset(name)
        paper = f"paper: {preset.paper['mean']:.2f}°" if preset.paper else ""
        click.echo(f"{name:<34} {preset.title:<40} {paper}")


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
