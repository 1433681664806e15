"""Training runs that take a second on one core: their settings, who watches, what they leave."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from torch import Tensor

from hmtl import checkpoint
from hmtl.config import Config
from hmtl.preset import load_preset
from hmtl.progress import Reporter

SMALL = {"model.backbone": "resnet18", "data.size": 32, "train.batch_size": 4}


def configured(
    preset: str, settings: Mapping[str, object], changes: Mapping[str, object]
) -> Config:
    """Return a preset with a test module's settings and one test's changes to them.

    Changes come as keyword arguments: `train__epochs` is `train.epochs`.
    """
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load_preset(preset).config.updated({**settings, **dotted})


def quiet() -> Reporter:
    return Reporter(Console(quiet=True))


class Watching(Reporter):
    """Says nothing, and calls a function with the step after every update."""

    def __init__(self, after: Callable[[int], None]) -> None:
        super().__init__(Console(quiet=True))
        self._after = after

    def step(self, step: int, epoch: int) -> None:
        super().step(step, epoch)
        self._after(step)


def interrupting(at: int | None) -> Reporter:
    """Raises after the update `at`, as a fault in the middle of a run would; None is never."""

    def interrupt(step: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    return Watching(interrupt)


def weights(run: Path, name: str = "weights.safetensors") -> dict[str, Tensor]:
    return dict(checkpoint.load_weights(run / name).tensors)


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)
