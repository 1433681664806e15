"""Random weights that depend on a seed alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Let torch's constructors draw from a CPU generator seeded with `seed`, then restore it."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the GPUs too, whose state is not restored here.
        torch.default_generator.manual_seed(seed % 2**64)
        yield
