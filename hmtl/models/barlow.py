"""Barlow Twins' network: the backbone and the projector whose output the loss is taken of."""

from collections.abc import Sequence

from torch import Tensor, nn

from hmtl.models.backbone import STAGE_WIDTHS, build_backbone
from hmtl.models.seeding import random_state


class BarlowTwinsNet(nn.Module):
    """A ResNet and a projector: Zbontar et al., "Barlow Twins", 2021, section 2.2."""

    def __init__(self, *, backbone: str, projector: Sequence[int], seed: int) -> None:
        """Build the network with random weights that depend on `seed` alone.

        `projector` are the widths of its layers. The backbone has the bits that a `MultiTaskNet` of
        this seed has.
        """
        super().__init__()
        with random_state(2 * seed):
            self.backbone = build_backbone(backbone)
        with random_state(2 * seed + 1):
            self.projector = build_projector(STAGE_WIDTHS[backbone][-1], projector)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (N, D) of one view's normalised images (N, 3, S, S)."""
        embeddings: Tensor = self.projector(self.backbone(images))
        return embeddings


def build_projector(features: int, widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these widths, all but the last with batch normalisation and ReLU.

    None has a bias: it would be taken off again by the normalisation that follows, which for the
    last layer is that of the loss.
    """
    if not widths:
        raise ValueError("projector must have a layer, got no widths")
    layers: list[nn.Module] = []
    for inputs, outputs in zip((features, *widths[:-2]), widths[:-1], strict=True):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    inputs = widths[-2] if len(widths) > 1 else features
    return nn.Sequential(*layers, nn.Linear(inputs, widths[-1], bias=False))
