"""What a second thread gains, and what a loader takes from Python beside it; one JSON line.

python -m benchmarks.bench_threads [--images 520] [--repeats 7]

Level 2 and a 3×3 puzzle at 224 px from JPEG files, with one thread and with two. Then a Python loop
counts by itself and beside a loader of one thread, whose batches another thread takes. Needs two
cores that do nothing else. See benchmarks/README.md.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.loader import files
from benchmarks.loader.compare import HMTL, MAX_BATCH, time_loaders
from benchmarks.loader.hmtl_side import HmtlLoader
from benchmarks.loader.work import Labelled, Running, Work
from benchmarks.machine import machine
from benchmarks.timing import Runs, Settings, ratios, run_program, summarise, take_turns
from hmtl.data.augmentation import resolve_augmentation

ALONE, BESIDE = "alone", "beside the loader"
_STEPS = 20_000


def count_per_s(seconds: float) -> float:
    """Return how often a Python loop goes round in a second, in this thread."""
    rounds = total = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not rounds:
        for step in range(_STEPS):
            total += step
        rounds += 1
    return rounds * _STEPS / elapsed


def beside(loader: Iterable[Labelled], measure: Callable[[], float]) -> float:
    """Return what is measured while another thread takes batches out of the loader."""
    is_over = threading.Event()
    is_running = threading.Event()

    def take() -> None:
        while not is_over.is_set():
            for _ in loader:
                is_running.set()
                if is_over.is_set():
                    break

    taker = threading.Thread(target=take)
    taker.start()
    is_running.wait()
    try:
        return measure()
    finally:
        is_over.set()
        taker.join()


def run(settings: Settings) -> dict[str, Any]:
    """Return the document, for files that are written for the while."""
    with tempfile.TemporaryDirectory() as folder:
        source = files.write_tree(Path(folder), settings.images)
        dataset = files.open_tree(Path(folder), settings.images)
        work = Work(augmentation=resolve_augmentation("level2"))
        about = {"name": "threads", **machine(), "images": len(dataset), "source": source}
        batch_size = min(MAX_BATCH, len(dataset))
        loaders = {
            str(threads): HmtlLoader(dataset, work, Running(batch_size=batch_size, threads=threads))
            for threads in (1, 2)
        }
        speeds = time_loaders(loaders, HMTL, settings)
        one = loaders["1"]
        counts = take_turns(
            {
                ALONE: {"python": lambda: count_per_s(settings.seconds)},
                BESIDE: {"python": lambda: beside(one, lambda: count_per_s(settings.seconds))},
            },
            settings.repeats,
        )
    return {**about, **summary(speeds, counts)}


def summary(speeds: Runs, counts: Runs) -> dict[str, Any]:
    """Return the part of the document that was measured."""
    return {
        "results": summarise(speeds, "images_per_s"),
        "python_loop": summarise(counts, "rounds_per_s"),
        "two_of_one": ratios(speeds, "2", HMTL)["2/1"],
        "python_keeps": ratios(counts, BESIDE, "python")[f"{BESIDE}/{ALONE}"],
    }


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=520, seconds=2.0, repeats=7)
