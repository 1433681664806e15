"""Images per second of loaders on the same files with the same operations; one JSON line.

python -m benchmarks.bench_loader [--root DIR] [--images 520] [--repeats 3] [--threads 2]

Level 2 and a 3×3 puzzle at 224 px, from JPEG files. See benchmarks/README.md for what is timed.
"""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loader import files
from benchmarks.loader.compare import Job, compare
from benchmarks.loader.hmtl_side import Decoding
from benchmarks.loader.work import Work
from benchmarks.timing import Settings, run_program
from hmtl.data import open_dataset
from hmtl.data.augmentation import resolve_augmentation

DECODE = "decode"


def run(settings: Settings) -> dict[str, Any]:
    """Return the document for the tree that is named, or for one that is written for the while."""
    with tempfile.TemporaryDirectory() as folder:
        tree = settings.root or Path(folder) / "300W_LP"
        source = settings.root.name if settings.root else files.write_tree(tree, settings.images)
        dataset = files.open_tree(tree, settings.images)
        files.write_ramps(Path(folder) / "ramps")
        job = Job(
            name="loader",
            work=Work(augmentation=resolve_augmentation("level2")),
            dataset=dataset,
            ramps=open_dataset(Path(folder) / "ramps"),
        )
        decoding = Decoding(dataset, settings.threads)
        limits = {DECODE: lambda: decoding.images_per_s(settings.seconds)}
        about = {"source": source, "bytes_mean": round(float(dataset.extent["size"].mean()))}
        return compare(job, settings, about, limits)


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=520, seconds=2.0, takes_root=True)
