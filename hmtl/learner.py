"""What learns: an objective and its optimizer, one update at a time, none of which waits."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hmtl.assemble import choose_precision
from hmtl.config import Config
from hmtl.data import Batch
from hmtl.distributed import data_parallel
from hmtl.objectives.objective import Objective
from hmtl.optim.build import build_optimizer, update
from hmtl.optim.finite import KeptBuffers, finite
from hmtl.optim.schedule import set_rate

SCALER_HALVINGS = 24
"""Updates in a row that a GradScaler may skip to find its scale: from 2^16 to far below 1."""


class Learner:
    """An objective on a device, and what changes its weights."""

    def __init__(self, config: Config, objective: Objective, device: torch.device) -> None:
        """Build the optimizer that the config names, for an objective that is on `device`."""
        settings = config.train
        self.objective = objective
        self._module = data_parallel(objective, deterministic=settings.deterministic)
        self.optimizer = build_optimizer(
            settings.optimizer,
            objective.parameters(),
            settings.lr,
            settings.weight_decay,
            eps=settings.eps,
            rectify=settings.rectify,
            momentum=settings.momentum,
            bias_lr_ratio=settings.bias_lr_ratio,
        )
        # Only float16 gradients need scaling: bfloat16 has the range of float32.
        halves = choose_precision(settings.amp, device) == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=halves)
        self._buffers = KeptBuffers(objective)
        self.patience = settings.bad_steps + (SCALER_HALVINGS if halves else 0)
        """How many updates in a row may come to nothing."""

    @property
    def rate(self) -> float:
        """The learning rate of the last update."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def update(self, batch: Batch, rate: float) -> tuple[Mapping[str, Tensor], Tensor]:
        """Do one update at a learning rate, or nothing where it is not finite.

        Returns the losses () by name and whether they and the gradients () were finite. Nothing
        here waits for the device.
        """
        set_rate(self.optimizer, rate)
        self._buffers.keep()
        losses: Mapping[str, Tensor] = self._module(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(losses["loss"]))
        # The scaler's own step would wait for the device to tell whether gradients are finite.
        self.scaler.unscale_(self.optimizer)
        good = finite(losses.values(), self.optimizer)
        update(self.optimizer, where=good)
        self._buffers.restore(unless=good)
        self.scaler.update()
        return losses, good

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes: network, moments and scale."""
        return {
            "model": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state; RuntimeError, ValueError or KeyError where it is of something else."""
        self.objective.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
