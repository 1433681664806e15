"""Checkpoints and weights of a run, written beside its training."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hmtl import checkpoint
from hmtl.assemble import BEST_WEIGHTS, WEIGHTS
from hmtl.config import Config
from hmtl.run_checkpoints import LAST, RunCheckpoints


class Saver:
    """Writes what a run goes on from, and knows what was written last."""

    def __init__(self, out: Path, config: Config) -> None:
        """Write into the run folder `out`, as often as the config wants it."""
        self._out, self._config = out, config
        self._writer = checkpoint.Writer()
        self._checkpoints = RunCheckpoints(out, keep=config.train.keep_checkpoints)
        self._step: int | None = None
        self._at = time.monotonic()

    def resumed(self, step: int) -> None:
        """Take note that the run goes on from its newest checkpoint, which is of `step`."""
        self._step = step
        self._checkpoints.resumed(step)

    def save(
        self, state: Mapping[str, Any], weights: Mapping[str, Tensor] | None, *, best: bool
    ) -> float:
        """Copy a state, and the plain network's weights if given, and begin to write them.

        `best` writes both once more as the best ones. Returns for how many seconds the caller stood
        still; RunError tells of a write before that failed.
        """
        began, step = time.monotonic(), state["step"]
        # Before the copies are made: there may not be memory for those of two writes.
        self._writer.wait()
        copied = checkpoint.snapshot(state)
        names = [] if weights is None else [WEIGHTS, BEST_WEIGHTS] if best else [WEIGHTS]
        plain = checkpoint.snapshot(weights)

        def write() -> None:
            with self._checkpoints.telling_what_is_left():
                for name in names:
                    checkpoint.save_weights(self._out / name, plain, self._config, step)
                self._checkpoints.write(copied, best=best)

        self._writer.submit(write)
        self._step, self._at = step, time.monotonic()
        return self._at - began

    def is_due(self) -> bool:
        """Return whether `train.checkpoint_minutes` have passed since the last checkpoint."""
        minutes = (time.monotonic() - self._at) / 60.0
        return 0.0 < self._config.train.checkpoint_minutes <= minutes

    def begin_waiting(self) -> None:
        """Count the minutes from now on, as if a checkpoint had just been begun."""
        self._at = time.monotonic()

    def put_off(self) -> None:
        """Let the next checkpoint be due at once."""
        self._at = -math.inf

    @property
    def busy(self) -> bool:
        """Whether a write is still going on."""
        return self._writer.busy

    def check(self) -> None:
        """Raise the RunError of a write that has failed; does not wait."""
        self._writer.check()

    def wait(self) -> None:
        """Wait until everything is on the disk; raises the RunError of a failed write."""
        self._writer.wait()

    def close(self) -> None:
        """Finish the pending write; its error is logged, as another one may be on its way."""
        self._writer.close()

    def describe_last(self) -> str:
        """Return of which step the last checkpoint is and where it lies, in words."""
        if self._step is None:
            return "there is no checkpoint yet"
        return f"the last checkpoint is of step {self._step} in {self._out / LAST}"
