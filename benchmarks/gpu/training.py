"""Part c: training steps of one network, fed in three ways, beside a plain loop of PyTorch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.blocks import Blocks, Side, described, ratio, take_turns
from benchmarks.gpu.feeds import READY, REAL, RENDERED, ready, rendered
from benchmarks.gpu.scale import Scale
from hmtl.bench.trial import endless, trial
from hmtl.config import Config
from hmtl.data import Batch, Dataset
from hmtl.errors import ConfigError
from hmtl.objectives.objective import Objective
from hmtl.preset import load_preset
from hmtl.trainer import Trainer

AGAIN = f"{READY} again"
EAGER, PLAIN = "S0, eager", "S0, plain loop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """What is trained on what."""

    name: str
    preset: str
    dataset: Dataset
    views: int
    """Of a sample that go through the backbone: what the figures count."""
    side_px: int
    """Of its pictures."""


def measure(network: Network, scale: Scale, batch_size: int) -> dict[str, Any]:
    """Return views/s of all sides, which have taken turns, and the ratios of neighbouring blocks.

    `S0` is our step on ready batches, `S0 again` the same once more: their ratio is what noise
    does. `R` has the loader's batches, `S1` what the GPU renders of pictures that lie on it. Ours
    is compiled where the scale says so; `S0, eager` is not, and `S0, plain loop` is a bare loop of
    PyTorch on that network. `gpu_peak_bytes` is of all sides together.
    """
    config = _config(network, scale, batch_size)
    device = torch.device(scale.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with ExitStack() as held:
        eager = held.enter_context(trial(config, network.dataset))
        ours = eager
        if scale.compiles:
            compiled = config.updated({"train.compile": True})
            ours = held.enter_context(trial(compiled, network.dataset))
        sides, missing = _sides(ours, eager, scale, network)
        blocks = take_turns(
            sides,
            blocks=scale.blocks,
            block_s=scale.block_s,
            warm_up=scale.warm_up,
            device=device,
        )
        about = ours.objective.describe()
    return {
        "preset": network.preset,
        "what": about,
        "batch_size": batch_size,
        "views": network.views,
        "compiled": scale.compiles,
        "sides": described(blocks),
        "ratios": ratios(blocks),
        "missing": missing,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def ratios(blocks: Blocks) -> dict[str, Any]:
    """Return the ratios that the goals are about, None where a side is missing."""
    pairs = (
        (AGAIN, READY), (REAL, READY), (REAL, RENDERED), (RENDERED, READY), (READY, EAGER),
        (READY, PLAIN),
    )  # fmt: skip
    return {f"{side}/{other}": ratio(blocks, side, other) for side, other in pairs}


def _config(network: Network, scale: Scale, batch_size: int) -> Config:
    settings = {**scale.settings, "train.batch_size": batch_size}
    return load_preset(network.preset).config.updated(settings)


def _sides(
    ours: Trainer, eager: Trainer, scale: Scale, network: Network
) -> tuple[dict[str, Side], dict[str, str]]:
    """Return the sides, and why one is missing."""
    images = ours.config.train.batch_size * network.views
    cached, missing = ready(ours, scale.ring), {}

    def step(trainer: Trainer, batches: Iterator[Batch]) -> Callable[[], object]:
        return lambda: trainer.advance(batches)

    sides = {
        READY: Side(step=step(ours, cached), images=images),
        # What the loader has made while others were timed is used up before it is.
        REAL: Side(
            step=step(ours, endless(ours)), images=images, warm_up=ours.config.data.prefetch + 2
        ),
        AGAIN: Side(step=step(ours, cached), images=images),
    }
    try:
        on_device = rendered(ours, scale.ring, network.side_px)
        sides[RENDERED] = Side(step=step(ours, on_device), images=images)
    except ConfigError as error:
        missing[RENDERED] = str(error)
    if eager is not ours:
        sides[EAGER] = Side(step=step(eager, cached), images=images)
    sides[PLAIN] = Side(step=plain_step(eager.objective, cached), images=images)
    return sides, missing


def plain_step(objective: Objective, batches: Iterator[Batch]) -> Callable[[], None]:
    """Return a step as plain PyTorch has it: its own optimizer, nothing masked, nothing counted."""
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, foreach=True)

    def step() -> None:
        loss = objective(next(batches))["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
