"""Images per second from packed shards beside the loose files they were made of; one JSON line.

python -m benchmarks.bench_packed [--root DIR] [--images 2080] [--repeats 7] [--threads 2]

Level 2 and a 3×3 puzzle at 224 px, from 450×450 JPEG files and from what `hmtl data pack` makes of
them: JPEG and raw pixels. See benchmarks/README.md.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loader import files
from benchmarks.loader.checks import one_batch, rows
from benchmarks.loader.compare import MAX_BATCH, UINT8, time_loaders
from benchmarks.loader.hmtl_side import HmtlLoader
from benchmarks.loader.work import Labelled, Running, Work
from benchmarks.machine import machine
from benchmarks.timing import Settings, ratios, run_program, summarise
from hmtl.data import Augmentation, Dataset, open_dataset
from hmtl.data.augmentation import resolve_augmentation

LOOSE = "loose"
CODECS = ("jpeg", "raw")
CHECKED = 16
# Mean difference in grey levels, after resampling twice and, of JPEG, another round of coding.
TOLERANCE = 4.0


def packed(tree: Path, target: Path, codec: str) -> Dataset:
    """Pack a tree as a user does, and open what that makes."""
    words = ["data", "pack", tree, target, "--crop", "visible", "--codec", codec]
    command = [sys.executable, "-P", "-m", "hmtl", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    return open_dataset(target)


def check(datasets: dict[str, Dataset], work: Work) -> None:
    """Raise RuntimeError unless the packed pictures and poses are those of the loose files."""
    plain = Work(augmentation=Augmentation(), size=work.size, grid=1)
    stems = [name.rsplit(".", 1)[0] for name in datasets[LOOSE].name]
    expected = _first(datasets[LOOSE], plain)
    for codec in CODECS:
        if [name.rsplit(".", 1)[0] for name in datasets[codec].name] != stems:
            raise RuntimeError(
                f"{codec}: the packed samples must be the loose ones, in their order"
            )
        found = _first(datasets[codec], plain)
        difference = np.abs(rows(found.views[0]).astype(np.float32) - rows(expected.views[0]))
        if not difference.mean() <= TOLERANCE or not found.pose.equal(expected.pose):
            raise RuntimeError(f"{codec}: packed pictures are {difference.mean():.2f} levels away")


def _first(dataset: Dataset, work: Work) -> Labelled:
    return one_batch(HmtlLoader, dataset.subset(range(min(CHECKED, len(dataset)))), work)


def run(settings: Settings) -> dict[str, Any]:
    """Return the document for the tree that is named, or for one that is written for the while."""
    work = Work(augmentation=resolve_augmentation("level2"))
    with tempfile.TemporaryDirectory() as folder:
        tree = settings.root or Path(folder) / "300W_LP"
        source = settings.root.name if settings.root else files.write_tree(tree, settings.images)
        datasets = {LOOSE: files.open_tree(tree, settings.images)} | {
            codec: packed(tree, Path(folder) / codec, codec) for codec in CODECS
        }
        about = {
            "name": "packed",
            **machine(),
            "images": len(datasets[LOOSE]),
            "threads": settings.threads,
            "source": source,
            "bytes_mean": {
                name: round(float(dataset.extent["size"].mean()))
                for name, dataset in datasets.items()
            },
        }
        check(datasets, work)
        count = min(MAX_BATCH, len(datasets[LOOSE]))
        running = Running(batch_size=count, threads=settings.threads)
        loaders = {name: HmtlLoader(dataset, work, running) for name, dataset in datasets.items()}
        runs = time_loaders(loaders, UINT8, settings)
    gains = {f"{codec}/{LOOSE}": ratios(runs, codec, UINT8)[f"{codec}/{LOOSE}"] for codec in CODECS}
    return {**about, "results": summarise(runs, "images_per_s"), "ratios": gains}


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=2080, seconds=2.0, repeats=7, takes_root=True)
