"""Source images per second of loaders that make two Barlow Twins views; one JSON line.

python -m benchmarks.bench_barlow [--images 520] [--repeats 3] [--threads 2]

The preset `barlow` at 224 px, from HDF5 files in the layout of ETH-XGaze with an LZF chunk for each
image. See benchmarks/README.md for what is timed.
"""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loader import patches
from benchmarks.loader.compare import Job, compare
from benchmarks.loader.hmtl_side import Decoding
from benchmarks.loader.work import Work
from benchmarks.timing import Settings, run_program
from hmtl.data.augmentation import resolve_augmentation

EXPAND = "expand"


def run(settings: Settings) -> dict[str, Any]:
    """Return the document, for files that are written for the while."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "xgaze"
        source = patches.write_patches(root, settings.images)
        dataset = patches.open_patches(root)
        patches.write_ramps(Path(folder) / "ramps")
        job = Job(
            name="barlow",
            work=Work(augmentation=resolve_augmentation("barlow"), grid=1, views=2),
            dataset=dataset,
            ramps=patches.open_patches(Path(folder) / "ramps"),
        )
        expanding = Decoding(dataset, settings.threads)
        limits = {EXPAND: lambda: expanding.images_per_s(settings.seconds)}
        about = {"source": source, "lzf_ratio": round(patches.lzf_ratio(dataset), 3)}
        return compare(job, settings, about, limits)


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=520, seconds=2.0)
