"""Part a: whether all engines give the batches that the native one gives on the CPU."""

from itertools import islice
from typing import Any

import torch

from benchmarks.gpu.engines import NATIVE_CPU, Job, opened
from benchmarks.gpu.scale import Scale
from hmtl.data import Batch

_BATCHES = 3
MOST_LEVELS = {"native": 0, "cuda": 0, "dali": 1}
"""By how many grey levels an engine's pixels may differ where all decode to RGB."""


def measure(jobs: list[Job], scale: Scale) -> dict[str, Any]:
    """Return for each job and engine what of its batches differs, or why it is missing.

    `labels_equal` is of all tensors beside the images, bit for bit; `levels` the largest difference
    of a pixel, `differing` the share of bytes that differ at all, `agrees` the verdict.
    """
    return {job.name: _of_job(job, scale) for job in jobs}


def _of_job(job: Job, scale: Scale) -> dict[str, Any]:
    batch_size = scale.batch_sizes[0]
    found: dict[str, Any] = {}
    wanted: list[Batch] = []
    for engine, loader in opened(job, scale, batch_size=batch_size, decode="rgb"):
        if isinstance(loader, str):
            found[engine.name] = {"missing": loader}
            continue
        batches = [batch.to("cpu") for batch in islice(loader, _BATCHES)]
        if engine.name == NATIVE_CPU:
            wanted = batches
            continue
        found[engine.name] = compared(batches, wanted, MOST_LEVELS[engine.engine])
    return found


def compared(batches: list[Batch], wanted: list[Batch], most_levels: int) -> dict[str, Any]:
    """Return how batches differ from those that are wanted."""
    pairs = list(zip(batches, wanted, strict=True))
    labels = all(
        one.labels().keys() == other.labels().keys()
        and all(
            torch.equal(label.nan_to_num(), wanted_label.nan_to_num())
            for label, wanted_label in zip(
                one.labels().values(), other.labels().values(), strict=True
            )
        )
        for one, other in pairs
    )
    levels, differing, total = 0, 0, 0
    for one, other in pairs:
        for view, wanted_view in zip(one.views, other.views, strict=True):
            difference = (view.short() - wanted_view.short()).abs()
            levels = max(levels, int(difference.max()))
            differing += int((difference > 0).sum())
            total += difference.numel()
    return {
        "labels_equal": labels,
        "levels": levels,
        "differing": differing / total,
        "agrees": labels and levels <= most_levels,
    }
