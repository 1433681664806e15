"""What a training run would be: its network part by part, and how long it would take."""

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hmtl.bench.trial import endless, synchronise, trial
from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.objectives.build import build_objective

_BACKBONE, _STEM = "backbone", "stem"
_STAGES = ("layer1", "layer2", "layer3", "layer4")
# Before what is timed: kernels are chosen, and batches that were made ahead are used up.
_WARM_UP_S = 1.0
_TIMED_S = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stage of the backbone, or a module behind it."""

    name: str
    shape: str
    """Of the output, N being the batch size."""
    parameters: int
    is_kept: bool
    """Whether it is in the weights that a run leaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """How long a run takes, from a few of its steps on this machine."""

    steps_per_epoch: int
    epochs: int
    measured: int
    """Steps that were timed."""
    seconds_per_step: float

    @property
    def seconds(self) -> float:
        """Return the time of all steps; evaluations and checkpoints come on top."""
        return self.seconds_per_step * self.steps_per_epoch * self.epochs


def network_parts(config: Config) -> list[Part]:
    """Return the parts of a config's network, in the order in which an image goes through them."""
    plain = config.updated({"train.compile": False, "train.amp": "off"})
    objective = build_objective(plain, torch.device("cpu"))
    network = objective.get_submodule("model").eval()
    kept = set(map(id, objective.kept().parameters()))
    shapes: dict[str, str] = {}

    def note(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        shapes[name] = _shape(output)

    for name, module in _outputs(network):
        module.register_forward_hook(functools.partial(note, name))
    with torch.inference_mode():
        network(torch.zeros(1, 3, config.data.size, config.data.size))
    parameters: dict[str, list[nn.Parameter]] = {name: [] for name in shapes}
    for path, parameter in network.named_parameters():
        parameters[_part(path, shapes)].append(parameter)
    return [
        Part(
            name=name,
            shape=shape,
            parameters=sum(parameter.numel() for parameter in parameters[name]),
            is_kept=any(id(parameter) in kept for parameter in parameters[name]),
        )
        for name, shape in shapes.items()
    ]


def measure_time(config: Config, data: Dataset) -> Expected:
    """Do a few steps as a run on `data` would, for some seconds, and reckon its time from them."""
    with trial(config, data) as trainer:
        batches = endless(trainer.loader)
        began = time.perf_counter()
        for _ in range(config.data.prefetch + 1):
            trainer.advance(batches)
            if time.perf_counter() - began > _WARM_UP_S:
                break
        began = time.perf_counter()
        measured = 0
        while time.perf_counter() - began < _TIMED_S:
            trainer.advance(batches)
            measured += 1
        synchronise(trainer.device)
        seconds = time.perf_counter() - began
        return Expected(
            steps_per_epoch=len(trainer.loader),
            epochs=config.train.epochs,
            measured=measured,
            seconds_per_step=seconds / measured,
        )


def _outputs(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules at whose ends the parts end."""
    for name, child in network.named_children():
        if name == _BACKBONE:
            yield _STEM, child.get_submodule("maxpool")
            yield from ((stage, child.get_submodule(stage)) for stage in _STAGES)
        elif isinstance(child, nn.ModuleDict):
            yield from child.items()
        else:
            yield name, child


def _part(path: str, parts: Iterable[str]) -> str:
    """Return the part that a parameter of the network belongs to."""
    words = path.split(".")
    return next((word for word in words[:2] if word in parts), _STEM)


def _shape(output: Any) -> str:
    """Return the shape of what a module puts out, of the first of several; N is the batch."""
    tensor = output if isinstance(output, Tensor) else output[0]
    return " × ".join(["N", *map(str, tensor.shape[1:])])
