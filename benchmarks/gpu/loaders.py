"""Images/s of each engine alone, and where the time of its threads goes."""

from typing import Any

import torch

from benchmarks.gpu.blocks import run_stretch
from benchmarks.gpu.engines import Job, engines, of_each, open_loader
from benchmarks.gpu.scale import Scale
from benchmarks.timing import rounded
from hmtl.data import Loader


def measure(jobs: list[Job], scale: Scale) -> dict[str, Any]:
    """Return for each job and engine `images_per_s` of batches on its device, nobody using them.

    `stages_us` is the thread time of an image by stage, in µs; `idle` is threads without work.
    `decoded_by_core` is the share of rows that no other decoder took.
    """
    return {job.name: _of_job(job, scale) for job in jobs}


def _of_job(job: Job, scale: Scale) -> dict[str, Any]:
    return of_each(
        engines(scale.device),
        lambda engine: open_loader(engine, job, scale, batch_size=scale.batch_sizes[-1]),
        lambda _engine, loader: _timed(loader, scale),
    )


def _timed(loader: Loader, scale: Scale) -> dict[str, Any]:
    batches = iter(loader)
    # Files come into the page cache, and there is room for the batches.
    for _ in range(min(scale.images // scale.batch_sizes[-1] + 1, len(loader) - 1)):
        device = next(batches).images.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    before = loader.stats()
    wall_s = run_stretch(batches, lambda _batch: None, scale.loader_s, device)
    after = loader.stats()
    images, by_core = (after[count] - before[count] for count in ("samples", "decoded_by_core"))
    stages = {
        stage: seconds - before["stages"].get(stage, 0.0)
        for stage, seconds in after["stages"].items()
    }
    idle = max(0.0, after["threads"] * wall_s - sum(stages.values()))
    return {
        "images_per_s": rounded(images / wall_s),
        "threads": after["threads"],
        "stages_us": {
            stage: rounded(seconds / images * 1e6)
            for stage, seconds in {**stages, "idle": idle}.items()
        },
        "decoded_by_core": rounded(by_core / images),
        "gpu_peak_bytes": torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else None,
    }
