"""What training steps cost beside their arithmetic, for two networks; one JSON line.

python -m benchmarks.bench_step [--images 520] [--repeats 7] [--threads 2]

`hmtl bench step` on files of 450×450 px, with the demo's network at 64 px and ResNet50 at 224 px,
held against what must be reached. See benchmarks/README.md.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.loader import files
from benchmarks.machine import machine
from benchmarks.timing import Settings, rounded, run_program
from hmtl.bench.step import bench_step
from hmtl.data import Dataset
from hmtl.preset import load_preset

MOST_OUTSIDE = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """What is trained, and what of its speed on a ready batch it must keep on real data."""

    preset: str
    settings: dict[str, Any]
    steps: int
    least: float


NETWORKS = (
    Network(preset="demo/hmtl", settings={}, steps=8, least=0.9),
    Network(
        # A batch of 64 would take a quarter of a minute; its images cost the same.
        preset="table2/hmtl-puzzle3-aug1",
        settings={"train.batch_size": 8, "train.log_steps": 5},
        steps=3,
        least=0.97,
    ),
)
_TINY = {"model.backbone": "resnet18", "data.size": 32, "train.batch_size": 2}


def run(settings: Settings) -> dict[str, Any]:
    """Return the document, for files that are written for the while."""
    about = {"name": "step", **machine(), "threads": settings.threads}
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = files.write_tree(Path(folder), settings.images)
            dataset = files.open_tree(Path(folder), settings.images)
            networks = [_measure(network, dataset, settings) for network in NETWORKS]
    finally:
        torch.set_num_threads(threads)
    found = [text for network in networks for text in missed(network)]
    return {**about, "source": source, "networks": networks, "missed": found}


def _measure(network: Network, dataset: Dataset, settings: Settings) -> dict[str, Any]:
    changes = {**network.settings, "data.num_threads": settings.threads}
    config = load_preset(network.preset).config.updated(changes)
    if settings.quick:
        config = config.updated(_TINY)
    steps = 1 if settings.quick else network.steps
    found = bench_step(config, dataset, steps=steps, rounds=settings.repeats)
    runs = {side: [rounded(speed) for speed in speeds] for side, speeds in found["runs"].items()}
    return {
        "preset": network.preset,
        "least": network.least,
        **{key: value for key, value in found.items() if key != "settings"},
        "runs": runs,
    }


def missed(network: dict[str, Any]) -> list[str]:
    """Return what a network's figures do not reach, a sentence each."""
    ratio, outside = network["ratios"]["real/cached"], network["outside"]
    found = []
    if ratio < network["least"]:
        found.append(f"{network['preset']}: real/cached {ratio:.3f}, {network['least']} wanted")
    if outside > MOST_OUTSIDE:
        found.append(f"{network['preset']}: {outside:.1%} of a step outside, 2% allowed")
    return found


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=520, seconds=0.0)
