"""Where the batches of a step come from: ready ones, the GPU's augmentation, the loader."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hmtl.bench.trial import endless
from hmtl.data import Batch
from hmtl.data.device_render import DeviceRenderer, whole_pictures
from hmtl.trainer import Trainer

READY, RENDERED, REAL = "S0", "S1", "R"


def ready(trainer: Trainer, count: int) -> Iterator[Batch]:
    """Return so many batches of the trainer's loader, already on its device, again and again."""
    return itertools.cycle(list(itertools.islice(endless(trainer), count)))


def rendered(trainer: Trainer, count: int, side_px: int) -> Iterator[Batch]:
    """Return batches rendered on the trainer's device from so many of pictures that lie there.

    The pictures are noise with sides of `side_px`, what is drawn for them is the loader's, and so
    are poses and indexes. Raises ConfigError where the kernels for the device are missing.
    """
    config = trainer.config
    grid = 1 if config.pretext.task == "none" else config.pretext.grid
    renderer = DeviceRenderer(size=config.data.size, grid=grid, device=trainer.device)
    made = [_ring_entry(trainer, renderer, side_px, number) for number in range(count)]
    return (make() for make in itertools.cycle(made))


def _ring_entry(
    trainer: Trainer, renderer: DeviceRenderer, side_px: int, number: int
) -> Callable[[], Batch]:
    """Return what renders one of the batches, anew each time."""
    count, loader = trainer.config.train.batch_size, trainer.loader
    rows = np.arange(number * count, (number + 1) * count) % len(loader.dataset)
    params, base = loader.draw(rows), loader.render(rows)
    sources = whole_pictures(count, side_px, side_px)
    shape = (count, side_px, side_px, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=trainer.device)

    def make() -> Batch:
        found = renderer.render(pixels, sources, params)

        def labels(of_views: Tensor, like: Tensor | None) -> Tensor | None:
            return None if like is None else of_views.view(like.shape)

        return replace(
            base,
            views=found.views,
            permutation=labels(found.permutation, base.permutation),
            turns=labels(found.turns, base.turns),
        )

    return make
