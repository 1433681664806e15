"""How memory grows while a loader runs, and how soon the first batch comes; one JSON line.

python -m benchmarks.bench_memory [--images 260] [--pairs 122450] [--repeats 3]

Resident memory over 50 epochs and over 1,000 iterators that are given up after a batch; then the
first batch out of a 300W-LP of so many pairs whose index is cached, the imports apart. Each in a
fresh process, page cache warm. Linux only. See benchmarks/README.md.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.index_trees import write_w300lp
from benchmarks.loader import files
from benchmarks.machine import machine
from benchmarks.timing import Settings, run_program

EPOCHS, ITERATORS = 50, 1_000
PAIRS = 122_450
_QUICK_EPOCHS, _QUICK_ITERATORS, _QUICK_PAIRS = 4, 20, 60
_PICTURES = 26

# Prints the resident memory in bytes after each of so many epochs, or iterators of a batch each.
_RUNNING = """
import json, pathlib, sys
from hmtl.data import Loader, open_dataset

root, what, count, batch_size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
loader = Loader(open_dataset(root, crop="visible"), batch_size=batch_size)

def memory():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])

found = []
for _ in range(count):
    for batch in loader:
        if what == "iterators":
            break
    found.append(memory())
print(json.dumps(found))
"""

# Prints the seconds of imports, of opening a data set, and of its first batch.
_STARTING = """
import json, sys, time
start = time.perf_counter()
import hmtl.data
from hmtl.data import Loader, open_dataset
imported = time.perf_counter()
dataset = open_dataset(sys.argv[1], crop="visible")
opened = time.perf_counter()
batch = next(iter(Loader(dataset, batch_size=int(sys.argv[2]))))
first = time.perf_counter()
times = {"import_s": imported - start, "open_s": opened - imported, "batch_s": first - opened}
print(json.dumps({**times, "samples": len(dataset), "images": len(batch)}))
"""


def in_new_process(code: str, *arguments: object) -> Any:
    """Return what a program prints as JSON."""
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def growth(resident: list[int]) -> dict[str, int]:
    """Return how far memory rises after the first tenth, in which buffers and caches are made."""
    settled = resident[len(resident) // 10 :]
    return {
        "count": len(resident),
        "settled_bytes": settled[0],
        "peak_bytes": max(settled),
        "growth_bytes": max(settled) - settled[0],
    }


def run_memory(root: Path, *, epochs: int, iterators: int, batch_size: int) -> dict[str, Any]:
    """Return the growth over epochs and over iterators that are given up."""
    return {
        what: growth(in_new_process(_RUNNING, root, what, count, batch_size))
        for what, count in (("epochs", epochs), ("iterators", iterators))
    }


def run_start(root: Path, *, pairs: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Return how long the first batch takes from an index that was made before: medians, worst."""
    pictures = root.with_name("pictures")
    files.write_tree(pictures, _PICTURES)
    root.mkdir(parents=True)
    write_w300lp(root, pairs=pairs, pictures=sorted(pictures.rglob("*.jpg")))
    runs = [in_new_process(_STARTING, root, batch_size) for _ in range(repeats + 1)]
    made, *cached = runs
    for found in runs:
        if (found["samples"], found["images"]) != (pairs, batch_size):
            raise RuntimeError(f"{root} must give a batch out of {pairs} samples, got {found}")
    parts = ("import_s", "open_s", "batch_s")
    without_imports = [run["open_s"] + run["batch_s"] for run in cached]
    return {
        "samples": pairs,
        "index_made_s": round(made["open_s"], 2),
        **{part: round(statistics.median(run[part] for run in cached), 3) for part in parts},
        "first_batch_s": round(statistics.median(without_imports), 3),
        "first_batch_worst_s": round(max(without_imports), 3),
    }


def run(settings: Settings) -> dict[str, Any]:
    """Return the document, for files that are written for the while."""
    about = {"name": "memory", **machine(), "images": settings.images}
    quick = settings.quick
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "300W_LP"
        about["source"] = files.write_tree(root, settings.images)
        memory = run_memory(
            root,
            epochs=_QUICK_EPOCHS if quick else EPOCHS,
            iterators=_QUICK_ITERATORS if quick else ITERATORS,
            batch_size=8,
        )
        start = run_start(
            Path(folder) / "many" / "300W_LP",
            pairs=_QUICK_PAIRS if quick else PAIRS,
            batch_size=min(64, _QUICK_PAIRS) if quick else 64,
            repeats=settings.repeats,
        )
    return {**about, "memory": memory, "start": start}


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=260, seconds=0.0)
