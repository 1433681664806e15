"""The sides of a training in the benchmark of one GPU, as its document names them, and blocks."""

from benchmarks.gpu.blocks import Block

ALL_FEEDS = {"R", "S0", "S0 again", "S1", "S0 beside R", "R by cuda", "R by dali"}


def named(steps: str, feeds: set[str]) -> set[str]:
    """Return the sides of these steps with these feeds."""
    return {f"{steps} {feed}" for feed in feeds}


def blocks_of(*rates: float) -> list[Block]:
    return [
        Block(images=100, wall_s=100 / rate, device_s=50 / rate, cpu_s=300 / rate) for rate in rates
    ]
