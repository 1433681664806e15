"""`hmtl export`: the network of a run as a file for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmtl.export.target import FORMATS, INPUTS, OLDEST_OPSET, Target, require_packages

from . import options
from .console import encodable, printable

if TYPE_CHECKING:
    from hmtl.export.trained import Trained
    from hmtl.export.writing import Exported

_CALLS = {
    "onnx": """\
import onnxruntime
session = onnxruntime.InferenceSession({path!r})
pose = session.run(["pose"], {{"images": images}})[0]""",
    "pt2": """\
import torch
network = torch.export.load({path!r}).module()
pose = network(images)""",
    "safetensors": """\
from safetensors.torch import load_file
from torchvision.models import {backbone}
{backbone}().load_state_dict(load_file({path!r}), strict=False)  # pose.* is the head""",
}


@click.command("export", epilog="Example: hmtl export run pose.onnx")
@click.argument("run", metavar="RUN", type=options.PATH)
@click.argument("out", metavar="OUT", type=options.PATH)
@click.option(
    "--format", type=click.Choice(FORMATS), help="What OUT becomes; it follows the suffix of OUT."
)
@options.weights
@click.option(
    "--input",
    type=click.Choice(INPUTS),
    help="What the network takes: RGB bytes, or floats that were normalised.  [uint8]",
)
@click.option(
    "--opset", metavar="N", type=int, help=f"Version of ONNX's operators.  [{OLDEST_OPSET}]"
)
def export(run: Path, out: Path, weights: str, **asked: Any) -> None:
    """Write the plain network of a RUN to OUT, for other programs: .onnx, .pt2 or .safetensors.

    The pretext branches are gone; the output is yaw, pitch, roll in degrees. The file says in its
    metadata what its numbers mean, and is compared with the network before it takes its place.
    """
    target = Target.choose(out, **asked)
    require_packages(target.format)
    from hmtl.export.trained import load_trained
    from hmtl.export.writing import export as write

    trained = load_trained(run, weights)
    for line in _report(trained, target, write(trained, target)):
        click.echo(encodable(printable(line)))


def _report(trained: "Trained", target: Target, exported: "Exported") -> list[str]:
    """Return the lines that say what was written and how it is called."""
    from hmtl.export.trained import NO_ROLL, facts

    said = facts(trained, target.input)
    crop = " of ".join(said[name] for name in ("crop", "layout") if name in said)
    lines = [
        f"{target.path}: {exported.size_bytes / 1e6:.1f} MB, step {trained.step}, crop {crop}",
        f"images: {said['input_layout']}, {said['input_range']}",
        "pose: float32 (N, 3), yaw, pitch, roll in degrees",
        f"read back, it differs by at most {exported.difference_deg:.2g} degrees",
    ]
    if trained.convention == "direction":
        lines.append(f"roll {NO_ROLL}")
    call = _CALLS[target.format].format(
        path=str(target.path), backbone=trained.config.model.backbone
    )
    return [*lines, "", *(f"    {line}" for line in call.splitlines())]
