"""Options that several commands share, and what they mean."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hmtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from hmtl.data import Dataset

Function = TypeVar("Function", bound=Callable[..., Any])

# What cannot be read is told by what reads it, with exit code 1.
PATH = click.Path(path_type=Path, readable=False)

folder = click.argument("root", metavar="DIR", type=PATH)
layout = click.option("--layout", metavar="NAME", help="How DIR is laid out; found by itself.")
split = click.option(
    "--split", metavar="NAME", help="A published split; the layout's first by default."
)
crop = click.option(
    "--crop", metavar="RULE", default=None, help="Crop rule; the layout's own by default."
)
boxes = click.option(
    "--boxes",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Face boxes from a published list.",
)

# Of the loader, which has the defaults; the help repeats them.
augmentation = click.option(
    "--augmentation", metavar="NAME", help="A preset or a TOML file.  [level2]"
)
pretext = click.option(
    "--pretext",
    type=click.Choice(["none", "puzzle", "rotation", "puzzle-rotation"]),
    help="The pretext task.  [puzzle]",
)
grid = click.option("--grid", type=int, help="Tiles per side.  [3]")
views = click.option("--views", type=int, help="Renderings of each sample.  [1]")
size = click.option("--size", type=int, help="Side of the square input in px.  [224]")
engine = click.option(
    "--engine",
    type=click.Choice(["native", "cuda", "dali"]),
    help="What renders: cuda on the GPU what is decoded; dali has NVIDIA DALI decode JPEGs."
    "  [native]",
)
device = click.option("--device", help="Where batches go: cpu, cuda or cuda:N.  [cpu]")

decode = click.option(
    "--decode", type=click.Choice(["planes", "rgb"]), help="What JPEG becomes first.  [planes]"
)

settings = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a setting of the preset."
)

weights = click.option(
    "--weights",
    metavar="last|best|FILE",
    default="last",
    help="The last weights, those that validated best, or a file.  [last]",
)

devices = click.option(
    "--devices",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="Train with N processes: a GPU for each, or the CPU where there are fewer.",
)
tensorboard = click.option(
    "--tensorboard", is_flag=True, help="Write the log for TensorBoard, too, into RUN/tensorboard."
)


def _in_a_folder(
    ctx: click.Context,  # noqa: ARG001 — what click gives
    param: click.Parameter,  # noqa: ARG001
    value: Path | None,
) -> Path | None:
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}")
    return value


json_file = click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_in_a_folder,
    help="Write what was measured there.",
)


def data(*, required: bool) -> Callable[[Function], Function]:
    """Return the option `--data DIR`."""
    return click.option(
        "--data",
        "root",
        metavar="DIR",
        type=PATH,
        required=required,
        help="The data set, as published.",
    )


def tell(text: str) -> None:
    """Show a line on stderr, of several ranks that one command runs as on the first."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(text, err=True)


def fitting_rule(root: Path, crop: str, layout: str | None = None) -> str | None:
    """Return a run's crop rule where the data set at `root` has it; else say that its own is used.

    A rule such as `landmarks` makes sense on the data set that a run learns from only.
    """
    from hmtl.data.layouts.registry import find_layout

    if not crop:
        return None
    known, _ = find_layout(root, layout)
    if crop in known.crops:
        return crop
    tell(f"{root} has no crop rule {crop!r}: {known.crops[0]!r} is used")
    return None


def select_subjects(dataset: "Dataset", text: str) -> "Dataset":
    """Return the samples of some subjects: names parted by commas, or how many, the first ones.

    Where subjects have numbers for names, as in BIWI, a number is a name and not a count.
    """
    import numpy as np

    present = np.unique(dataset.subject)
    numbers = {dataset.subjects[number]: int(number) for number in present}
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in numbers]
    if not unknown:
        chosen: Sequence[int] = [numbers[name] for name in names]
    elif names == [text] and text.isdigit() and not any(name.isdigit() for name in numbers):
        if not 1 <= int(text) <= len(present):
            raise ConfigError(
                f"--subjects must be 1 to {len(present)} or names, got {text} for {dataset.root}"
            )
        chosen = sorted(numbers.values())[: int(text)]
    else:
        known = ", ".join(sorted(numbers)[:30]) + (", …" if len(numbers) > 30 else "")
        raise DataError(f"subject {unknown[0]!r} is not in {dataset.root}, which has {known}")
    return dataset.subset(np.isin(dataset.subject, chosen))


def hold_out(dataset: "Dataset", text: str | None) -> tuple["Dataset", "Dataset"]:
    """Return a data set without some subjects, and theirs alone; `text` as in `select_subjects`.

    Without a text they are the paper's, or a tenth of all.
    """
    from hmtl.data.people import people_to_hold_out, split_off

    try:
        if text is None:
            subjects = people_to_hold_out(dataset)
        else:
            subjects = select_subjects(dataset, text).subject
        return split_off(dataset, subjects)
    except ValueError as error:
        raise ConfigError(f"{error}: --set probe.samples=0 trains without a probe") from error
