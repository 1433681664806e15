"""Our kernels and what others make of the same operations on the GPU, each sample by chance."""

import importlib
import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.failures import MISSING, said
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.verdict import KORNIA_COMPILED, OURS
from benchmarks.loader.torchvision_side import Torchvision
from benchmarks.loader.work import Work
from benchmarks.timing import rounded
from hmtl import _core
from hmtl.bench.trial import synchronise
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.device_render import DeviceRenderer, whole_pictures

Augment = Callable[[Tensor], Tensor]

_SIDE_PX = 224
_AUGMENTATION = "barlow"
_GRID = 3


def measure(scale: Scale) -> dict[str, Any]:
    """Return views/s of each, from uint8 pictures on the device to augmented ones there.

    Yardsticks that cannot be opened or timed are `missing`, with the reason.
    """
    device = torch.device(scale.device)
    count = scale.batch_sizes[-1]
    pictures = torch.randint(0, 256, (count, 3, _SIDE_PX, _SIDE_PX), dtype=torch.uint8)
    pictures = pictures.to(device, memory_format=torch.channels_last)
    found: dict[str, Any] = {OURS: _timed(our_views(scale), pictures, scale)}
    others = {"torchvision v2": torchvision_views, "kornia": _kornia}
    if scale.compiles:
        others[KORNIA_COMPILED] = _compiled_kornia
    for name, opener in others.items():
        try:
            found[name] = _timed(opener(scale), pictures, scale)
        except Exception as error:  # others' code must not cost our own figure
            found[name] = {MISSING: said(error)}
    return found


def _timed(augment: Augment, pictures: Tensor, scale: Scale) -> dict[str, Any]:
    """Return views/s by the median of whole batches: what is compiled meanwhile does not count."""
    for _ in range(2):
        augment(pictures)
    synchronise(pictures.device)
    seconds: list[float] = []
    while sum(seconds) < scale.loader_s or len(seconds) < scale.blocks:
        began = time.perf_counter()
        augment(pictures)
        synchronise(pictures.device)
        seconds.append(time.perf_counter() - began)
    return {"views_per_s": rounded(len(pictures) / statistics.median(seconds))}


def our_views(scale: Scale) -> Augment:
    """Return the kernels of hmtl, with tiles and down-scaling, whose params are drawn each time."""
    device = torch.device(scale.device)
    renderer = DeviceRenderer(size=scale.size, grid=_GRID, device=device)
    settings = _core.DrawSettings(
        augmentation=resolve_augmentation(_AUGMENTATION).to_core(),
        fit=0, pretext=1, grid=_GRID, size=scale.size, puzzled_fraction=1.0,
    )  # fmt: skip
    epochs = itertools.count()

    def render(pictures: Tensor) -> Tensor:
        count = len(pictures)
        whole = np.broadcast_to(np.array([0, 0, _SIDE_PX, _SIDE_PX], np.float32), (count, 4))
        params = _core.draw_params(
            settings=settings, seed=0, epoch=next(epochs), samples=np.arange(count), views=1,
            face=whole, box=whole,
        )  # fmt: skip
        rows = pictures.permute(0, 2, 3, 1).contiguous()
        return renderer.render(rows, whole_pictures(count, _SIDE_PX, _SIDE_PX), params).views[0]

    return render


def torchvision_views(scale: Scale) -> Augment:
    """Return transforms v2, sample by sample: a call draws once for all that it is given."""
    augmentation = resolve_augmentation(_AUGMENTATION)
    side = Torchvision(Work(augmentation=augmentation, size=scale.size, floats=True))

    def crop() -> tuple[int, int, int, int]:
        length = round(_SIDE_PX * random.uniform(*augmentation.area) ** 0.5)
        x, y = (random.randint(0, _SIDE_PX - length) for _ in range(2))
        return x, y, x + length, y + length

    return lambda pictures: torch.stack([side.view(picture, crop())[0] for picture in pictures])


def _kornia(scale: Scale) -> Augment:
    """Return kornia's stages, which draw for each sample; it has no tiles and no down-scaling."""
    augmentation = importlib.import_module("kornia.augmentation")
    drawn = resolve_augmentation(_AUGMENTATION)
    stages = augmentation.AugmentationSequential(
        augmentation.RandomResizedCrop(
            (scale.size, scale.size), scale=drawn.area, ratio=drawn.aspect
        ),
        augmentation.ColorJitter(
            drawn.brightness, drawn.contrast, drawn.saturation, 0.1, p=drawn.color
        ),
        augmentation.RandomGrayscale(p=drawn.grey),
        augmentation.RandomGaussianNoise(std=drawn.noise_deviation[1], p=drawn.noise),
        augmentation.RandomGaussianBlur((5, 5), (1.0, 1.0), p=drawn.blur_or_down_scale),
        augmentation.RandomErasing(scale=drawn.cutout_area, ratio=(1.0, 1.0), p=drawn.cutout),
        same_on_batch=False,
    )
    return lambda pictures: stages(pictures.float() / 255)


def _compiled_kornia(scale: Scale) -> Augment:
    return torch.compile(_kornia(scale))
