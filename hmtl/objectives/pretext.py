"""Pretext pre-training: which tile lies where, and how it is turned."""

import torch
from torch import Tensor
from torchvision.models.resnet import ResNet

from hmtl.assemble import choose_precision
from hmtl.config import Config
from hmtl.data import Batch
from hmtl.errors import ConfigError
from hmtl.losses import pretext_loss
from hmtl.models.pretext import BRANCH_POINT, PretextNet
from hmtl.objectives.backbone import BackboneObjective


class PretextObjective(BackboneObjective):
    """A backbone with branches for a pretext task, and their cross entropies."""

    def __init__(
        self, model: PretextNet, *, precision: torch.dtype | None, description: str
    ) -> None:
        """Take a network; `precision` is what autocast computes in, None for float32."""
        super().__init__()
        self.model = model
        self._precision = precision
        self._description = description

    def kept(self) -> ResNet:
        """Return the backbone."""
        return self.model.backbone

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the pretext tasks; see `pretext_loss`."""
        precision = self._precision
        with torch.autocast(
            batch.images.device.type, dtype=precision, enabled=precision is not None
        ):
            answers = self.model(batch.normalized(dtype=precision))
        return pretext_loss(answers, batch.permutation, batch.turns, batch.puzzled)

    def describe(self) -> str:
        """Return backbone and pretext task."""
        return self._description


def build_pretext_objective(config: Config, device: torch.device) -> PretextObjective:
    """Return the network of a config with its random weights on `device`, and its loss.

    Raises ConfigError where there is nothing to ask, or the branches leave out a part of the
    backbone.
    """
    pretext = config.pretext
    if pretext.task == "none" or not pretext.heads:
        raise ConfigError(
            "config keys 'pretext.task' and 'pretext.heads' must name a task and have heads for it"
            f" where it is all that is learnt, got {pretext.task!r} and {pretext.heads}"
        )
    if pretext.branch_point != BRANCH_POINT:
        raise ConfigError(
            f"config key 'pretext.branch_point' must be {BRANCH_POINT} where the pretext task is"
            f" all that is learnt, got {pretext.branch_point}"
        )
    model = PretextNet(
        backbone=config.model.backbone,
        pretext=pretext.task,
        grid=pretext.grid,
        pretext_dropout=pretext.dropout,
        seed=config.train.seed,
    )
    grid = f"{pretext.grid}×{pretext.grid}"
    objective = PretextObjective(
        model,
        precision=choose_precision(config.train.amp, device),
        description=f"{config.model.backbone}, pretext {pretext.task} {grid}",
    )
    return objective.to(device).to(memory_format=torch.channels_last)
