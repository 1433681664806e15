"""`hmtl bench loader`: where a loader's time goes."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .console import plain_table, print_parts, printable, progress, write_file

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


@click.command(
    "loader",
    epilog="Example: hmtl bench loader 300W_LP --augmentation level2 --pretext puzzle --grid 3",
)
@options.folder
@options.layout
@options.split
@options.crop
@options.boxes
@options.augmentation
@options.pretext
@options.grid
@options.views
@options.size
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples of a batch.  [64]")
@click.option("--threads", "num_threads", type=int, help="Threads; 0 is one per core.  [0]")
@options.engine
@options.device
@options.decode
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How long the settings are timed; the whole takes three to five times as long.",
)
@options.json_file
def loader(
    root: Path,
    layout: str | None,
    split: str | None,
    crop: str | None,
    boxes: Path | None,
    seconds: float,
    json_file: Path | None,
    **settings: Any,
) -> None:
    """Time the loader on DIR, stage by stage, beside decoding alone.

    The samples are read twice: first with their files out of the system's page cache, as in a
    first epoch, then from it. Of an image all stages are shown, in µs of the threads' time; with
    the time that threads are idle they add up to the number of threads over the speed. The loop
    that takes the batches waits for them or works, which is what Python costs. The limit is
    decoding alone: whole images from memory into a reused buffer, on as many threads.
    """
    from hmtl.bench.loader import bench_loader
    from hmtl.data import open_dataset

    data = open_dataset(root, layout=layout, split=split, crop=crop, boxes=boxes)
    given = {name: value for name, value in settings.items() if value is not None}
    with progress() as show:
        found = bench_loader(
            data, seconds=seconds, on_progress=lambda what: show(what, 0, None), **given
        )
    _show(found)
    if json_file is not None:
        write_file(json_file, (json.dumps(found, indent=1) + "\n").encode())


def _show(found: Mapping[str, Any]) -> None:
    """Print what was measured, as wide as the terminal is."""
    encoding = sys.stdout.encoding or "utf-8"
    micro = "µs" if encoding.lower().startswith("utf") else "us"
    parts: Sequence[RenderableType] = [
        *_summary(found),
        "",
        _speeds(found),
        "",
        _stages(found, micro),
        "",
        _sweep(found),
        "",
        f"bottleneck: {found['bottleneck']['says']}",
    ]
    print_parts(parts)


def _summary(found: Mapping[str, Any]) -> list[str]:
    about, settings = found["dataset"], found["settings"]
    split = f", split {about['split']}" if about["split"] else ""
    codecs = ", ".join(name.upper().replace("_", " ") for name in about["codecs"])
    pretext = settings["pretext"]
    if pretext != "none":
        pretext = f"{pretext} {settings['grid']}x{settings['grid']}"
    parts = [
        f"{settings['size']} px",
        f"pretext {pretext}",
        f"views: {settings['views']}",
        f"batches of {settings['global_batch']}",
        f"threads: {found['threads']}",
        f"engine: {found['engine']}",
        f"device: {found['device']}",
    ]
    return [
        printable(f"{about['root']} ({about['layout']}{split}, crop rule {about['crop']})"),
        f"{about['n']:,} samples, {codecs}, {about['bytes_mean'] / 1000:,.1f} kB each",
        ", ".join(parts),
    ]


def _speeds(found: Mapping[str, Any]) -> "Table":
    speeds = {
        "first pass, from disk" if found["cold"] else "first pass": found["first_pass"],
        "from memory": found["warm"],
    }
    limit = found["decoding"]
    if limit is None:
        rows = [[name, f"{timed['images_per_s']:,.0f}"] for name, timed in speeds.items()]
        return plain_table(("", "images/s"), rows)
    speeds[f"{limit['what']} alone"] = limit
    most = limit["images_per_s"]
    rows = [
        [name, f"{timed['images_per_s']:,.0f}", f"{timed['images_per_s'] / most:.2f}"]
        for name, timed in speeds.items()
    ]
    return plain_table(("", "images/s", f"of {limit['what']}"), rows)


def _stages(found: Mapping[str, Any], micro: str) -> "Table":
    warm, first = found["warm"], found["first_pass"]
    rows = [
        (stage, f"{time_us:,.0f}", f"{warm['shares'][stage]:.0%}", f"{first['shares'][stage]:.0%}")
        for stage, time_us in warm["stages_us"].items()
    ]
    rows.append(("threads", f"{sum(warm['stages_us'].values()):,.0f}", "100%", "100%"))
    for name, key in (("loop waits", "waiting"), ("loop works", "hand_off")):
        rows.append((name, "", f"{warm[key]:.0%}", f"{first[key]:.0%}"))
    return plain_table(("stage", micro, "share", "first"), rows)


def _sweep(found: Mapping[str, Any]) -> "Table":
    one = found["sweep"][0]["images_per_s"]
    rows = [
        (f"{row['threads']}", f"{row['images_per_s']:,.0f}", f"{row['images_per_s'] / one:.2f}")
        for row in found["sweep"]
    ]
    return plain_table(("threads", "images/s", "times one"), rows)
