"""Blocks of steps that take turns, timed between synchronisations and by the GPU's own events."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.timing import rounded
from hmtl.bench.trial import synchronise


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the ways to do steps that are compared."""

    step: Callable[[], object]
    images: int
    """Of a step: samples, or views where those are counted."""
    warm_up: int = 1
    """Steps before each block that are not timed, such as what a loader has made meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What a block took."""

    images: int
    wall_s: float
    """On the clock of the host, from one synchronisation to the next."""
    device_s: float | None
    """Between events before the first and behind the last kernel; None on a CPU."""

    @property
    def rate(self) -> float:
        """Return images/s."""
        return self.images / self.wall_s


Blocks = dict[str, list[Block]]


def run_block(side: Side, steps: int, device: torch.device) -> Block:
    """Do a block of steps."""
    for _ in range(side.warm_up):
        side.step()
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(steps):
            side.step()
        wall_s = time.perf_counter() - began
        return Block(images=steps * side.images, wall_s=wall_s, device_s=None)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    first.record()
    for _ in range(steps):
        side.step()
    last.record()
    torch.cuda.synchronize(device)
    wall_s = time.perf_counter() - began
    device_s = first.elapsed_time(last) / 1000.0
    return Block(images=steps * side.images, wall_s=wall_s, device_s=device_s)


def run_stretch(
    batches: Iterator[Any], use: Callable[[Any], object], seconds: float, device: torch.device
) -> float:
    """Use batches for about so long, or until there are none; return the seconds it took."""
    synchronise(device)
    began = time.perf_counter()
    for batch in batches:
        use(batch)
        if time.perf_counter() - began >= seconds:
            break
    synchronise(device)
    return time.perf_counter() - began


def take_turns(
    sides: Mapping[str, Side], *, blocks: int, block_s: float, warm_up: int, device: torch.device
) -> Blocks:
    """Return so many blocks of each side, in the opposite order in every other round.

    All sides have blocks of about the same time; `warm_up` steps of each come before all.
    """
    steps = {}
    for name, side in sides.items():
        run_block(side, warm_up, device)
        tried = run_block(side, warm_up, device)
        steps[name] = max(1, round(block_s * warm_up / tried.wall_s))
    found: Blocks = {name: [] for name in sides}
    for number in range(blocks):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            found[name].append(run_block(sides[name], steps[name], device))
    return found


def ratio(blocks: Blocks, side: str, other: str) -> dict[str, float] | None:
    """Return the rounds' ratios of one side's rate by another's: median, p10, p90.

    None where one of them was not measured.
    """
    if side not in blocks or other not in blocks:
        return None
    pairs = zip(blocks[side], blocks[other], strict=True)
    ratios = sorted(one.rate / two.rate for one, two in pairs)
    return {
        "median": statistics.median(ratios),
        "p10": _quantile(ratios, 0.1),
        "p90": _quantile(ratios, 0.9),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of numbers in their order, between two where it lies there."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def described(blocks: Blocks) -> dict[str, Any]:
    """Return of each side the median images/s, the same by the GPU's events, and every block's."""
    return {
        name: {
            "images_per_s": rounded(statistics.median(block.rate for block in runs)),
            "images_per_s_by_events": _by_events(runs),
            "runs": [rounded(block.rate) for block in runs],
        }
        for name, runs in blocks.items()
    }


def _by_events(runs: Sequence[Block]) -> float | None:
    rates = [block.images / block.device_s for block in runs if block.device_s]
    return rounded(statistics.median(rates)) if rates else None
