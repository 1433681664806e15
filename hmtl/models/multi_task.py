"""The network that is trained on pose and a pretext task at once, and the plain one it leaves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models.resnet import ResNet

from hmtl.models.backbone import STAGE_WIDTHS, build_backbone, shared_features
from hmtl.models.heads import PoseAnswer, PoseHead, PretextBranch, build_pose_head
from hmtl.models.loading import load_tensors
from hmtl.models.seeding import random_state

PRETEXT_TASKS: dict[str, tuple[str, ...]] = {
    "none": (),
    "puzzle": ("puzzle",),
    "rotation": ("rotation",),
    "puzzle-rotation": ("puzzle", "rotation"),
}
QUARTER_TURNS = 4


class Outputs(NamedTuple):
    """What the network says about a batch; None where it has no such head."""

    pose: Tensor
    """(N, 3) yaw, pitch, roll in degrees, float32."""
    logits: Tensor | None
    """(N, 3, B) of the bins of each angle, float32."""
    puzzle: Tensor | None
    """(N, T, T): for each cell, of the tiles that may have come there."""
    turns: Tensor | None
    """(N, T, 4): for each cell, of its quarter turns."""
    rotation: Tensor | None = None
    """(N, 3, 3) of the head, float32."""


class PoseNetwork(nn.Module):
    """A plain ResNet with a pose head: what is evaluated and exported."""

    def __init__(self, backbone: ResNet, pose: PoseHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.pose = pose

    def forward(self, images: Tensor) -> Tensor:
        """Return the poses (N, 3) in degrees of normalised images (N, 3, S, S)."""
        answer: PoseAnswer = self.pose(self.backbone(images))
        return answer.pose


def build_branches(
    tasks: Sequence[str], backbone: str, branch_point: int, *, grid: int, dropout: float
) -> nn.ModuleDict:
    """Return the pretext branches by task, for a backbone's features at the branch point."""
    cells = grid**2
    classes = {"puzzle": cells, "rotation": QUARTER_TURNS}
    return nn.ModuleDict(
        {
            task: PretextBranch(
                backbone, branch_point, cells=cells, classes=classes[task], dropout=dropout
            )
            for task in tasks
        }
    )


class MultiTaskNet(nn.Module):
    """A ResNet with a pose head and, from a branch point on, branches for a pretext task."""

    def __init__(
        self,
        *,
        backbone: str,
        head: str,
        bin_width: int,
        decode: str,
        dropout: float,
        pretext: str,
        grid: int,
        branch_point: int,
        pretext_dropout: float,
        heads: bool,
        seed: int,
    ) -> None:
        """Build the network with random weights that depend on `seed` alone.

        Backbone and pose head are drawn from a generator of their own: they are the same bits
        whatever the pretext task. `heads=False` leaves the branches out; torch's global random
        state is neither read nor changed.
        """
        super().__init__()
        if pretext not in PRETEXT_TASKS:
            raise ValueError(f"pretext must be one of {list(PRETEXT_TASKS)}, got {pretext!r}")
        tasks = PRETEXT_TASKS[pretext] if heads else ()
        self.branch_point = branch_point if tasks else None
        # torch's CPU generator reads 32 bits of a seed, so the two streams differ in the lowest.
        with random_state(2 * seed):
            self.backbone = build_backbone(backbone)
            self.pose = build_pose_head(
                head,
                STAGE_WIDTHS[backbone][-1],
                bin_width=bin_width,
                decode=decode,
                dropout=dropout,
            )
        with random_state(2 * seed + 1):
            self.branches = build_branches(
                tasks, backbone, branch_point, grid=grid, dropout=pretext_dropout
            )

    def forward(self, images: Tensor) -> Outputs:
        """Return what all heads say about normalised images (N, 3, S, S)."""
        branched, pooled = shared_features(self.backbone, images, self.branch_point)
        answer: PoseAnswer = self.pose(pooled)
        answers = {task: branch(branched) for task, branch in self.branches.items()}
        return Outputs(
            pose=answer.pose,
            logits=answer.logits,
            puzzle=answers.get("puzzle"),
            turns=answers.get("rotation"),
            rotation=answer.rotation,
        )

    def pose_network(self) -> PoseNetwork:
        """Return the plain network from images to poses.

        It shares this one's modules: weights, and also whether they are in training mode.
        """
        return PoseNetwork(self.backbone, self.pose).train(self.training)

    def weights(self) -> dict[str, Tensor]:
        """Return the plain network's weights: torchvision's names, and `pose.*` for the head."""
        head = {f"pose.{name}": tensor for name, tensor in self.pose.state_dict().items()}
        return dict(self.backbone.state_dict()) | head

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights()` returned; ValueError names what does not fit."""
        load_tensors(self.weights(), weights, "weights of the network")
