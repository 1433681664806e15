"""One way from a trained network to a file that is known to give its poses."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hmtl.assemble import BEST_WEIGHTS, WEIGHTS
from hmtl.data import normalize
from hmtl.durable import atomic_path
from hmtl.errors import ConfigError, RunError
from hmtl.export.formats import Run, read, write
from hmtl.export.target import Target, require_packages
from hmtl.export.trained import Trained
from hmtl.metrics import angular_error
from hmtl.models.seeding import random_state

MOST_DEG = 0.01
"""How far the poses of a file may be from those of the network, degrees."""

_BATCHES = (1, 5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A file that was written and read back."""

    path: Path
    size_bytes: int
    difference_deg: float
    """The largest between the poses of the file and those of the network."""


def export(trained: Trained, target: Target) -> Exported:
    """Write a network, read the file back and compare; only then does it take its place.

    RunError where the file gives other poses, by more than `MOST_DEG`: then nothing is left of it,
    and what was at `target.path` before is there as it was. ConfigError where that is the weights
    that were read, or others of the run.
    """
    require_packages(target.format)
    _check_is_no_weights_of(trained, target.path)
    with atomic_path(target.path) as temporary:
        write(trained, target, temporary)
        difference = _difference(trained, target, read(target.format, temporary))
        if not difference <= MOST_DEG:
            raise RunError(
                f"{target.path} is not written: read back, its poses differ by {difference:.3g}"
                f" degrees from the network's, and may by {MOST_DEG}"
            )
        size = temporary.stat().st_size
    return Exported(path=target.path, size_bytes=size, difference_deg=difference)


def _check_is_no_weights_of(trained: Trained, path: Path) -> None:
    of_run = (trained.run / name for name in (WEIGHTS, BEST_WEIGHTS))
    if path.resolve() in {weights.resolve() for weights in (trained.path, *of_run)}:
        raise ConfigError(f"OUT must not be weights of the run, or those that are read, got {path}")


@torch.no_grad()
def _difference(trained: Trained, target: Target, run: Run) -> float:
    """Return the largest difference in degrees on random images, NaN where a pose is."""
    differences = []
    for count in _BATCHES:
        images = random_images(count, trained.config.data.size)
        floats = normalize(images).contiguous()
        found = run(images if target.input == "uint8" else floats)
        expected = trained.network(floats)
        differences.append(torch.from_numpy(angular_error(found, expected)).max())
    return float(torch.stack(differences).max())


def random_images(count: int, size: int) -> Tensor:
    """Return uint8 images (N, 3, S, S) whose colours differ, so that channels cannot be mixed up.

    They are the same ones each time.
    """
    with random_state(count):
        brightness = torch.rand(count, 3, 1, 1)
        return (256 * brightness * torch.rand(count, 3, size, size)).to(torch.uint8)
