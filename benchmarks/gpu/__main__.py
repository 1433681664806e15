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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import verdict
from benchmarks.gpu.about import about
from benchmarks.gpu.failures import FAILED, MISSING, failures, said
from benchmarks.gpu.goal import line
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
    document: dict[str, Any] = {"name": "gpu", **machine(), **about(scale)}
    document |= {"seconds": {}, "left_out": [], FAILED: {}}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        data, document["source"] = write_data(Path(folder), scale)
        _note_seconds("data", began, document)
        for task in tasks(data, scale):
            if task.part not in parts or time.monotonic() > ends:
                document["left_out"].append(task.title)
            else:
                _measure(task, document)
            if scale.device == "cuda":
                document |= verdict.judged(document, scale.batch_sizes)
            write_json(document, out)
    return document


def _measure(task: Task, document: dict[str, Any]) -> None:
    """Put what a task measures into the document, or its failure, which ends nothing else."""
    began = time.monotonic()
    try:
        measured = task.measure()
    except Exception as error:  # the other figures are worth having
        traceback.print_exc()
        document[FAILED][task.title] = said(error)
    else:
        if task.name:
            document.setdefault(task.part, {})[task.name] = measured
        else:
            document[task.part] = measured
        within = {": ".join((task.title, *path)): why for path, why in failures(measured)}
        document[FAILED] |= within
    _note_seconds(task.title, began, document)


def _note_seconds(title: str, began: float, document: dict[str, Any]) -> None:
    document["seconds"][title] = round(time.monotonic() - began, 1)
    print(f"{title}: {document['seconds'][title]} s", file=sys.stderr)


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what is printed of a document: figures, what is missing, goals."""
    yield f"{document['device']}, torch {document['torch']}, {document['cores']} cores"
    for part in ("parity", "loaders"):
        for job, engines in document.get(part, {}).items():
            yield from (f"{part}, {job}, {name}: {found}" for name, found in engines.items())
    for name, found in document.get("training", {}).items():
        for side, figures in found["sides"].items():
            busy = f"{figures['busy_cores']} cores busy"
            yield f"{name}, {side}: {figures['images_per_s']:,} views/s, {busy}"
        yield from (f"{name}, {what}: missing, {why}" for what, why in found[MISSING].items())
    yield from (f"{part}: {document[part]}" for part in ("yardsticks", "peer") if part in document)
    yield from (f"left out: {title}" for title in document["left_out"])
    yield from (f"FAILED: {title}: {why}" for title, why in document[FAILED].items())
    yield from (f"DISAGREES: {name}" for name in document.get("disagreeing", []))
    yield from map(line, document.get("goals", []))


def is_well(document: dict[str, Any]) -> bool:
    """Return whether nothing failed, disagrees or misses its goal."""
    missed = [goal for goal in document.get("goals", []) if goal["reached"] is False]
    return not (missed or document[FAILED] or document.get("disagreeing"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, run, print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="nothing begins after these")
    parser.add_argument("--out", type=Path, default=CHECKOUT / RESULTS / "gpu.json")
    parser.add_argument("--smoke", action="store_true", help="see on a CPU whether it works")
    given = parser.parse_args(arguments)
    if not given.smoke and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU: --smoke shows on a CPU that the program works")
    if given.smoke and given.out == parser.get_default("out"):
        parser.error("--smoke needs --out FILE: its figures are none to keep")
    scale = TINY if given.smoke else GPU
    if scale.torch_threads:
        torch.set_num_threads(scale.torch_threads)
    document = run(scale, given.parts, 60 * given.minutes, given.out)
    print(*lines(document), sep="\n")
    return 0 if is_well(document) else 1


if __name__ == "__main__":
    sys.exit(main())
