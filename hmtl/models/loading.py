"""Weights by name into a network, all of them or none."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.models.resnet import ResNet

# What files hold beside a backbone: torchvision's classifier, and our heads.
_HEADS = ("fc.", "pose.")


def load_backbone(backbone: ResNet, weights: Mapping[str, Tensor]) -> None:
    """Give a backbone the weights of one under torchvision's names, to start training from.

    The heads of the source (`fc.*`, `pose.*`) are ignored, and batch counters may be missing.
    ValueError names what does not fit.
    """
    own = dict(backbone.state_dict())
    given = {name: tensor for name, tensor in weights.items() if not name.startswith(_HEADS)}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    for name in counters - given.keys():
        del own[name]
    load_tensors(own, given, "weights of the backbone")


def load_tensors(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Copy tensors by name into those of `own`, all of them or none.

    ValueError names what is missing, unexpected or of another shape; `what` begins its message.
    """
    problems = [
        f"{label} {_some(names)}"
        for label, names in (
            ("missing", own.keys() - given.keys()),
            ("unexpected", given.keys() - own.keys()),
            (
                "other shape",
                {n for n in own.keys() & given.keys() if own[n].shape != given[n].shape},
            ),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{what} do not fit: {'; '.join(problems)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def _some(names: set[str]) -> str:
    """Return up to three of the names, in order, and how many more there are."""
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
