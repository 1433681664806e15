"""Where the loader's time goes with one's own data and settings, beside decoding alone."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from hmtl.bench.advice import bottleneck
from hmtl.bench.limits import codecs, decoding_limit, decoding_name, forget, memory_bytes
from hmtl.bench.trial import synchronise
from hmtl.data.dataset import Dataset
from hmtl.data.devices import checked_device
from hmtl.data.loader import Loader

MOST_SAMPLES = 20_000
_LEAST_BATCHES = 4
# Parts of `seconds` that the short measurements take.
_SHORT = 1 / 4

OnProgress = Callable[[str], None]
"""Called with what is measured next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """What a stretch of batches took."""

    images: int
    wall_s: float
    wait_s: float
    """Of `wall_s`, what the loop waited for batches; the rest is Python at work."""
    stages: dict[str, float]
    """Seconds by stage, of all threads together."""
    threads: int

    @property
    def images_per_s(self) -> float:
        return self.images / self.wall_s

    def microseconds(self) -> dict[str, float]:
        """Return the thread time of an image by stage and `idle`, in µs; all is threads / speed."""
        total = self.threads * self.wall_s
        idle = max(total - sum(self.stages.values()), 0.0)
        parts = {**self.stages, "idle": idle}
        return {stage: seconds / self.images * 1e6 for stage, seconds in parts.items()}


def bench_loader(
    dataset: Dataset,
    *,
    batch_size: int = 64,
    seconds: float = 3.0,
    device: str | torch.device = "cpu",
    on_progress: OnProgress = lambda _what: None,
    **options: Any,
) -> dict[str, Any]:
    """Measure a Loader of one rank, made with `options`; return plain values.

    A pass ends when its last batch is whole on the device.

    `first_pass` reads up to 20,000 samples, for at most `seconds`, after their bytes were taken out
    of the page cache where `cold` says so. All else reads the samples met there again: `warm` for
    `seconds`, `decoding` and each number of threads of the `sweep` for a quarter of it. Keys of a
    pass: `images_per_s`, `images`, `stages_us` (the thread time of an image by stage, in µs, `idle`
    being threads without work), `shares` of it, `waiting` and `hand_off` (shares of the time of the
    loop: for batches, and at work in Python). `of_decoding` is warm over decoding, both
    None where nothing is decoded; `bottleneck` is what `hmtl.bench.advice` says. Raises what Loader
    raises, and DecodeError for a sample that cannot be read.
    """
    device = checked_device(device)
    options = {**options, "batch_size": batch_size, "rank": 0, "world_size": 1, "device": device}
    some = _some(dataset, batch_size)
    # Tells wrong settings before anything takes time.
    with closing(Loader(some, **options)) as loader:
        settings = loader.state_dict()["settings"]
        about = loader.stats()
    engine, threads = about["engine"], about["threads"]
    load_before = os.getloadavg()[0]

    on_progress("first pass")
    cold = forget(some)
    first, seen = _first_pass(some, options, seconds)
    on_progress("warm passes")
    guess = _timed(seen, options, first.images_per_s, seconds * _SHORT)
    warm = _timed(seen, options, guess.images_per_s, seconds)
    on_progress(f"{decoding_name(seen)} alone")
    limit = decoding_limit(seen, threads, seconds * _SHORT)
    sweep = []
    for count in _sweep(threads):
        on_progress(f"threads: {count}")
        speed = warm.images_per_s * count / threads
        timed = _timed(seen, {**options, "num_threads": count}, speed, seconds * _SHORT)
        sweep.append({"threads": count, "images_per_s": timed.images_per_s})

    found = {
        "name": "loader",
        "dataset": _about(dataset),
        "settings": {key: value for key, value in settings.items() if key != "dataset"},
        "engine": engine,
        "device": str(device),
        "threads": threads,
        "load_before": load_before,
        "cold": cold,
        "first_pass": _described(first),
        "warm": _described(warm),
        "decoding": limit and {"what": decoding_name(seen), "images_per_s": limit},
        "of_decoding": limit and warm.images_per_s / limit,
        "sweep": sweep,
    }
    return {**found, "bottleneck": bottleneck(found, memory_bytes())}


def _some(dataset: Dataset, least: int) -> Dataset:
    """Return the samples that are read: drawn at random where there are many, repeated where few.

    There are at least so many, that of one batch.
    """
    rows = np.arange(len(dataset))
    if len(rows) > MOST_SAMPLES:
        rows = np.random.default_rng(0).choice(rows, MOST_SAMPLES, replace=False)
    return dataset.subset(np.resize(rows, max(len(rows), least)))


def _first_pass(
    dataset: Dataset, options: Mapping[str, Any], seconds: float
) -> tuple[Timed, Dataset]:
    """Time a pass that ends after so many seconds; return the samples that it met, too."""
    met = []
    with closing(Loader(dataset, **options)) as loader:
        start = time.perf_counter()
        for batch in loader:
            met.append(batch.index.cpu().numpy())
            if time.perf_counter() - start >= seconds:
                break
        synchronise(options["device"])
        wall_s = time.perf_counter() - start
        timed = _since(loader.stats(), {}, wall_s)
    return timed, dataset.subset(np.concatenate(met))


def _timed(
    dataset: Dataset, options: Mapping[str, Any], images_per_s: float, seconds: float
) -> Timed:
    """Time one whole pass that takes about so long at this speed; samples repeat as need be."""
    batch_size = options["batch_size"]
    batches = max(round(images_per_s * seconds / batch_size), _LEAST_BATCHES)
    repeated = dataset.subset(np.resize(np.arange(len(dataset)), batches * batch_size))
    with closing(Loader(repeated, **options)) as loader:
        # Makes room for the batches.
        for _ in islice(loader, _LEAST_BATCHES):
            pass
        synchronise(options["device"])
        before = loader.stats()
        start = time.perf_counter()
        for _ in loader:
            pass
        synchronise(options["device"])
        return _since(loader.stats(), before, time.perf_counter() - start)


def _since(stats: Mapping[str, Any], before: Mapping[str, Any], wall_s: float) -> Timed:
    earlier = before.get("stages", {})
    return Timed(
        images=stats["samples"] - before.get("samples", 0),
        wall_s=wall_s,
        wait_s=stats["wait_s"] - before.get("wait_s", 0.0),
        stages={
            stage: seconds - earlier.get(stage, 0.0) for stage, seconds in stats["stages"].items()
        },
        threads=stats["threads"],
    )


def _sweep(threads: int) -> list[int]:
    """Return 1, 2, 4 … and the number itself."""
    powers = [1 << power for power in range(threads.bit_length())]
    return sorted({*powers, threads})


def _about(dataset: Dataset) -> dict[str, Any]:
    return {
        "root": str(dataset.root),
        "layout": dataset.layout,
        "split": dataset.split,
        "crop": dataset.crop,
        "n": len(dataset),
        "codecs": codecs(dataset),
        "bytes_mean": float(dataset.extent["size"].mean()),
        "bytes": int(dataset.extent["size"].sum()),
    }


def _described(timed: Timed) -> dict[str, Any]:
    stages = timed.microseconds()
    total = sum(stages.values())
    waiting = min(timed.wait_s / timed.wall_s, 1.0)
    return {
        "images_per_s": timed.images_per_s,
        "images": timed.images,
        "stages_us": stages,
        "shares": {stage: microseconds / total for stage, microseconds in stages.items()},
        "waiting": waiting,
        "hand_off": 1.0 - waiting,
    }
