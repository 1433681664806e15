"""What a training step costs beside its arithmetic: data, and everything round the network."""

import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hmtl.bench.parts import Parts
from hmtl.bench.trial import endless, synchronise, trial
from hmtl.config import Config
from hmtl.data import Batch, Dataset
from hmtl.trainer import Trainer

REAL, CACHED, AGAIN, BARE = "real", "cached", "cached again", "bare"

OnProgress = Callable[[str, int, int], None]
"""Called with what is measured, how many rounds are done, and of how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the ways to do steps that are compared."""

    step: Callable[[], object]
    warm_up: int
    """Steps before each block that are not timed."""


def bench_step(
    config: Config,
    dataset: Dataset,
    *,
    steps: int = 8,
    rounds: int = 7,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> dict[str, Any]:
    """Time training steps of a config on a dataset in interleaved blocks; return plain values.

    In each of `rounds` every side does a block of `steps`, in the opposite order in every other
    round: `real` is the trainer's own step with the loader's batches, `cached` and `cached again`
    the same with one batch that is ready, `bare` a loop of forward, backward and optimizer on it.
    `ratios` are medians over the rounds of images/s by images/s; `cached again/cached` shows what
    noise alone makes of a ratio. `waiting` is the share of the real steps' time that they waited
    for data, `outside` that of the cached steps which is in none of the three parts (None on a GPU,
    which works beside the host: there `cached/bare` tells it), `parts_ms` are milliseconds of a
    cached step. Bytes of `memory` are the process's peak and what torch held on the GPU at most.
    """
    with trial(config, dataset) as trainer:
        waited = _Waits(endless(trainer.loader))
        sides = _sides(trainer, waited)
        for side in sides.values():
            side.step()
        waited.seconds = 0.0
        timed: dict[str, list[float]] = {name: [] for name in sides}
        with Parts(trainer) as parts:
            for number in range(rounds):
                on_progress("rounds", number, rounds)
                order = list(sides) if number % 2 == 0 else list(reversed(sides))
                for name in order:
                    timed[name].append(_block(trainer, sides[name], steps, waited, parts, name))
        images = steps * trainer.config.train.batch_size
        speeds = {name: [images / seconds for seconds in runs] for name, runs in timed.items()}
        return {
            **_about(trainer),
            "steps": steps,
            "rounds": rounds,
            "images_per_s": {name: statistics.median(runs) for name, runs in speeds.items()},
            "ratios": {
                f"{REAL}/{CACHED}": _paired(speeds, REAL, CACHED),
                f"{AGAIN}/{CACHED}": _paired(speeds, AGAIN, CACHED),
                f"{CACHED}/{BARE}": _paired(speeds, CACHED, BARE),
            },
            "waiting": waited.seconds / sum(timed[REAL]),
            "outside": parts.outside() if trainer.device.type == "cpu" else None,
            "parts_ms": parts.milliseconds(),
            "memory": _memory(trainer.device),
            "runs": speeds,
        }


class _Waits(Iterator[Batch]):
    """Batches, and how long they were waited for."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = next(self._batches)
        self.seconds += time.perf_counter() - began
        return batch


def _sides(trainer: Trainer, batches: Iterator[Batch]) -> dict[str, Side]:
    cached = next(batches)
    again = itertools.repeat(cached)

    def bare() -> None:
        losses = trainer.objective(cached)
        trainer.learner.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(trainer.learner.scaler.scale(losses["loss"]))
        trainer.learner.scaler.step(trainer.learner.optimizer)
        trainer.learner.scaler.update()

    # The loader runs ahead while others are timed: what it has ready is not counted.
    ahead = trainer.config.data.prefetch
    return {
        REAL: Side(step=lambda: trainer.advance(batches), warm_up=ahead),
        CACHED: Side(step=lambda: trainer.advance(again), warm_up=1),
        AGAIN: Side(step=lambda: trainer.advance(again), warm_up=1),
        BARE: Side(step=bare, warm_up=1),
    }


def _block(
    trainer: Trainer, side: Side, steps: int, waited: _Waits, parts: Parts, name: str
) -> float:
    """Return the seconds of one block of one side."""
    before = waited.seconds
    for _ in range(side.warm_up):
        side.step()
    waited.seconds = before
    synchronise(trainer.device)
    parts.counts = name == CACHED
    began = time.perf_counter()
    for _ in range(steps):
        side.step()
    synchronise(trainer.device)
    seconds = time.perf_counter() - began
    if parts.counts:
        parts.add_block(steps, seconds)
    parts.counts = False
    return seconds


def _paired(speeds: Mapping[str, Sequence[float]], side: str, other: str) -> float:
    """Return the median over the rounds of one side's speed by the other's."""
    pairs = zip(speeds[side], speeds[other], strict=True)
    return statistics.median(one / two for one, two in pairs)


def _about(trainer: Trainer) -> dict[str, Any]:
    config, device = trainer.config, trainer.device
    return {
        "what": trainer.objective.describe(),
        "size": config.data.size,
        "batch_size": config.train.batch_size,
        "optimizer": config.train.optimizer,
        "settings": config.as_dict(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def _memory(device: torch.device) -> dict[str, int]:
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        found["gpu_peak_bytes"] = torch.cuda.max_memory_allocated(device)
    return found
