"""What is measured, in the order of its worth, and on which files."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import loaders, parity, peer, training, verdict, yardsticks
from benchmarks.gpu.engines import Job
from benchmarks.gpu.scale import SMOKE, Scale
from benchmarks.loader import files, patches
from hmtl.data import Dataset

PARTS = ("parity", "loaders", "training", "yardsticks", "peer")
_OPTIONS: dict[str, dict[str, Any]] = {
    verdict.SUPERVISED: {"augmentation": "level2", "pretext": "puzzle", "grid": 3},
    verdict.BARLOW: {"augmentation": "barlow", "pretext": "puzzle", "grid": 3, "views": 2},
}
_PRESETS = {
    verdict.SUPERVISED: "table2/hmtl-puzzle3-aug2",
    verdict.BARLOW: "pretrain/barlow-puzzle3",
}
_SIDES_PX = {verdict.SUPERVISED: files.SIDE_PX, verdict.BARLOW: patches.SIDE_PX}


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One measurement."""

    part: str
    name: str
    """Under which its figures are kept in the part; "" where the part is one measurement."""
    measure: Callable[[], dict[str, Any]]

    @property
    def title(self) -> str:
        return f"{self.part} {self.name}".strip()


def write_data(root: Path, scale: Scale) -> tuple[dict[str, Dataset], dict[str, str]]:
    """Write the files; return the data set of each network, and where its pictures come from."""
    sources = {
        verdict.SUPERVISED: files.write_tree(root / "jpeg", scale.images),
        verdict.BARLOW: patches.write_patches(root / "hdf5", scale.images),
    }
    data = {
        verdict.SUPERVISED: files.open_tree(root / "jpeg", scale.images),
        verdict.BARLOW: patches.open_patches(root / "hdf5"),
    }
    rows = {name: np.resize(np.arange(len(dataset)), scale.rows) for name, dataset in data.items()}
    return {name: dataset.subset(rows[name]) for name, dataset in data.items()}, sources


def tasks(data: dict[str, Dataset], scale: Scale) -> Iterator[Task]:
    """Yield everything that is measured, what most goals stand on first."""
    jobs = [Job(name=name, dataset=data[name], options=_OPTIONS[name]) for name in _OPTIONS]
    yield Task(part="parity", name="", measure=partial(parity.measure, jobs, scale))
    yield Task(part="loaders", name="", measure=partial(loaders.measure, jobs, scale))
    networks = [
        training.Network(
            name=name,
            preset=preset,
            dataset=data[name],
            views=_OPTIONS[name].get("views", 1),
            side_px=_SIDES_PX[name],
        )
        for name, preset in _PRESETS.items()
    ]
    trainings = [
        Task(
            part="training",
            name=verdict.key(network.name, size),
            measure=partial(training.measure, network, scale, size),
        )
        for size in reversed(scale.batch_sizes)
        for network in networks
    ]
    yield from trainings[:-1]
    yield Task(part="yardsticks", name="", measure=partial(yardsticks.measure, scale))
    # No goal compares it with anything else.
    yield trainings[-1]
    threads = 0 if scale.name == SMOKE else len(os.sched_getaffinity(0))
    yield Task(
        part="peer",
        name="",
        measure=partial(peer.measure, data[verdict.BARLOW], scale, threads),
    )
