"""The engines by name, and what each asks of the other settings."""

import os
from typing import Any, Literal

import torch

from hmtl import _core
from hmtl.data.arguments import check_choice
from hmtl.data.dali import Dali
from hmtl.data.dali_decoder import require_dali
from hmtl.data.dataset import Dataset
from hmtl.data.decoding import DecodingRenderer
from hmtl.data.engine import Engine, Native, Way
from hmtl.data.kernels import require_kernels
from hmtl.data.options import Decode, RenderOptions
from hmtl.data.rendering import Renderer
from hmtl.data.renders import Renders
from hmtl.data.upload import Uploader
from hmtl.data.ways import ToImages, ToPictures
from hmtl.errors import ConfigError

EngineName = Literal["native", "cuda", "dali"]
_DECODES: dict[EngineName, tuple[Decode, ...]] = {
    "native": ("planes", "rgb"),
    "cuda": ("rgb",),
    "dali": ("rgb",),
}
"""What JPEGs can become first; the first is the default."""


def check_engine(engine: EngineName, decode: Decode | None, device: str | torch.device) -> Decode:
    """Return what JPEGs become first; raise ConfigError where the engine cannot do what is asked.

    That includes a library that it needs and that is not installed.
    """
    check_choice("engine", engine, _DECODES)
    if engine == "dali":
        require_dali()
    if engine != "native" and str(device).startswith("cuda"):
        require_kernels()
    possible = _DECODES[engine]
    if decode is None:
        return possible[0]
    if decode == "planes" and decode not in possible:
        raise ConfigError(f"engine {engine!r} decodes to RGB: decode must be 'rgb', got 'planes'")
    return decode


def make_renderer(
    engine: EngineName,
    dataset: Dataset,
    options: RenderOptions,
    uploader: Uploader,
    *,
    seed: int,
    batch_size: int,
    threads: int,
    prefetch: int,
) -> Renders[Any]:
    """Return what makes batches of up to `batch_size` rows on so many threads, `prefetch` ahead."""
    # As bytes: names on disk need not be UTF-8.
    core = _core.BatchRenderer([os.fsencode(path) for path in dataset.paths()], threads)
    settings = options.render_settings()
    device = uploader.device

    def with_decoder(way: Way) -> Engine[Any]:
        if engine != "dali":
            return Native(core, way)
        sizes = {"batch_size": batch_size, "threads": threads}
        return Dali(core, settings, way, device=device.index, **sizes)

    if _ends_in_pictures(engine, device):
        pictures = with_decoder(ToPictures(core, settings, uploader.allocate))
        return DecodingRenderer(dataset, options, pictures, seed=seed, device=device)
    buffers = uploader.buffers(
        (batch_size, options.size, options.size, 3),
        # On their way, with the user, and dropped by the user when the next one comes.
        keep=(prefetch + 2) * options.views,
    )
    images = with_decoder(ToImages(core, settings))
    return Renderer(dataset, options, images, seed=seed, buffers=buffers)


def _ends_in_pictures(engine: EngineName, device: torch.device) -> bool:
    """Return whether the kernels for devices make the images."""
    return engine == "cuda" or (engine == "dali" and device.type == "cuda")
