"""Where the batches of a step come from: ready ones, the GPU's augmentation, the loaders."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.failures import said
from benchmarks.gpu.neighbour import taken_beside
from benchmarks.gpu.sides import AGAIN, BESIDE, OTHER_ENGINES, READY, REAL, RENDERED, real_by
from hmtl.assemble import training_loader
from hmtl.bench.trial import endless
from hmtl.data import Batch, Loader
from hmtl.data.device_render import DeviceRenderer, whole_pictures
from hmtl.errors import ConfigError
from hmtl.trainer import Trainer


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """Batches for the steps of a side."""

    batches: Iterator[Batch]
    ahead: int = 0
    """How many a loader makes of them while other sides are timed."""

    def drop(self) -> None:
        """Take those, so that a block has what is made during it."""
        for _ in itertools.islice(self.batches, self.ahead):
            pass


def open_feeds(
    held: ExitStack, trainer: Trainer, *, ring: int, side_px: int
) -> tuple[dict[str, Feed], dict[str, str]]:
    """Return the feeds by name, and why others are missing; what they need is open until `held`.

    `ring` batches are ready, and as many of pictures with sides of `side_px` lie on the device.
    """
    # The loader's, and one on its way to a GPU.
    ahead = trainer.config.data.prefetch + 1
    cached = ready(trainer, ring)
    found = {
        REAL: Feed(batches=endless(trainer.loader), ahead=ahead),
        READY: Feed(batches=cached),
        AGAIN: Feed(batches=cached),
    }
    missing = {}
    try:
        found[RENDERED] = Feed(batches=rendered(trainer, ring, side_px))
    except ConfigError as error:
        missing[RENDERED] = said(error)
    neighbour = held.enter_context(_another_loader(trainer, {}))
    take = held.enter_context(taken_beside(endless(neighbour)))
    found[BESIDE] = Feed(batches=_taking(cached, take), ahead=ahead)
    for engine in OTHER_ENGINES:
        changes = {"data.engine": engine, "data.decode": "rgb"}
        try:
            batches = endless(held.enter_context(_another_loader(trainer, changes)))
            next(batches)
        except Exception as error:  # a driver that is too old for it shows at the first batch
            missing[real_by(engine)] = said(error)
            continue
        found[real_by(engine)] = Feed(batches=batches, ahead=ahead)
    return found, missing


def _another_loader(trainer: Trainer, changes: Mapping[str, Any]) -> Loader:
    """Return a loader as the trainer's with other settings, dotted."""
    config = trainer.config.updated(changes)
    return training_loader(config, trainer.loader.dataset, trainer.device)


def _taking(batches: Iterator[Batch], take: Callable[[], None]) -> Iterator[Batch]:
    for batch in batches:
        take()
        yield batch


def ready(trainer: Trainer, count: int) -> Iterator[Batch]:
    """Return so many batches of the trainer's loader, already on its device, again and again."""
    return itertools.cycle(list(itertools.islice(endless(trainer.loader), count)))


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
