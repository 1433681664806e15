"""Barlow Twins: features that two views of an image have in common, each its own."""

import torch
from torch import Tensor
from torchvision.models.resnet import ResNet

from hmtl.assemble import choose_precision
from hmtl.config import Config
from hmtl.data import Batch, normalize
from hmtl.distributed import world_size
from hmtl.errors import ConfigError
from hmtl.models.barlow import BarlowTwinsNet
from hmtl.objectives.backbone import BackboneObjective
from hmtl.redundancy import barlow_twins, lower_bound


class BarlowObjective(BackboneObjective):
    """A backbone with a projector, and Barlow Twins' loss."""

    def __init__(
        self,
        model: BarlowTwinsNet,
        *,
        precision: torch.dtype | None,
        redundancy_weight: float,
        description: str,
    ) -> None:
        """Take a network; `precision` is what autocast computes in, None for float32."""
        super().__init__()
        self.model = model
        self._precision = precision
        self._redundancy_weight = redundancy_weight
        self._description = description

    def kept(self) -> ResNet:
        """Return the backbone."""
        return self.model.backbone

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the global batch, its lower bound, and what the correlation is like.

        The views go through the network one after the other, each with batch statistics of its own.
        """
        precision = self._precision
        with torch.autocast(
            batch.images.device.type, dtype=precision, enabled=precision is not None
        ):
            first, second = (self.model(normalize(view, dtype=precision)) for view in batch.views)
        found = barlow_twins(first, second, self._redundancy_weight)
        bound = lower_bound(len(first) * world_size(), first.shape[1], self._redundancy_weight)
        return {
            "loss": found.loss,
            "lower_bound": found.loss.detach().new_full((), bound),
            "mean_diagonal": found.mean_diagonal,
            "rms_off_diagonal": found.rms_off_diagonal,
        }

    def describe(self) -> str:
        """Return backbone and projector."""
        return self._description


def build_barlow_objective(config: Config, device: torch.device) -> BarlowObjective:
    """Return the network of a config with its random weights on `device`, and its loss.

    Raises ConfigError for a batch whose statistics say nothing.
    """
    if config.train.batch_size < 2 * world_size():
        raise ConfigError(
            "config key 'train.batch_size' must leave each process two samples to correlate, got"
            f" {config.train.batch_size} for {world_size()}"
        )
    backbone, projector = config.model.backbone, config.barlow.projector
    objective = BarlowObjective(
        BarlowTwinsNet(backbone=backbone, projector=projector, seed=config.train.seed),
        precision=choose_precision(config.train.amp, device),
        redundancy_weight=config.barlow.redundancy_weight,
        description=f"{backbone}, Barlow Twins, projector {'-'.join(map(str, projector))}",
    )
    return objective.to(device).to(memory_format=torch.channels_last)
