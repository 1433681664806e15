"""How long forward, backward and optimizer take of a trainer's steps, without a change to them."""

import time
from types import TracebackType
from typing import Any, Self

from torch import Tensor
from torch.autograd import Variable

from hmtl.trainer import Trainer

FORWARD, BACKWARD, OPTIMIZER, OUTSIDE = "forward", "backward", "optimizer", "outside"


class Parts:
    """Notes when the parts of a step begin and end, with torch's own hooks.

    Forward is the objective's call, losses and normalisation included; backward lasts from the
    gradient of the loss to the last of the parameters'. On a GPU these are times of the host.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.counts = False
        """Whether what happens now belongs to a block that is timed."""
        self._seconds = dict.fromkeys((FORWARD, BACKWARD, OPTIMIZER), 0.0)
        self._began = 0.0
        self._wall_s = 0.0
        self._steps = 0

    def __enter__(self) -> Self:
        objective, optimizer = self._trainer.objective, self._trainer.learner.optimizer
        self._handles = [
            objective.register_forward_pre_hook(lambda *_: self._begin()),
            objective.register_forward_hook(self._after_forward),
            optimizer.register_step_pre_hook(lambda *_: self._begin()),
            optimizer.register_step_post_hook(lambda *_: self._end(OPTIMIZER)),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def add_block(self, steps: int, wall_s: float) -> None:
        """Count a block whose steps were noted."""
        self._steps += steps
        self._wall_s += wall_s

    def outside(self) -> float:
        """Return the share of the blocks' time that is in none of the parts."""
        return max(0.0, 1.0 - sum(self._seconds.values()) / self._wall_s)

    def milliseconds(self) -> dict[str, float]:
        """Return the parts of a step, and what is outside of them."""
        scale = 1000.0 / self._steps
        inside = {part: seconds * scale for part, seconds in self._seconds.items()}
        return {**inside, OUTSIDE: self._wall_s * scale - sum(inside.values())}

    def _begin(self) -> None:
        self._began = time.perf_counter()

    def _end(self, part: str) -> None:
        now = time.perf_counter()
        if self.counts:
            self._seconds[part] += now - self._began
        self._began = now

    def _after_forward(self, module: Any, batch: Any, losses: dict[str, Tensor]) -> None:  # noqa: ARG002
        self._end(FORWARD)
        losses["loss"].register_hook(self._at_backward)  # type: ignore[no-untyped-call]

    def _at_backward(self, gradient: Tensor) -> None:  # noqa: ARG002
        self._begin()
        # As DistributedDataParallel learns of the end of a backward pass.
        Variable._execution_engine.queue_callback(lambda: self._end(BACKWARD))
