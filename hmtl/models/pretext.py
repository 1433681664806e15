"""The network of pretext pre-training: a backbone and the branches that ask it about tiles."""

from torch import Tensor, nn

from hmtl.models.backbone import build_backbone, shared_features
from hmtl.models.multi_task import PRETEXT_TASKS, build_branches
from hmtl.models.seeding import random_state

BRANCH_POINT = 4
"""The whole backbone is learnt: the branches stand behind its last stage."""


class PretextNet(nn.Module):
    """A ResNet without a pose head, with the branches of a pretext task at its end."""

    def __init__(
        self, *, backbone: str, pretext: str, grid: int, pretext_dropout: float, seed: int
    ) -> None:
        """Build the network with random weights that depend on `seed` alone.

        The backbone has the bits that a `MultiTaskNet` of this seed has.
        """
        super().__init__()
        tasks = PRETEXT_TASKS[pretext]
        with random_state(2 * seed):
            self.backbone = build_backbone(backbone)
        with random_state(2 * seed + 1):
            self.branches = build_branches(
                tasks, backbone, BRANCH_POINT, grid=grid, dropout=pretext_dropout
            )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return by task the logits (N, T, classes) of normalised images (N, 3, S, S)."""
        features, _ = shared_features(self.backbone, images, BRANCH_POINT)
        return {task: branch(features) for task, branch in self.branches.items()}
