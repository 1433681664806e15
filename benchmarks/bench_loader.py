"""Images per second of loaders on the same files with the same operations; one JSON line.

python -m benchmarks.bench_loader [--root DIR] [--images 520] [--repeats 3] [--threads 2]

Level 2 and a 3×3 puzzle at 224 px, from JPEG files. See benchmarks/README.md for what is timed.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.loader.checks import check_floats, check_side
from benchmarks.loader.files import open_tree, write_tree
from benchmarks.loader.hmtl_side import Decoding, HmtlLoader
from benchmarks.loader.torchvision_side import open_torchvision
from benchmarks.loader.work import Labelled, Open, Running, Work
from hmtl.data import Dataset
from hmtl.data.augmentation import resolve_augmentation

UINT8, FLOAT32 = "uint8", "float32"
DECODE, HMTL = "decode", "hmtl"
MAX_BATCH = 64
MIN_EPOCHS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How long and how wide everything is timed."""

    repeats: int
    threads: int
    seconds: float
    """The least time of one timing; it goes on to the end of a pass."""


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


def images_per_s(loader: Iterable[Labelled], seconds: float) -> float:
    """Return the speed over whole passes, at least two and at least so long."""
    epochs = count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or epochs < MIN_EPOCHS:
        count += sum(len(images) for images, _, _ in loader)
        epochs += 1
    return count / elapsed


def check_sides(sides: dict[str, Open], dataset: Dataset, work: Work) -> None:
    """Raise RuntimeError unless every side does the same work."""
    for name, open_side in sides.items():
        check_side(name, open_side, dataset, work)
        check_floats(name, open_side, dataset, replace(work, floats=True))


def time_sides(
    sides: dict[str, Open], dataset: Dataset, work: Work, settings: Settings
) -> dict[str, list[dict[str, float]]]:
    """Return for every side, and for decoding alone, the speeds of each round."""
    running = Running(batch_size=min(MAX_BATCH, len(dataset)), threads=settings.threads)
    works = {UINT8: work, FLOAT32: replace(work, floats=True)}
    loaders = {
        (name, kind): open_side(dataset, kind_of_work, running)
        for name, open_side in sides.items()
        for kind, kind_of_work in works.items()
    }
    decoding = Decoding(dataset, settings.threads)
    # Starts the workers, which is not timed, and fills the page cache.
    for loader in loaders.values():
        for _ in loader:
            pass
    decoding.images_per_s(0.0)

    runs: dict[str, list[dict[str, float]]] = {name: [] for name in (DECODE, *sides)}
    for _ in range(settings.repeats):
        runs[DECODE].append({UINT8: decoding.images_per_s(settings.seconds)})
        for name in sides:
            speeds = {kind: images_per_s(loaders[name, kind], settings.seconds) for kind in works}
            runs[name].append(speeds)
    return runs


def summarise(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the medians of each side, and what hmtl's are in those of the others."""
    medians = {
        name: {kind: round(statistics.median(run[kind] for run in rounds), 1) for kind in rounds[0]}
        for name, rounds in runs.items()
    }
    others = [name for name in medians if name != HMTL]

    def ratios(kind: str) -> dict[str, float]:
        return {
            f"{HMTL}/{name}": round(medians[HMTL][kind] / medians[name][kind], 2)
            for name in others
            if kind in medians[name]
        }

    return {
        "results": [
            {
                "side": name,
                "images_per_s": medians[name],
                "runs": [{kind: round(speed, 1) for kind, speed in run.items()} for run in rounds],
            }
            for name, rounds in runs.items()
        ],
        "ratios": ratios(UINT8),
        "ratios_float32": ratios(FLOAT32),
    }


def machine() -> dict[str, Any]:
    """Return where and on what code this runs."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    here = Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists() and (
        name := re.search(r"model name\s*: (.+)", information.read_text())
    ):
        return name[1]
    return platform.processor() or platform.machine()


def run(root: Path | None, images: int, settings: Settings) -> dict[str, Any]:
    """Return the document for the tree `root`, or for one that is written for the while."""
    sides, missing = find_sides()
    work = Work(augmentation=resolve_augmentation("level2"))
    with tempfile.TemporaryDirectory() as folder:
        tree = root or Path(folder) / "300W_LP"
        source = root.name if root else write_tree(tree, images)
        dataset = open_tree(tree, images)
        about = {
            "name": "loader",
            **machine(),
            "images": len(dataset),
            "source": source,
            "bytes_mean": round(float(dataset.extent["size"].mean())),
            "threads": settings.threads,
        }
        check_sides(sides, dataset, work)
        runs = time_sides(sides, dataset, work, settings)
    return {**about, "missing": missing, **summarise(runs)}


def main() -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="a tree in the layout of 300W-LP")
    parser.add_argument("--images", type=int, default=520)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2.0, help="the least time of one timing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document there too")
    given = parser.parse_args()
    if min(given.images, given.repeats, given.threads) < 1:
        parser.error("--images, --repeats and --threads must be at least 1")
    settings = Settings(repeats=given.repeats, threads=given.threads, seconds=given.seconds)
    document = run(given.root, given.images, settings)
    print(json.dumps(document))
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
