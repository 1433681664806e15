"""The engines by name, and what each asks of the other settings."""

import os
from typing import Any, Literal

import torch

from hmtl import _core
from hmtl.data.arguments import check_choice
from hmtl.data.dali import Dali
from hmtl.data.dali_decoder import require_dali
from hmtl.data.dataset import Dataset
from hmtl.data.engine import Engine, Native
from hmtl.data.options import Decode, RenderOptions
from hmtl.errors import ConfigError

EngineName = Literal["native", "dali"]
_DECODES: dict[EngineName, tuple[Decode, ...]] = {"native": ("planes", "rgb"), "dali": ("rgb",)}
"""What JPEGs can become first; the first is the default."""


def check_engine(engine: EngineName, decode: Decode | None, device: str | torch.device) -> Decode:
    """Return what JPEGs become first; raise ConfigError where the engine cannot do what is asked.

    That includes a library that it needs and that is not installed.
    """
    check_choice("engine", engine, _DECODES)
    if engine == "dali":
        require_dali()
        if str(device).startswith("cuda"):
            raise ConfigError(
                f"engine 'dali' renders on the CPU: device must be 'cpu', got {str(device)!r}"
            )
    possible = _DECODES[engine]
    if decode is None:
        return possible[0]
    if engine == "dali" and decode == "planes":
        raise ConfigError("engine 'dali' decodes to RGB: decode must be 'rgb', got 'planes'")
    return decode


def make_engine(
    engine: EngineName, dataset: Dataset, options: RenderOptions, *, batch_size: int, threads: int
) -> Engine[Any]:
    """Return an engine that renders up to `batch_size` rows at once on so many threads."""
    # As bytes: names on disk need not be UTF-8.
    core = _core.BatchRenderer([os.fsencode(path) for path in dataset.paths()], threads)
    settings = options.render_settings()
    if engine == "dali":
        return Dali(core, settings, batch_size=batch_size, threads=threads)
    return Native(core, settings)
