"""The losses of pose and pretext task, and how they make one.

Everything is computed in float32. First the sums over the samples and their counts are taken, then
means and roots, so that sums over several processes give the loss of the global batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hmtl.distributed import all_reduce_sum, world_size
from hmtl.models.heads import bin_index
from hmtl.models.multi_task import Outputs
from hmtl.models.rotation import geodesic, matrix_of_pose

ANGLES = ("yaw", "pitch", "roll")

Weighting = Callable[[Mapping[str, Tensor]], Tensor]


class LossSums(NamedTuple):
    """Sums over the samples of a batch, float32; None where the network has no such head."""

    present: Tensor
    """(3,) samples that have the angle."""
    squared_error: Tensor
    """(3,) of the angles, in square degrees."""
    cross_entropy: Tensor | None
    """(3,) of the bins of the angles."""
    puzzled: Tensor
    """() samples with puzzled inputs."""
    puzzle: Tensor | None
    """() cross entropy of the puzzle, summed over the cells."""
    rotation: Tensor | None
    """() cross entropy of the turns, summed over the cells."""
    whole: Tensor | None = None
    """() samples that have all three angles."""
    geodesic: Tensor | None = None
    """() angles between predicted and true rotation, in degrees."""


def multi_task_loss(
    outputs: Outputs,
    pose: Tensor,
    permutation: Tensor | None,
    turns: Tensor | None,
    puzzled: Tensor,
    *,
    weighting: Weighting,
    alpha: float,
    regression: str,
    bin_width: int,
) -> dict[str, Tensor]:
    """Return the total "loss", the "pose" part and each of yaw, pitch, roll, puzzle, rotation.

    `pose` (N, 3) is in degrees; NaN leaves an angle of a sample out, and other angles must lie in
    [-99, 99] for the hopenet head, which callers see to. `permutation` and `turns` are (N, T),
    `puzzled` (N,) says whose pretext answers count. The pretext parts are without their weight.
    A head that predicts rotations learns by the mean angle to the true one, in degrees. Where
    several processes train together, the losses are those of all their samples.
    """
    sums = loss_sums(outputs, pose, permutation, turns, puzzled, bin_width=bin_width)
    return combine(over_ranks(sums), weighting=weighting, alpha=alpha, regression=regression)


def loss_sums(
    outputs: Outputs,
    pose: Tensor,
    permutation: Tensor | None,
    turns: Tensor | None,
    puzzled: Tensor,
    *,
    bin_width: int,
) -> LossSums:
    """Return the sums that the losses of a batch are made of; arguments as `multi_task_loss`."""
    present = ~pose.isnan()
    error = torch.where(present, outputs.pose.float() - pose, 0.0)
    cross_entropy = None
    if outputs.logits is not None:
        labels = torch.where(present, bin_index(pose, bin_width), 0)
        entropies = _cross_entropy(outputs.logits, labels)
        cross_entropy = torch.where(present, entropies, 0.0).sum(dim=0)
    puzzle, rotation = (
        None if logits is None else _pretext_sum(logits, _known(labels, name), puzzled)
        for logits, labels, name in (
            (outputs.puzzle, permutation, "permutation"),
            (outputs.turns, turns, "turns"),
        )
    )
    whole, angle = None, None
    if outputs.rotation is not None:
        known = present.all(dim=1)
        truth = matrix_of_pose(torch.where(known[:, None], pose, 0.0))
        whole = known.sum().float()
        angle = torch.where(known, geodesic(outputs.rotation, truth), 0.0).sum()
    return LossSums(
        present=present.sum(dim=0).float(),
        squared_error=error.square().sum(dim=0),
        cross_entropy=cross_entropy,
        puzzled=puzzled.sum().float(),
        puzzle=puzzle,
        rotation=rotation,
        whole=whole,
        geodesic=angle,
    )


def over_ranks(sums: LossSums) -> LossSums:
    """Return the sums over the samples of all ranks, with one all-reduce for all of them."""
    if world_size() == 1:
        return sums
    present = {name: value for name, value in sums._asdict().items() if value is not None}
    flat = torch.cat([value.flatten() for value in present.values()])
    parts = torch.split(all_reduce_sum(flat), [value.numel() for value in present.values()])
    return sums._replace(
        **{
            name: part.view_as(value)
            for (name, value), part in zip(present.items(), parts, strict=True)
        }
    )


def combine(
    sums: LossSums, *, weighting: Weighting, alpha: float, regression: str
) -> dict[str, Tensor]:
    """Return the losses of sums, which may be those of several processes; see `multi_task_loss`."""
    count = sums.present.clamp(min=1.0)
    angles = _regression_loss(sums.squared_error / count, regression)
    if sums.cross_entropy is not None:
        angles = sums.cross_entropy / count + alpha * angles
    pose = angles.sum()
    if sums.geodesic is not None and sums.whole is not None:
        # The angles of a rotation are logged; what is learnt is the rotation.
        pose = sums.geodesic / sums.whole.clamp(min=1.0)
    tasks = {"pose": pose}
    for name, pretext in (("puzzle", sums.puzzle), ("rotation", sums.rotation)):
        if pretext is not None:
            tasks[name] = pretext / sums.puzzled.clamp(min=1.0)
    parts = dict(zip(ANGLES, angles.unbind(), strict=True))
    return {"loss": weighting(tasks)} | tasks | parts


def pretext_loss(
    answers: Mapping[str, Tensor],
    permutation: Tensor | None,
    turns: Tensor | None,
    puzzled: Tensor,
) -> dict[str, Tensor]:
    """Return the total "loss", that of each task, and what share of the cells it names right.

    `answers` are the logits (N, T, classes) of "puzzle" and "rotation"; the other arguments are
    those of `multi_task_loss`. Cross entropies are summed over the cells, and the mean is that of
    all ranks' puzzled samples.
    """
    sums = {"samples": puzzled.sum().float()}
    for task, logits in answers.items():
        labels = _known(permutation if task == "puzzle" else turns, task)
        right = (logits.detach().argmax(dim=-1) == labels).float().mean(dim=1)
        sums[task] = _pretext_sum(logits, labels, puzzled)
        sums[f"{task}_accuracy"] = torch.where(puzzled, right, 0.0).sum()
    totals = all_reduce_sum(torch.stack(list(sums.values())))
    means = (totals / totals[0].clamp(min=1.0)).unbind()
    found = dict(zip(sums, means, strict=True))
    del found["samples"]
    return {"loss": torch.stack([found[task] for task in answers]).sum()} | found


class FixedWeighting(nn.Module):
    """Sum the tasks' losses, the pretext ones times a constant."""

    def __init__(self, pretext_weight: float) -> None:
        super().__init__()
        self.pretext_weight = pretext_weight

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the total of losses by task."""
        total = losses["pose"]
        for task, loss in losses.items():
            if task != "pose":
                total = total + self.pretext_weight * loss
        return total


class UncertaintyWeighting(nn.Module):
    """Weight the tasks by learnt uncertainty: the sum of exp(-s)·L + s / 2, s = log σ².

    Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", 2018, in the
    form for classification, because every task here has a cross entropy.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        zeros = {task: nn.Parameter(torch.zeros(())) for task in tasks}
        self.log_variance = nn.ParameterDict(zeros)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the total of losses by task."""
        terms = [
            torch.exp(-self.log_variance[task]) * loss + 0.5 * self.log_variance[task]
            for task, loss in losses.items()
        ]
        return torch.stack(terms).sum()


class GeometricMeanWeighting(nn.Module):
    """Take the geometric mean of the tasks' losses; a loss of 0 is left out of it.

    Chennupati et al., "MultiNet++", 2019. A batch without puzzled samples has a pretext loss of 0,
    which would make the whole product vanish.
    """

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the geometric mean of losses by task."""
        values = torch.stack(list(losses.values()))
        positive = values > 0.0
        logs = torch.where(positive, values, 1.0).log()
        mean = (logs.sum() / positive.sum().clamp(min=1)).exp()
        return torch.where(positive.any(), mean, values.sum())


def build_weighting(name: str, *, tasks: Sequence[str], pretext_weight: float) -> nn.Module:
    """Return the weighting called `name`; what it learns, if anything, are its parameters.

    `tasks` are "pose" and those of the pretext branches; `pretext_weight` counts for "fixed" only.
    """
    if name == "fixed":
        return FixedWeighting(pretext_weight)
    if name == "uncertainty":
        return UncertaintyWeighting(tasks)
    if name == "geometric-mean":
        return GeometricMeanWeighting()
    known = ["fixed", "uncertainty", "geometric-mean"]
    raise ValueError(f"weighting must be one of {known}, got {name!r}")


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of logits (N, K, classes) at labels (N, K), shaped (N, K)."""
    flat = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), reduction="none"
    )
    return flat.view_as(labels)


def _known(labels: Tensor | None, name: str) -> Tensor:
    if labels is None:
        raise ValueError(f"the network has a head for {name}, but the batch has no {name}")
    return labels


def _pretext_sum(logits: Tensor, labels: Tensor, puzzled: Tensor) -> Tensor:
    """Return the sum over puzzled samples and cells of the cross entropy."""
    entropies = _cross_entropy(logits, labels).sum(dim=1)
    return torch.where(puzzled, entropies, 0.0).sum()


def _regression_loss(mean_square: Tensor, regression: str) -> Tensor:
    """Return mean squares (3,) or their roots; the root's gradient at 0 is 0 instead of NaN."""
    if regression == "mse":
        return mean_square
    if regression != "rmse":
        raise ValueError(f"regression must be one of ['rmse', 'mse'], got {regression!r}")
    positive = mean_square > 0.0
    return torch.where(positive, torch.where(positive, mean_square, 1.0).sqrt(), 0.0)
