"""Milliseconds for an image to become normalised floats on one CPU thread; one JSON line.

python -m benchmarks.bench_normalize [--images 64] [--repeats 9]

`batch.normalized()` beside plain torch operators, into memory that is used again and into fresh
memory, for batches (N, 3, 224, 224) in channels_last. See benchmarks/README.md.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.loader.work import IMAGENET_DEVIATION, IMAGENET_MEAN
from benchmarks.machine import machine
from benchmarks.timing import Settings, one_torch_thread, ratios, run_program, summarise, take_turns
from hmtl.data import normalize

SIZE = 224
REUSED, FRESH = "reused", "fresh"

Normalise = Callable[[Tensor, Tensor | None], Tensor]


def by_hmtl(images: Tensor, out: Tensor | None) -> Tensor:
    return normalize(images, out=out)


def by_torch(images: Tensor, out: Tensor | None) -> Tensor:
    """Return the floats, made with the fewest passes that torch's own operators allow."""
    deviation = torch.tensor(IMAGENET_DEVIATION).view(1, 3, 1, 1)
    scale, offset = 1 / (255 * deviation), -torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) / deviation
    return torch.mul(images, scale, out=out).add_(offset)


SIDES: dict[str, Normalise] = {"hmtl": by_hmtl, "torch": by_torch}


def check(images: Tensor) -> None:
    """Raise RuntimeError unless both give what double precision gives, in the same layout."""
    mean, deviation = (
        torch.tensor(numbers, dtype=torch.float64).view(1, 3, 1, 1)
        for numbers in (IMAGENET_MEAN, IMAGENET_DEVIATION)
    )
    expected = (images.double() / 255 - mean) / deviation
    for name, side in SIDES.items():
        out = torch.empty_like(images, dtype=torch.float32)
        for floats in (side(images, None), side(images, out)):
            if not torch.allclose(floats.double(), expected, atol=1e-5):
                raise RuntimeError(f"{name}: floats must be the normalised pixels")
            if not floats.is_contiguous(memory_format=torch.channels_last):
                raise RuntimeError(f"{name}: floats must be channels_last")


def milliseconds(side: Normalise, images: Tensor, out: Tensor | None, seconds: float) -> float:
    """Return the time of an image over whole batches that take at least so long."""
    side(images, out)
    batches = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not batches:
        side(images, out)
        batches += 1
    return elapsed / batches / len(images) * 1e3


def run(settings: Settings) -> dict[str, Any]:
    """Return the document."""
    about = {"name": "normalize", **machine(), "images": settings.images, "size": SIZE}
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (settings.images, 3, SIZE, SIZE), dtype=torch.uint8)
    images = pixels.contiguous(memory_format=torch.channels_last)
    out = torch.empty_like(images, dtype=torch.float32)
    with one_torch_thread():
        check(images[:4])
        measured = {
            name: {
                kind: partial(milliseconds, side, images, memory, settings.seconds)
                for kind, memory in ((REUSED, out), (FRESH, None))
            }
            for name, side in SIDES.items()
        }
        runs = take_turns(measured, settings.repeats)
    return {
        **about,
        "results": summarise(runs, "ms_per_image"),
        "ratios": {kind: ratios(runs, "torch", kind)["torch/hmtl"] for kind in (REUSED, FRESH)},
    }


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=64, seconds=0.5)
