"""Whether all engines give the batches that the native one gives on the CPU."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.engines import Engine, Job, engines, of_each, open_loader
from benchmarks.gpu.scale import Scale
from hmtl.data import Batch, Loader

_BATCHES = 3
_LEVELS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """By how many grey levels pixels may differ where all decode to RGB."""

    mean: float
    """To stay below."""
    of_999: int
    """What 99.9 % of the bytes keep to."""
    most: int


EXACT = Limits(mean=1.0, of_999=0, most=0)
# nvJPEG rounds otherwise than libjpeg: a level in Y and one in Cb are 2.8 levels in blue, and the
# strongest contrast of the preset, 1.4, makes 3.9 of them. Single pixels may meet worse.
OF_NVJPEG = Limits(mean=0.5, of_999=4, most=_LEVELS - 1)


def measure(jobs: list[Job], scale: Scale) -> dict[str, Any]:
    """Return for each job and engine what of its batches differs, or why it is missing."""
    return {job.name: _of_job(job, scale) for job in jobs}


def _of_job(job: Job, scale: Scale) -> dict[str, Any]:
    reference, *others = engines(scale.device)

    def open_one(engine: Engine) -> Loader:
        return open_loader(engine, job, scale, batch_size=scale.batch_sizes[0], decode="rgb")

    with open_one(reference) as loader:
        wanted = _some(loader)
    return of_each(
        others,
        open_one,
        lambda engine, loader: compared(_some(loader), wanted, limits_of(engine)),
    )


def _some(loader: Loader) -> list[Batch]:
    return [batch.to("cpu") for batch in islice(loader, _BATCHES)]


def limits_of(engine: Engine) -> Limits:
    """Return how near an engine must come."""
    is_nvjpeg = engine.engine == "dali" and engine.device != "cpu"
    return OF_NVJPEG if is_nvjpeg else EXACT


def compared(batches: list[Batch], wanted: list[Batch], limits: Limits) -> dict[str, Any]:
    """Return how batches differ from those that are wanted.

    `labels_equal` is of all tensors beside the images, bit for bit. `levels` is by how much pixels
    differ: on average, what 99.9 % of the bytes keep to, and at most; `differing` is the share of
    bytes that differ at all, `agrees` the verdict.
    """
    pairs = list(zip(batches, wanted, strict=True))
    labels = all(_labels_equal(one, other) for one, other in pairs)
    counts = torch.zeros(_LEVELS, dtype=torch.int64)
    for one, other in pairs:
        for view, wanted_view in zip(one.views, other.views, strict=True):
            difference = (view.short() - wanted_view.short()).abs()
            counts += torch.bincount(difference.flatten(), minlength=_LEVELS)
    levels = _summarised(counts)
    return {
        "labels_equal": labels,
        "levels": levels,
        "differing": int(counts[1:].sum()) / int(counts.sum()),
        "agrees": labels
        and levels["mean"] < limits.mean
        and levels["of_999"] <= limits.of_999
        and levels["most"] <= limits.most,
    }


def _labels_equal(one: Batch, other: Batch) -> bool:
    labels, wanted = one.labels(), other.labels()
    return labels.keys() == wanted.keys() and all(
        torch.equal(label.nan_to_num(), wanted[name].nan_to_num()) for name, label in labels.items()
    )


def _summarised(counts: Tensor) -> dict[str, float]:
    """Return what a distribution over levels (L,) is like."""
    shares = counts.double() / counts.sum()
    return {
        "mean": float(shares @ torch.arange(len(shares), dtype=torch.float64)),
        "of_999": int((shares.cumsum(0) < 0.999).sum()),
        "most": int(counts.nonzero().max()),
    }
