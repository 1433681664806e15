"""Everything that is to be known of one GPU: parity, loaders, training steps, others; one verdict.

python -m benchmarks.gpu [--parts parity loaders …] [--minutes 8] [--out FILE] [--smoke]

Prints a line for each figure and goal, and writes the document after every measurement, so that
whatever ends the program leaves what there was until then. Exit code 1 where a goal is missed,
engines disagree or a measurement failed. --smoke shows on a CPU, with tiny networks, that it works;
there is no verdict then. See benchmarks/README.md.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import verdict
from benchmarks.gpu.plan import PARTS, Task, tasks, write_data
from benchmarks.gpu.scale import GPU, TINY, Scale
from benchmarks.machine import machine
from benchmarks.table import CHECKOUT, RESULTS
from benchmarks.timing import write_json


def run(scale: Scale, parts: list[str], seconds: float, out: Path) -> dict[str, Any]:
    """Measure the parts; return the document, which is written after each measurement.

    What would begin after so many seconds is left out, and named.
    """
    ends = time.monotonic() + seconds
    document: dict[str, Any] = {"name": "gpu", **machine(), **_about(scale)}
    document |= {"seconds": {}, "left_out": [], "failed": {}}
    with tempfile.TemporaryDirectory() as folder:
        data, document["source"] = write_data(Path(folder), scale)
        for task in tasks(data, scale):
            if task.part not in parts or time.monotonic() > ends:
                document["left_out"].append(task.title)
            else:
                _measure(task, document)
            if scale.device == "cuda":
                document |= verdict.judged(document, scale.batch_sizes)
            write_json(document, out)
    return document


def _about(scale: Scale) -> dict[str, Any]:
    is_gpu = scale.device == "cuda"
    return {
        "scale": scale.name,
        "device": torch.cuda.get_device_name() if is_gpu else "cpu, no verdict",
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if is_gpu else None,
    }


def _measure(task: Task, document: dict[str, Any]) -> None:
    """Put what a task measures into the document, or its failure, which ends nothing else."""
    began = time.monotonic()
    try:
        measured = task.measure()
    except Exception as error:  # the other figures are worth having
        traceback.print_exc()
        document["failed"][task.title] = f"{type(error).__name__}: {error}".splitlines()[0]
        return
    if task.name:
        document.setdefault(task.part, {})[task.name] = measured
    else:
        document[task.part] = measured
    document["seconds"][task.title] = round(time.monotonic() - began, 1)
    print(f"{task.title}: {document['seconds'][task.title]} s", file=sys.stderr)


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what is printed of a document: figures, what is missing, goals."""
    yield f"{document['device']}, torch {document['torch']}, {document['cores']} cores"
    for part in ("parity", "loaders"):
        for job, engines in document.get(part, {}).items():
            yield from (f"{part}, {job}, {name}: {found}" for name, found in engines.items())
    for name, found in document.get("training", {}).items():
        for side, figures in found["sides"].items():
            yield f"{name}, {side}: {figures['images_per_s']:,} views/s"
        yield from (f"{name}, {side}: missing, {why}" for side, why in found["missing"].items())
    yield from (f"{part}: {document[part]}" for part in ("yardsticks", "peer") if part in document)
    yield from (f"left out: {title}" for title in document["left_out"])
    yield from (f"FAILED: {title}: {why}" for title, why in document["failed"].items())
    yield from (f"DISAGREES: {name}" for name in document.get("disagreeing", []))
    words = {True: "reached", False: "MISSED", None: "not measured"}
    for goal in document.get("goals", []):
        yield f"{words[goal['reached']]}: {goal['goal']}: {goal['found']} (≥ {goal['least']})"


def is_well(document: dict[str, Any]) -> bool:
    """Return whether nothing failed, disagrees or misses its goal."""
    missed = [goal for goal in document.get("goals", []) if goal["reached"] is False]
    return not (missed or document["failed"] or document.get("disagreeing"))


def main() -> int:
    """Read the command line, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="nothing begins after these")
    parser.add_argument("--out", type=Path, default=CHECKOUT / RESULTS / "gpu.json")
    parser.add_argument("--smoke", action="store_true", help="see on a CPU whether it works")
    given = parser.parse_args()
    if not given.smoke and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU: --smoke shows on a CPU that the program works")
    if given.smoke and given.out == parser.get_default("out"):
        parser.error("--smoke needs --out FILE: its figures are none to keep")
    scale = TINY if given.smoke else GPU
    if scale.torch_threads:
        torch.set_num_threads(scale.torch_threads)
    document = run(scale, given.parts, 60 * given.minutes, given.out)
    for line in lines(document):
        print(line)
    return 0 if is_well(document) else 1


if __name__ == "__main__":
    sys.exit(main())
