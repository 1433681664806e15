"""Barlow Twins' loss: redundancy reduction between the embeddings of two views.

Zbontar et al., "Barlow Twins", 2021, equation 1, with the statistics of the global batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmtl.distributed import all_reduce_sum, world_size

# That of the batch normalisation in the authors' code; embeddings without spread give 0, not NaN.
EPS = 1e-5


class Redundancy(NamedTuple):
    """The loss of a batch and what tells whether it is a good one, each ()."""

    loss: Tensor
    """sum((1 - C_ii)²) + redundancy_weight · sum(C_ij²), i ≠ j; differentiable."""
    mean_diagonal: Tensor
    """How alike the views are to the same feature: 1 at best."""
    rms_off_diagonal: Tensor
    """How alike two features are: 0 at best, which few samples cannot reach."""


def barlow_twins(first: Tensor, second: Tensor, redundancy_weight: float) -> Redundancy:
    """Return the loss of the embeddings (n, D) of two views, in float32 whatever their type.

    C is the cross-correlation (D, D) over all ranks' rows, of which each rank has n; each
    embedding is standardised with the mean and the deviation of all of them.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"embeddings must both be (n, D), got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    with torch.autocast(first.device.type, enabled=False):
        rows = len(first) * world_size()
        views = torch.stack([first.float(), second.float()])  # (2, n, D)
        centred = views - all_reduce_sum(views.sum(dim=1, keepdim=True)) / rows
        variance = all_reduce_sum(centred.square().sum(dim=1, keepdim=True)) / rows
        standardised = centred * (variance + EPS).rsqrt()
        correlation = all_reduce_sum(standardised[0].T @ standardised[1]) / rows  # (D, D)
        diagonal = correlation.diagonal()
        squares = _off_diagonal(correlation).square().sum()
        loss = (1.0 - diagonal).square().sum() + redundancy_weight * squares
    features = len(diagonal)
    spread = (squares.detach() / max(1, features * (features - 1))).sqrt()
    return Redundancy(loss, diagonal.detach().mean(), spread)


def _off_diagonal(square: Tensor) -> Tensor:
    """Return the elements off the diagonal of (D, D) without a copy, as (D - 1, D)."""
    side = len(square)
    # Without the last element, rows of D + 1 begin with those of the diagonal.
    return square.flatten()[:-1].view(side - 1, side + 1)[:, 1:]


def lower_bound(rows: int, features: int, redundancy_weight: float) -> float:
    """Return what the loss of `rows` samples, standardised together, cannot fall below.

    Centred rows leave C a rank of at most r = rows - 1, and |tr C| ≤ √r ‖C‖: the squares off a
    diagonal of a sum to at least a²K, K = D²/r - D. The minimum of D(1 - a)² + λa²K over a is
    DλK / (D + λK); diagonals that differ only raise it where λ < 1, and beyond, the bound of λ = 1
    still holds. With more rows than features it is 0.
    """
    if rows < 2:
        # Nothing can be said by a correlation of one sample, which is 0.
        return float(features)
    weight = min(redundancy_weight, 1.0)
    excess = max(0.0, features**2 / (rows - 1) - features)
    return features * weight * excess / (features + weight * excess)
