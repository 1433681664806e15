"""The learning rate as a function of the number of updates: resuming needs no state of it."""

import math
from bisect import bisect_right
from collections.abc import Sequence

from torch.optim import Optimizer


def step_rate(
    *,
    base: float,
    step: int,
    steps_per_epoch: int,
    milestones: Sequence[int],
    gamma: float,
    warmup_epochs: float,
) -> float:
    """Return the rate of the update that follows `step` updates: constant between milestones.

    It rises linearly to `base` over the warm-up, whose first update has a rate above 0, and is
    multiplied by `gamma` from each of the ascending milestones on, counted in finished epochs.
    """
    warmth = _warmth(step, warmup_epochs * steps_per_epoch)
    return base * warmth * gamma ** bisect_right(sorted(milestones), step / steps_per_epoch)


def cosine_rate(
    *,
    base: float,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    warmup_epochs: float,
    final: float,
) -> float:
    """Return the rate of the update that follows `step` updates: half a cosine after the warm-up.

    Loshchilov and Hutter, "SGDR", 2017, without restarts. The warm-up is that of `step_rate`; then
    the rate falls from `base` to `final · base`, which it would reach at the end of `epochs`.
    """
    warmup = warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * _warmth(step, warmup)
    progress = (step - warmup) / max(epochs * steps_per_epoch - warmup, 1.0)
    height = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return base * (final + (1.0 - final) * height)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give an optimizer its rate; a group with an "lr_ratio" gets that part of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_ratio", 1.0)


def _warmth(step: int, warmup_steps: float) -> float:
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
