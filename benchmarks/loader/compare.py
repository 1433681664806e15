"""hmtl and its peers at one job: checked, then timed in turn."""

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.loader.chance import check_chance
from benchmarks.loader.checks import CHECKED, check_floats, check_side
from benchmarks.loader.draws import Drawer
from benchmarks.loader.hmtl_side import HmtlLoader
from benchmarks.loader.peers import normalised_by_batch
from benchmarks.loader.torchvision_side import open_torchvision
from benchmarks.loader.work import Labelled, Open, Running, Work
from benchmarks.machine import machine
from benchmarks.timing import Runs, Settings, one_torch_thread, ratios, summarise, take_turns
from hmtl.data import Dataset

UINT8, FLOAT32 = "uint8", "float32"
HMTL = "hmtl"
MAX_BATCH = 64
MIN_EPOCHS = 2
# Side of the pictures in which draws are looked for, px.
_DRAWN_PX = 64
_DRAWS, _QUICK_DRAWS = 512, 48


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all sides do."""

    name: str
    work: Work
    dataset: Dataset
    ramps: Dataset
    """Pictures whose red is the column and green the row, in the same layout or another."""


def find_sides() -> tuple[dict[str, Open], list[str]]:
    """Return how each side is opened, and which ones are left out because they are missing."""
    sides: dict[str, Open] = {HMTL: HmtlLoader, "torchvision": open_torchvision}
    try:
        peer = importlib.import_module("benchmarks.loader.albumentations_side")
    except ImportError as error:
        print(f"albumentations is left out: {error}", file=sys.stderr)
        return sides, ["albumentations"]
    sides["albumentations"] = peer.open_albumentations
    return sides, []


def compare(
    job: Job,
    settings: Settings,
    about: Mapping[str, Any],
    limits: Mapping[str, Callable[[], float]],
) -> dict[str, Any]:
    """Return the document of a job; `limits` measure what lies under all sides, uint8 only."""
    sides, missing = find_sides()
    document = {
        "name": job.name,
        **machine(),
        "images": len(job.dataset),
        "threads": settings.threads,
        **about,
        "missing": missing,
    }
    with one_torch_thread():
        for name, open_side in sides.items():
            check(name, open_side, job, _QUICK_DRAWS if settings.quick else _DRAWS)
    loaders, ways = open_loaders(sides, job, settings)
    measured = {name: {UINT8: limit} for name, limit in limits.items()} | {
        name: {
            kind: lambda loader=loader: images_per_s(loader, settings.seconds)
            for kind, loader in kinds.items()
        }
        for name, kinds in loaders.items()
    }
    runs = take_turns(measured, settings.repeats)
    return {
        **document,
        "floats_by": ways,
        "results": summarise(runs, "images_per_s"),
        "ratios": ratios(runs, HMTL, UINT8),
        "ratios_float32": ratios(runs, HMTL, FLOAT32),
    }


def check(name: str, open_side: Open, job: Job, draws: int) -> None:
    """Raise RuntimeError unless a side does the work."""
    check_side(name, open_side, job.dataset, job.work)
    check_floats(name, open_side, job.dataset, replace(job.work, floats=True))
    some = job.dataset.subset(range(min(CHECKED, len(job.dataset))))
    small = replace(job.work, size=_DRAWN_PX)
    photos, ramps = (
        Drawer(name=name, open_side=open_side, dataset=dataset, work=small, draws=draws)
        for dataset in (some, job.ramps)
    )
    check_chance(photos, ramps, job.work.augmentation)


def open_loaders(
    sides: Mapping[str, Open], job: Job, settings: Settings
) -> tuple[dict[str, dict[str, Iterable[Labelled]]], dict[str, str]]:
    """Return the loaders by side and kind, warm, and how each peer makes floats.

    A peer makes floats sample by sample in its workers or batch by batch in the main process,
    whichever is faster here.
    """
    running = Running(batch_size=min(MAX_BATCH, len(job.dataset)), threads=settings.threads)
    floats = replace(job.work, floats=True)
    loaders: dict[str, dict[str, Iterable[Labelled]]] = {}
    ways: dict[str, str] = {}
    for name, open_side in sides.items():
        loaders[name] = {UINT8: open_side(job.dataset, job.work, running)}
        choices = {"batch": open_side(job.dataset, floats, running)}
        if name != HMTL:
            by_batch = normalised_by_batch(open_side)(job.dataset, floats, running)
            choices = {"sample": choices["batch"], "batch": by_batch}
        # Starts the workers and fills the page cache, which is not timed.
        warm_up(loaders[name][UINT8])
        speeds = {way: warm_up(loader) for way, loader in choices.items()}
        ways[name] = max(speeds, key=speeds.__getitem__)
        loaders[name][FLOAT32] = choices[ways[name]]
    return loaders, ways


def warm_up(loader: Iterable[Labelled]) -> float:
    """Return the speed of a second pass."""
    for _ in loader:
        pass
    return images_per_s(loader, 0.0, min_epochs=1)


def time_loaders(loaders: Mapping[str, Iterable[Labelled]], kind: str, settings: Settings) -> Runs:
    """Return the speeds of loaders of this kind of batch, which take turns after a warm-up each."""
    for loader in loaders.values():
        warm_up(loader)
    measured = {
        name: {kind: lambda loader=loader: images_per_s(loader, settings.seconds)}
        for name, loader in loaders.items()
    }
    return take_turns(measured, settings.repeats)


def images_per_s(loader: Iterable[Labelled], seconds: float, min_epochs: int = MIN_EPOCHS) -> float:
    """Return the speed over whole passes, at least so many and at least so long."""
    epochs = count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or epochs < min_epochs:
        count += sum(len(batch.pose) for batch in loader)
        epochs += 1
    return count / elapsed
