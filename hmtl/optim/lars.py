"""LARS: momentum whose step in each tensor is a fixed part of that tensor's own length."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from hmtl.optim.groups import GroupOptimizer

# Keeps the ratio finite where a tensor and its gradient are 0; of timm and apex.
EPS = 1e-8


class LARS(GroupOptimizer):
    """Momentum SGD with layer-wise rates.

    You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017: the gradient
    of a tensor w, weight decay included, is multiplied by trust · |w| / (|g| + weight_decay · |w|).
    Tensors with at most one dimension (biases, normalisation) have neither decay nor ratio, as in
    the code of Barlow Twins, and a rate that is `bias_lr_ratio` of the others'.

    A step neither waits for the device nor branches on its numbers.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.2,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust: float = 0.001,
        bias_lr_ratio: float = 1.0,
    ) -> None:
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        if trust <= 0.0:
            raise ValueError(f"trust must be above 0, got {trust}")
        known = list(params)
        parts = [
            {"params": [param for param in known if param.ndim > 1], "adaptive": True},
            {
                "params": [param for param in known if param.ndim <= 1],
                "adaptive": False,
                "lr_ratio": bias_lr_ratio,
                "lr": lr * bias_lr_ratio,
            },
        ]
        defaults = {
            "lr": lr,
            "lr_ratio": 1.0,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
        }
        super().__init__([part for part in parts if part["params"]], defaults)

    def _update(self, group: dict[str, Any], params: list[Tensor], enabled: Tensor | None) -> None:
        for param in params:
            if not self.state[param]:
                self.state[param]["momentum"] = torch.zeros_like(param)
        momenta = [self.state[param]["momentum"] for param in params]
        grads = [param.grad for param in params if param.grad is not None]
        # In 64 bits, so that a factor is the float nearest to what it stands for.
        one = torch.ones((), dtype=torch.float64, device=params[0].device)
        active = one if enabled is None else enabled.double()
        if enabled is not None:
            # A factor of 0 would not rid the momenta of infinite gradients.
            grads = [torch.where(enabled, grad, 0.0) for grad in grads]
        if group["adaptive"]:
            ratios = _trust_ratios(params, grads, group["trust"], group["weight_decay"])
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(grads, ratios)
        torch._foreach_mul_(momenta, (1.0 - active * (1.0 - group["momentum"])).float())
        torch._foreach_add_(momenta, torch._foreach_mul(grads, active.float()))
        torch._foreach_add_(params, torch._foreach_mul(momenta, (-group["lr"] * active).float()))


def _trust_ratios(
    params: list[Tensor], grads: list[Tensor], trust: float, weight_decay: float
) -> list[Tensor]:
    """Return each tensor's ratio (); 1 where the tensor or its gradient is 0."""
    lengths = torch.stack(torch._foreach_norm(params))
    slopes = torch.stack(torch._foreach_norm(grads))
    ratios = trust * lengths / (slopes + weight_decay * lengths + EPS)
    return list(torch.where((lengths > 0.0) & (slopes > 0.0), ratios, 1.0).unbind())
