"""What optimizers share whose update of a whole group can be left out on the device."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class GroupOptimizer(Optimizer, ABC):
    """Updates the parameters of a group together, all or none of them."""

    @torch.no_grad()
    def step(
        self, closure: Callable[[], Any] | None = None, *, enabled: Tensor | None = None
    ) -> Any:
        """Update the parameters that have gradients; where `enabled` () is False, change nothing.

        `enabled` is a bool tensor on the parameters' device, such as "all gradients are finite".
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(group, params, enabled)
        return loss

    @abstractmethod
    def _update(self, group: dict[str, Any], params: list[Tensor], enabled: Tensor | None) -> None:
        """Update parameters of a group, which all have gradients, or none unless `enabled` ()."""
