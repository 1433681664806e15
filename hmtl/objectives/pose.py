"""The pose, and a pretext task beside it: what the paper calls HMTL."""

from typing import Self

import torch
from torch import Tensor, nn

from hmtl.assemble import build_model, build_task_weighting, choose_precision, initialise
from hmtl.config import Config
from hmtl.data import Batch
from hmtl.losses import multi_task_loss
from hmtl.models.multi_task import MultiTaskNet, PoseNetwork
from hmtl.objectives.objective import Objective


class PoseObjective(Objective):
    """A network for pose and pretext task, and the weighted sum of their losses."""

    def __init__(
        self,
        model: MultiTaskNet,
        weighting: nn.Module,
        *,
        precision: torch.dtype | None,
        alpha: float,
        regression: str,
        bin_width: int,
        freeze_backbone: bool,
        description: str,
    ) -> None:
        """Take a network and what weights its tasks; the other arguments as `multi_task_loss`.

        `precision` is what autocast computes in, None for float32. A frozen backbone learns nothing
        and stays in evaluation mode.
        """
        super().__init__()
        # Network first: the optimizer has its parameters in this order.
        self.model = model
        self.weighting = weighting
        self._precision = precision
        self._alpha, self._regression, self._bin_width = alpha, regression, bin_width
        self._description = description
        self._freeze_backbone = freeze_backbone
        model.backbone.requires_grad_(not freeze_backbone)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but a frozen backbone, whose batch-norm statistics stay."""
        super().train(mode)
        if self._freeze_backbone:
            self.model.backbone.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of pose and pretext task; see `multi_task_loss`."""
        precision = self._precision
        with torch.autocast(
            batch.images.device.type, dtype=precision, enabled=precision is not None
        ):
            outputs = self.model(batch.normalized(dtype=precision))
        return multi_task_loss(
            outputs,
            batch.pose,
            batch.permutation,
            batch.turns,
            batch.puzzled,
            weighting=self.weighting,
            alpha=self._alpha,
            regression=self._regression,
            bin_width=self._bin_width,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return the plain network's weights: torchvision's names, and `pose.*` for the head."""
        return self.model.weights()

    def kept(self) -> PoseNetwork:
        """Return the plain network from images to poses, which shares this one's modules."""
        return self.model.pose_network()

    def initialise(self, config: Config) -> None:
        """Load the backbone that `model.init` names, if it names one."""
        initialise(self.model.backbone, config)

    def describe(self) -> str:
        """Return backbone, head and pretext task."""
        return self._description


def build_pose_objective(config: Config, device: torch.device) -> PoseObjective:
    """Return the network of a config with its random weights on `device`, and its loss."""
    model = build_model(config)
    objective = PoseObjective(
        model,
        build_task_weighting(config, model),
        precision=choose_precision(config.train.amp, device),
        alpha=config.loss.alpha,
        regression=config.loss.regression,
        bin_width=config.model.bin_width,
        freeze_backbone=config.train.freeze_backbone,
        description=(f"{config.model.backbone} {config.model.head}, pretext {config.pretext.task}"),
    )
    return objective.to(device).to(memory_format=torch.channels_last)
