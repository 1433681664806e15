"""The layers after the shared features: pose heads and the pretext branch.

A pose head maps features (N, D) to a `PoseAnswer`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmtl.models.backbone import build_branch_block
from hmtl.models.rotation import matrix_of_six, pose_of_matrix

POSE_LIMIT_DEG = 99.0


def bin_count(bin_width: int) -> int:
    """Return how many bins of `bin_width` degrees lie between -99 and 99."""
    if bin_width not in (1, 3):
        raise ValueError(f"bin_width must be 1 or 3, got {bin_width}")
    return round(2 * POSE_LIMIT_DEG) // bin_width


def bin_index(pose: Tensor, bin_width: int) -> Tensor:
    """Return the bin (int64) of each angle in degrees; exactly +99 belongs to the last one.

    Angles outside [-99, 99] and NaN get indices outside 0 … B-1, never a neighbour's.
    """
    count = bin_count(bin_width)
    edges = torch.arange(count + 1, device=pose.device) * float(bin_width) - POSE_LIMIT_DEG
    index = torch.bucketize(pose.contiguous(), edges, right=True) - 1
    return index - (pose == POSE_LIMIT_DEG).long()


def _linear_float32(linear: nn.Linear, features: Tensor) -> Tensor:
    # In bfloat16 an angle of 60 degrees would be rounded to a quarter of a degree.
    if torch.is_autocast_enabled(features.device.type):
        with torch.autocast(features.device.type, enabled=False):
            return nn.functional.linear(features.float(), linear.weight, linear.bias)
    return nn.functional.linear(features, linear.weight, linear.bias)


class PoseAnswer(NamedTuple):
    """What a pose head says, float32; None where it does not work that way."""

    pose: Tensor
    """(N, 3) yaw, pitch, roll in degrees."""
    logits: Tensor | None = None
    """(N, 3, B) of the bins of each angle."""
    rotation: Tensor | None = None
    """(N, 3, 3) the matrix that the pose is read from."""


class HopenetHead(nn.Module):
    """Classify each angle into bins; the pose is the expectation of the bins' angles."""

    angles: Tensor

    def __init__(self, features: int, *, bin_width: int, decode: str, dropout: float) -> None:
        super().__init__()
        if decode not in ("left", "centre"):
            raise ValueError(f"decode must be 'left' or 'centre', got {decode!r}")
        self.bins = bin_count(bin_width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, 3 * self.bins)
        offset = bin_width / 2 if decode == "centre" else 0.0
        angles = torch.arange(self.bins) * float(bin_width) - POSE_LIMIT_DEG + offset
        self.register_buffer("angles", angles, persistent=False)

    def forward(self, features: Tensor) -> PoseAnswer:
        """Return the pose and the logits of the bins."""
        logits = _linear_float32(self.linear, self.dropout(features))
        logits = logits.view(-1, 3, self.bins)  # (N, 3, B)
        # A product and a sum: autocast would turn a matrix product into half precision.
        return PoseAnswer((logits.softmax(dim=-1) * self.angles).sum(dim=-1), logits)


class RegressionHead(nn.Module):
    """Predict the three angles in degrees with one dense layer."""

    def __init__(self, features: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, 3)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> PoseAnswer:
        """Return the pose."""
        return PoseAnswer(_linear_float32(self.linear, self.dropout(features)))


class SixdHead(nn.Module):
    """Predict six numbers that stand for a rotation without jumps, see `matrix_of_six`."""

    def __init__(self, features: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, 6)
        with torch.no_grad():
            # Training begins around the head that faces the viewer.
            self.linear.bias.copy_(torch.eye(3)[:2].flatten())

    def forward(self, features: Tensor) -> PoseAnswer:
        """Return the rotation, and its pose without gradient: angles are not learnt here."""
        rotation = matrix_of_six(_linear_float32(self.linear, self.dropout(features)))
        return PoseAnswer(pose_of_matrix(rotation.detach()), rotation=rotation)


PoseHead = HopenetHead | RegressionHead | SixdHead


def build_pose_head(
    name: str, features: int, *, bin_width: int, decode: str, dropout: float
) -> PoseHead:
    """Return the pose head called `name`, for features (N, `features`)."""
    if name == "hopenet":
        return HopenetHead(features, bin_width=bin_width, decode=decode, dropout=dropout)
    if name == "regression":
        return RegressionHead(features, dropout=dropout)
    if name == "sixd":
        return SixdHead(features, dropout=dropout)
    raise ValueError(f"head must be one of ['hopenet', 'regression', 'sixd'], got {name!r}")


class PretextBranch(nn.Module):
    """A bottleneck block, pooling, dropout and one classifier for each cell of the grid.

    The classifiers of the T cells are the rows of one dense layer, which computes the same.
    """

    def __init__(
        self, backbone_name: str, branch_point: int, *, cells: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.shape = (cells, classes)
        self.block, features = build_branch_block(backbone_name, branch_point)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, cells * classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (N, T, classes) of features (N, C, H, W)."""
        pooled = self.pool(self.block(features)).flatten(1)
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits.view(-1, *self.shape)  # (N, T, classes)
