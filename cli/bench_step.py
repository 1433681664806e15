"""`hmtl bench step`: what a training step costs beside its arithmetic."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmtl.preset import load_preset, parse_settings

from . import options
from .console import plain_table, print_parts, progress, write_file

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command(
    "step", epilog="Example: hmtl bench step table2/hmtl-puzzle3-aug1 --data 300W_LP --steps 8"
)
@click.argument("preset")
@options.data(required=True)
@options.settings
@options.layout
@options.split
@options.crop
@options.boxes
@click.option(
    "--steps",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Steps of a block.",
)
@click.option(
    "--rounds",
    default=7,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rounds; in each, every side has a block.",
)
@options.json_file
def step(
    preset: str,
    root: Path,
    settings: tuple[str, ...],
    layout: str | None,
    split: str | None,
    crop: str | None,
    boxes: Path | None,
    steps: int,
    rounds: int,
    json_file: Path | None,
) -> None:
    """Time the training steps of a PRESET, a name or a TOML file, on a data set.

    Four sides take turns: the training as it is (real); the same with one batch that is ready
    (cached), twice, which shows what noise makes of a ratio; and a loop of nothing but forward,
    backward and optimizer on that batch (bare). Ratios are medians of those of each round. Nothing
    is kept of what is trained.
    """
    from hmtl.bench.step import bench_step
    from hmtl.data import open_dataset

    config = load_preset(preset).config.updated(parse_settings(settings), "the command line")
    rule = crop or config.data.crop
    data = open_dataset(root, layout, split=split, crop=rule, boxes=boxes)
    with progress() as show:
        found = bench_step(config, data, steps=steps, rounds=rounds, on_progress=show)
    _show(found)
    if json_file is not None:
        write_file(json_file, (json.dumps({"preset": preset, **found}, indent=1) + "\n").encode())


def _show(found: Mapping[str, Any]) -> None:
    """Print what was measured, as wide as the terminal is."""
    cached, parts = found["images_per_s"]["cached"], found["parts_ms"]
    whole = sum(parts.values())
    sides = [
        (name, f"{speed:,.1f}", f"{found['batch_size'] / speed * 1000:,.1f}")
        for name, speed in found["images_per_s"].items()
    ]
    shares = [(name, f"{ms:,.1f}", f"{ms / whole:.1%}") for name, ms in parts.items()]
    memory = found["memory"]
    where = "cached step" if found["outside"] is not None else "cached step, host's time"
    compiled = ", compiled" if found["settings"]["train"]["compile"] else ""
    lines: list[RenderableType] = [
        f"{found['what']}{compiled}, {found['size']} px, batches of {found['batch_size']},"
        f" {found['optimizer']}, {found['device']}, threads: {found['threads']}",
        "",
        plain_table(("", "images/s", "ms a step"), sides),
        "",
        plain_table(("ratio", "median"), [(n, f"{r:.3f}") for n, r in found["ratios"].items()]),
        "",
        plain_table((where, "ms", "share"), shares),
        "",
        f"real steps wait for data in {found['waiting']:.1%} of their time",
        f"peak memory: {memory['peak_bytes'] / 2**30:.2f} GiB"
        + (
            f", GPU {memory['gpu_peak_bytes'] / 2**30:.2f} GiB"
            if "gpu_peak_bytes" in memory
            else ""
        ),
        f"real data run at {found['ratios']['real/cached']:.3f} of the speed of a ready batch"
        f" ({cached:,.1f} images/s)",
    ]
    print_parts(lines)
