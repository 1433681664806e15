"""Optimizers by name."""

from collections.abc import Iterable

from torch import Tensor

from hmtl.optim.adabelief import DEFAULT_EPS, AdaBelief
from hmtl.optim.fused import SGD, AdamW
from hmtl.optim.lars import LARS

MaskableOptimizer = AdaBelief | LARS | AdamW | SGD


def build_optimizer(
    name: str,
    params: Iterable[Tensor],
    lr: float,
    weight_decay: float,
    *,
    eps: float = DEFAULT_EPS,
    rectify: bool = True,
    momentum: float = 0.9,
    bias_lr_ratio: float = 1.0,
) -> MaskableOptimizer:
    """Return the optimizer called `name`, whose `step` takes `enabled`.

    `eps` and `rectify` are adabelief's, `momentum` is sgd's and lars's, `bias_lr_ratio` lars's.
    """
    if name == "adabelief":
        return AdaBelief(params, lr=lr, eps=eps, weight_decay=weight_decay, rectify=rectify)
    if name == "lars":
        return LARS(
            params,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            bias_lr_ratio=bias_lr_ratio,
        )
    if name == "adamw":
        return AdamW(params, lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return SGD(params, lr=lr, weight_decay=weight_decay, momentum=momentum)
    known = ["adabelief", "adamw", "lars", "sgd"]
    raise ValueError(f"optimizer must be one of {known}, got {name!r}")


def update(optimizer: MaskableOptimizer, *, where: Tensor) -> None:
    """Do the optimizer's update, or none unless `where` () is True.

    On a GPU the device decides. On the CPU there is nothing to wait for, and the mask would take a
    fifth of the update's time.
    """
    if where.device.type != "cpu":
        optimizer.step(enabled=where)
    elif where:
        optimizer.step()
