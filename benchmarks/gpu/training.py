"""Training steps of one network: compiled and eager, each fed in all ways, and a plain loop."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.blocks import Blocks, Side, described, ratio, take_turns
from benchmarks.gpu.failures import MISSING, said
from benchmarks.gpu.feeds import Feed, open_feeds
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.sides import (
    COMPILED,
    EAGER,
    PLAIN,
    READY,
    REAL,
    RENDERED,
    compared,
    side,
    versus,
)
from hmtl.bench.trial import synchronise, trial
from hmtl.config import Config
from hmtl.data import Batch, Dataset
from hmtl.objectives.objective import Objective
from hmtl.preset import load_preset
from hmtl.trainer import Trainer


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

    `ours` is how the steps are done that have all feeds: compiled where the scale wants that and
    the machine can. `missing` has feeds, and `compiled`, with the reason. `gpu_peak_bytes` is of
    all sides together.
    """
    until = time.monotonic() + scale.training_s
    config = _config(network, scale, batch_size)
    device = torch.device(scale.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with ExitStack() as held:
        eager = held.enter_context(trial(config, network.dataset))
        feeds, missing = open_feeds(held, eager, ring=scale.ring, side_px=network.side_px)
        trainers = {EAGER: eager}
        began = time.monotonic()
        if scale.compiles:
            try:
                compiled = _compiled(held, config, network.dataset, feeds[READY].batches)
                trainers = {COMPILED: compiled, **trainers}
            except Exception as error:  # Triton finds no compiler, and what else there may be
                missing[COMPILED] = said(error)
        compile_s = round(time.monotonic() - began, 1)
        blocks = take_turns(
            sides(trainers, feeds, images=batch_size * network.views),
            blocks=scale.blocks,
            block_s=scale.block_s,
            warm_up=scale.warm_up,
            device=device,
            until=until,
        )
        about = eager.objective.describe()
    return {
        "preset": network.preset,
        "what": about,
        "batch_size": batch_size,
        "views": network.views,
        "ours": next(iter(trainers)),
        "compile_s": compile_s,
        "sides": described(blocks),
        "ratios": ratios(blocks),
        MISSING: missing,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def ratios(blocks: Blocks) -> dict[str, Any]:
    """Return the ratios of the sides that are there."""
    found = {versus(one, other): ratio(blocks, one, other) for one, other in compared()}
    return {name: values for name, values in found.items() if values is not None}


def _config(network: Network, scale: Scale, batch_size: int) -> Config:
    settings = {**scale.settings, "train.batch_size": batch_size}
    return load_preset(network.preset).config.updated(settings)


def _compiled(
    held: ExitStack, config: Config, dataset: Dataset, batches: Iterator[Batch]
) -> Trainer:
    """Return a trainer whose network is compiled, which its first step does."""
    with ExitStack() as opening:
        # A later network would find the code of this one, and keep it in memory.
        opening.callback(torch.compiler.reset)
        trainer = opening.enter_context(trial(config.updated({"train.compile": True}), dataset))
        trainer.advance(batches)
        synchronise(trainer.device)
        held.push(opening.pop_all())
    return trainer


def sides(
    trainers: Mapping[str, Trainer], feeds: Mapping[str, Feed], *, images: int
) -> dict[str, Side]:
    """Return the sides by name: the first way to do steps has all feeds, others the three."""
    found = {}
    for number, (steps, trainer) in enumerate(trainers.items()):
        for name, feed in feeds.items():
            if number == 0 or name in (REAL, RENDERED, READY):
                found[side(steps, name)] = Side(
                    step=_step(trainer, feed.batches), images=images, prepare=feed.drop
                )
    plain = plain_step(trainers[EAGER].objective, feeds[READY].batches)
    found[side(PLAIN, READY)] = Side(step=plain, images=images)
    return found


def _step(trainer: Trainer, batches: Iterator[Batch]) -> Callable[[], object]:
    return lambda: trainer.advance(batches)


def plain_step(objective: Objective, batches: Iterator[Batch]) -> Callable[[], None]:
    """Return a step as plain PyTorch has it: its own optimizer, nothing masked, nothing counted."""
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, foreach=True)

    def step() -> None:
        loss = objective(next(batches))["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
