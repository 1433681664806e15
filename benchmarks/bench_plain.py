"""Images per second out of HDF5 files as they are, beside h5py; one JSON line.

python -m benchmarks.bench_plain [--images 520] [--repeats 3] [--threads 2]

The preset `none` at 224 px, from LZF chunks of 224 px: nothing is left to do but to read, to expand
and to put red first. h5py's files stay open. See benchmarks/README.md.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.loader import patches
from benchmarks.loader.checks import check_side, one_batch
from benchmarks.loader.compare import HMTL, MAX_BATCH, UINT8, time_loaders
from benchmarks.loader.h5py_sides import RowThreads, open_processes
from benchmarks.loader.hmtl_side import HmtlLoader
from benchmarks.loader.work import Open, Running, Work
from benchmarks.machine import machine
from benchmarks.timing import Settings, ratios, run_program, summarise
from hmtl.data import Augmentation, Dataset

SIDES: dict[str, Open] = {
    HMTL: HmtlLoader,
    "h5py_processes": open_processes,
    "h5py_threads": RowThreads,
}


def check(dataset: Dataset, work: Work) -> None:
    """Raise RuntimeError unless all sides give the very same pixels."""
    some = dataset.subset(range(min(64, len(dataset))))
    expected = one_batch(HmtlLoader, some, work)
    for name, open_side in SIDES.items():
        check_side(name, open_side, some, work)
        if not torch.equal(one_batch(open_side, some, work).views[0], expected.views[0]):
            raise RuntimeError(f"{name}: must give the pixels as they are in the file")


def run(settings: Settings) -> dict[str, Any]:
    """Return the document, for files that are written for the while."""
    work = Work(augmentation=Augmentation(), grid=1)
    with tempfile.TemporaryDirectory() as folder:
        source = patches.write_patches(Path(folder), settings.images)
        dataset = patches.open_patches(Path(folder))
        document = {
            "name": "plain",
            **machine(),
            "images": len(dataset),
            "threads": settings.threads,
            "source": source,
            "lzf_ratio": round(patches.lzf_ratio(dataset), 3),
        }
        check(dataset, work)
        running = Running(batch_size=min(MAX_BATCH, len(dataset)), threads=settings.threads)
        loaders = {name: open_side(dataset, work, running) for name, open_side in SIDES.items()}
        runs = time_loaders(loaders, UINT8, settings)
    return {
        **document,
        "results": summarise(runs, "images_per_s"),
        "ratios": ratios(runs, HMTL, UINT8),
    }


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=520, seconds=2.0)
