"""Updates that are not finite: found on the device, and undone where the network itself moved.

Nothing here waits for the device.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def finite(losses: Iterable[Tensor], optimizer: Optimizer) -> Tensor:
    """Return () whether all losses () and all gradients of an optimizer's parameters are finite.

    So are their squares to be: second moments and trust ratios are made of them.
    """
    grads = [
        param.grad
        for group in optimizer.param_groups
        for param in group["params"]
        if param.grad is not None
    ]
    # A length is NaN or infinite where any element is; to look at each takes 30 times as long.
    lengths = torch._foreach_norm(grads) if grads else []
    values = [value.detach().float() for value in (*losses, *lengths)]
    return torch.stack(values).isfinite().all()


class KeptBuffers:
    """The buffers of a network, such as batch-norm's running statistics, before an update.

    The forward pass changes them before it is known whether its losses are finite.
    """

    def __init__(self, network: nn.Module) -> None:
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            by_type.setdefault(buffer.dtype, []).append(buffer)
        self._groups: list[Sequence[Tensor]] = list(by_type.values())
        self._kept: list[Tensor] = []

    def keep(self) -> None:
        """Note the buffers as they are."""
        self._kept = [_flat(buffers) for buffers in self._groups]

    def restore(self, *, unless: Tensor) -> None:
        """Bring back what `keep` noted, but where `unless` () is True change nothing."""
        for buffers, kept in zip(self._groups, self._kept, strict=True):
            chosen = torch.where(unless, _flat(buffers), kept)
            parts = torch.split(chosen, [buffer.numel() for buffer in buffers])
            views = [part.view_as(buffer) for part, buffer in zip(parts, buffers, strict=True)]
            torch._foreach_copy_(list(buffers), views)


def _flat(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.flatten() for buffer in buffers])
