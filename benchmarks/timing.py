"""Sides that take turns, what is left of their runs, and how a benchmark is called and answers."""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Runs = dict[str, list[dict[str, float]]]
"""By side, of each round the figure of each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How long and how wide everything is timed."""

    images: int
    repeats: int
    threads: int
    seconds: float
    """The least time of one timing."""
    root: Path | None = None
    """Data that are measured in place of what is written for the while."""
    quick: bool = False
    """As little as shows that it works; the figures mean nothing."""


QUICK = Settings(images=16, repeats=1, threads=1, seconds=0.0, quick=True)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch's operators run on the calling thread alone, as in the workers of a DataLoader."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def take_turns(sides: Mapping[str, Mapping[str, Callable[[], float]]], repeats: int) -> Runs:
    """Return what each kind of each side measures in each round; the sides follow one another."""
    runs: Runs = {side: [] for side in sides}
    for _ in range(repeats):
        for side, kinds in sides.items():
            runs[side].append({kind: measure() for kind, measure in kinds.items()})
    return runs


def summarise(runs: Runs, unit: str) -> list[dict[str, Any]]:
    """Return for every side the medians, under the name of their unit, and all runs."""
    return [
        {
            "side": side,
            unit: {kind: rounded(_median(rounds, kind)) for kind in rounds[0]},
            "runs": [{kind: rounded(figure) for kind, figure in run.items()} for run in rounds],
        }
        for side, rounds in runs.items()
    ]


def ratios(runs: Runs, side: str, kind: str) -> dict[str, float]:
    """Return by "side/other" how many times as high the side's median is as each other's."""
    own = _median(runs[side], kind)
    return {
        f"{side}/{other}": round(own / _median(rounds, kind), 2)
        for other, rounds in runs.items()
        if other != side and kind in rounds[0]
    }


def _median(rounds: Sequence[Mapping[str, float]], kind: str) -> float:
    return statistics.median(run[kind] for run in rounds)


def rounded(figure: float) -> float:
    """Return a figure with what of it can be believed."""
    return round(figure, 1) if abs(figure) >= 100 else float(f"{figure:.4g}")


def run_program(
    description: str,
    run: Callable[[Settings], dict[str, Any]],
    *,
    images: int,
    seconds: float,
    repeats: int = 3,
    takes_root: bool = False,
) -> None:
    """Read the command line of a benchmark, run it, and print its document as one line of JSON.

    `images`, `seconds` and `repeats` are the defaults of its options.
    """
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=description)
    parser.set_defaults(root=None)
    if takes_root:
        parser.add_argument("--root", type=Path, help="a tree in the layout of 300W-LP")
    parser.add_argument("--images", type=int, default=images)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="the least time of one timing"
    )
    parser.add_argument("--quick", action="store_true", help="see only whether it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document there too")
    given = parser.parse_args()
    if min(given.images, given.repeats, given.threads) < 1:
        parser.error("--images, --repeats and --threads must be at least 1")
    settings = QUICK
    if not given.quick:
        settings = Settings(
            images=given.images,
            repeats=given.repeats,
            threads=given.threads,
            seconds=given.seconds,
            root=given.root,
        )
    document = run(settings)
    print(json.dumps(document))
    if given.json:
        write_json(document, given.json)


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write a document to be kept."""
    path.write_text(json.dumps(document, indent=2) + "\n")
