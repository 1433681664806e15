"""Blocks of steps that take turns, timed between synchronisations and by the GPU's own events."""

import math
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
    prepare: Callable[[], object] = lambda: None
    """Called before each block, and before the step in front of it that is not timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What a block took."""

    images: int
    wall_s: float
    """On the clock of the host, from one synchronisation to the next."""
    device_s: float | None
    """Between events before the first and behind the last kernel; None on a CPU."""
    cpu_s: float
    """Of all threads of this process."""

    @property
    def rate(self) -> float:
        """Return images/s."""
        return self.images / self.wall_s

    @property
    def busy_cores(self) -> float:
        """Return how many cores the process kept busy."""
        return self.cpu_s / self.wall_s


Blocks = dict[str, list[Block]]

# One forwards, one backwards.
_LEAST_ROUNDS = 2


def run_block(side: Side, steps: int, device: torch.device) -> Block:
    """Do a block of steps, behind one that is not timed."""
    side.prepare()
    side.step()
    synchronise(device)
    began, cpu_began = time.perf_counter(), time.process_time()
    first = _mark(device)
    for _ in range(steps):
        side.step()
    last = _mark(device)
    synchronise(device)
    return Block(
        images=steps * side.images,
        wall_s=time.perf_counter() - began,
        device_s=first.elapsed_time(last) / 1000.0 if first and last else None,
        cpu_s=time.process_time() - cpu_began,
    )


def _mark(device: torch.device) -> torch.cuda.Event | None:
    """Return an event behind all that the device was given, None on a CPU."""
    if device.type != "cuda":
        return None
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


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
    sides: Mapping[str, Side],
    *,
    blocks: int,
    block_s: float,
    warm_up: int,
    device: torch.device,
    until: float = math.inf,
) -> Blocks:
    """Return so many blocks of each side, in the opposite order in every other round.

    All sides have blocks of about the same time, and `warm_up` steps before all. No round but
    the first two begins after the time `until` of the monotonic clock.
    """
    steps = {name: _steps(side, block_s, warm_up, device) for name, side in sides.items()}
    found: Blocks = {name: [] for name in sides}
    for number in range(blocks):
        if number >= _LEAST_ROUNDS and time.monotonic() > until:
            break
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            found[name].append(run_block(sides[name], steps[name], device))
    return found


def _steps(side: Side, block_s: float, warm_up: int, device: torch.device) -> int:
    """Do the steps of the warm-up; return how many make a block, one without a warm-up."""
    if warm_up == 0:
        return 1
    tried = run_block(side, warm_up, device)
    return max(1, round(block_s * warm_up / tried.wall_s))


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
    """Return of each side the median images/s, the same by the GPU's events, and every block's.

    `busy_cores` is how many the process kept busy meanwhile, the wait for the GPU among them.
    """
    return {
        name: {
            "images_per_s": rounded(statistics.median(block.rate for block in runs)),
            "images_per_s_by_events": _by_events(runs),
            "busy_cores": rounded(statistics.median(block.busy_cores for block in runs)),
            "runs": [rounded(block.rate) for block in runs],
        }
        for name, runs in blocks.items()
    }


def _by_events(runs: Sequence[Block]) -> float | None:
    rates = [block.images / block.device_s for block in runs if block.device_s]
    return rounded(statistics.median(rates)) if rates else None
