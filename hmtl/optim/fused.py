"""torch's own optimizers, one kernel for all parameters, with an update that can be left out.

Their fused kernels take `found_inf`, a number on the device, and change nothing where it is 1; a
GradScaler sets it. Here it comes from `enabled`, as for the optimizers of this package.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay, torch's defaults."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, fused=True)

    def step(
        self, closure: Callable[[], Any] | None = None, *, enabled: Tensor | None = None
    ) -> Any:
        """Update the parameters that have gradients; where `enabled` () is False, change nothing.

        `enabled` is a bool tensor on the parameters' device.
        """
        with _masked(self, enabled):
            return super().step(closure)


class SGD(torch.optim.SGD):
    """Gradient descent with momentum; weight decay is added to the gradient."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, momentum=momentum, fused=True)

    def step(
        self, closure: Callable[[], Any] | None = None, *, enabled: Tensor | None = None
    ) -> Any:
        """Update the parameters that have gradients; where `enabled` () is False, change nothing.

        `enabled` is a bool tensor on the parameters' device.
        """
        for group in self.param_groups:
            for param in group["params"] if group["momentum"] else ():
                # The kernel would leave those of a first update that is left out unset.
                if param.grad is not None and not self.state[param]:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        with _masked(self, enabled):
            return super().step(closure)


@contextmanager
def _masked(optimizer: Any, enabled: Tensor | None) -> Iterator[None]:
    if enabled is None:
        # A GradScaler may have set it, and takes it away itself.
        yield
        return
    optimizer.found_inf = (~enabled).float()
    try:
        yield
    finally:
        del optimizer.found_inf
