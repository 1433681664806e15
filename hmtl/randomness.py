"""Torch's random state of every rank: what dropout draws from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmtl.distributed import gather_rows, rank, world_size

RandomState = dict[str, Tensor | None]


def seed_rank(seed: int, step: int = 0) -> None:
    """Seed torch on this rank: rank 0 of a new run with `seed`, all else with other streams."""
    if (rank(), step) != (0, 0):
        sequence = np.random.SeedSequence([seed, step, rank()])
        seed = int(sequence.generate_state(1, np.uint64)[0])
    torch.manual_seed(seed)


def random_states(device: torch.device) -> list[RandomState]:
    """Return the random states of all ranks, on every rank; asks nothing of the device."""
    cpu = gather_rows(torch.get_rng_state()[None])
    if device.type != "cuda":
        return [{"cpu": state, "cuda": None} for state in cpu]
    cuda = gather_rows(torch.cuda.get_rng_state(device)[None])
    return [{"cpu": first, "cuda": second} for first, second in zip(cpu, cuda, strict=True)]


def restore_random_state(
    states: Sequence[Any], device: torch.device, *, seed: int, step: int
) -> None:
    """Go on with this rank's state, or with a new stream where there were fewer or more ranks."""
    if len(states) != world_size():
        seed_rank(seed, step)
        return
    own = states[rank()]
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and own["cuda"] is not None:
        torch.cuda.set_rng_state(own["cuda"], device)
