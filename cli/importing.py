"""`hmtl import`: a backbone that others trained, under torchvision's names."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hmtl.errors import ConfigError

from . import options
from .console import plain_table, print_parts, printable

if TYPE_CHECKING:
    from hmtl.importing import Fit

_SUFFIX = ".safetensors"
_SHOWN = 12  # names of a kind
_PARTS = ("stem", "layer1", "layer2", "layer3", "layer4")


@click.command(
    "import", epilog="Example: hmtl import barlowtwins/checkpoint.pth barlow.safetensors"
)
@click.argument("source", metavar="FILE", type=options.PATH)
@click.argument("out", metavar="OUT", type=options.PATH)
@click.option(
    "--backbone",
    default="resnet50",
    show_default=True,
    type=click.Choice(["resnet18", "resnet34", "resnet50"]),
    help="What the file holds.",
)
@click.option(
    "--strip-prefix",
    metavar="P",
    help="What stands before torchvision's names in FILE; found by itself where one fits best.",
)
def import_weights(source: Path, out: Path, backbone: str, strip_prefix: str | None) -> None:
    """Write the backbone in FILE, .pth or .safetensors, to OUT, which `hmtl train --init` takes.

    FILE may be a checkpoint of facebookresearch/barlowtwins, solo-learn or lightly, a state dict of
    torchvision, or any other that holds a ResNet. Nothing in it is executed. Shows what matches by
    name and shape, what is missing and what is left over; less than 90 % is an error.
    """
    if out.suffix != _SUFFIX:
        raise ConfigError(f"OUT must end in {_SUFFIX}, got {out}")

    from hmtl.importing import MIN_SHARE, better_backbone, fit_backbone, write_backbone
    from hmtl.tensor_files import read_tensors

    tensors = read_tensors(source)
    fit = fit_backbone(tensors, backbone, strip_prefix)
    _show(fit)
    if fit.share < MIN_SHARE and (better := better_backbone(tensors, fit)):
        click.echo(f"a {better.backbone} fits better: {_count(better)}; try --backbone")
    write_backbone(out, fit, str(source))
    click.echo(f"{out}: {fit.backbone}, for `hmtl train … --init {out}`")


def _show(fit: "Fit") -> None:
    """Print what matches by parts of the network, and the names of what does not."""
    counts = [Counter(map(_part, names)) for names in (fit.matched, fit.missing, fit.reshaped)]
    rows = [[part, *(str(count[part]) for count in counts)] for part in _PARTS]
    rows.append(["all", *(str(count.total()) for count in counts)])
    print_parts([plain_table((fit.backbone, "matched", "missing", "other shape"), rows)])
    before = f" behind {printable(fit.prefix)!r}" if fit.prefix else ""
    click.echo(f"{_count(fit)}{before}")
    _list("missing", list(fit.missing))
    _list("other shape", [f"{n} {had}, not {wanted}" for n, (had, wanted) in fit.reshaped.items()])
    groups = Counter(_group(name, fit.prefix) for name in fit.left_over)
    _list("left over", [f"{name} ({n})" if n > 1 else name for name, n in groups.items()])


def _count(fit: "Fit") -> str:
    return f"{len(fit.matched)} of {fit.expected} tensors match by name and shape ({fit.share:.1%})"


def _list(kind: str, names: list[str]) -> None:
    for name in names[:_SHOWN]:
        click.echo(f"{kind}: {printable(name)}")
    if len(names) > _SHOWN:
        click.echo(f"{kind}: and {len(names) - _SHOWN} more")


def _part(name: str) -> str:
    child = name.partition(".")[0]
    return child if child in _PARTS else _PARTS[0]


def _group(name: str, prefix: str) -> str:
    """Return the name without what follows the first part in which it leaves the prefix."""
    kept = name.split(".")
    shared = 0
    for own, other in zip(kept, prefix.split("."), strict=False):
        if own != other:
            break
        shared += 1
    return ".".join(kept[: shared + 1])
