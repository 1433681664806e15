"""Rendered heads per second, encoding and label files included; one JSON line.

python benchmarks/bench_synth.py [--layout 300w-lp] [--count 600] [--workers 0] [--size 128]
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import h5py

from hmtl.synth import LAYOUTS, render_dataset


def count_images(root: Path) -> int:
    """Return how many images the files of any layout hold."""
    rows = 0
    for path in root.rglob("*.h5"):
        with h5py.File(path, "r") as file:
            rows += len(file["face_patch"])
    return rows + sum(path.suffix in {".jpg", ".png"} for path in root.rglob("*"))


def measure(layout: str, count: int, size: int, workers: int) -> float:
    """Return images per second, starting the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        render_dataset(
            Path(folder),
            layout=layout,
            count=count,
            subjects=max(count // 20, 1),
            seed=0,
            size=size,
            workers=workers,
        )
        elapsed = time.perf_counter() - start
        if count_images(Path(folder)) != count:
            raise RuntimeError(f"{folder}: must hold {count} images")
    return count / elapsed


def main() -> None:
    """Measure one process and several, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layout", choices=LAYOUTS, default="300w-lp")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    arguments = parser.parse_args()
    workers = arguments.workers or os.cpu_count() or 1
    alone = measure(arguments.layout, max(arguments.count // 4, 1), arguments.size, 1)
    together = measure(arguments.layout, arguments.count, arguments.size, workers)
    result = {
        "name": f"synth_{arguments.size}px",
        "layout": arguments.layout,
        "images_per_s": round(together, 1),
        "processes": workers,
        "baseline": "one process",
        "baseline_images_per_s": round(alone, 1),
        "baseline_ratio": round(together / alone, 2),
        "cpu": platform.processor() or platform.machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
