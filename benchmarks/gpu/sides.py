"""What the sides of a training are called: how steps are done, and what feeds them."""

from typing import Literal

COMPILED, EAGER, PLAIN = "compiled", "eager", "plain loop"
"""Our step with a compiled network and without, and a bare loop of PyTorch."""
READY, AGAIN, RENDERED, REAL, BESIDE = "S0", "S0 again", "S1", "R", "S0 beside R"
"""Ready batches, twice; what the GPU renders; the loader's; ready ones while that works, too."""
OTHER_ENGINES: tuple[Literal["cuda", "dali"], ...] = ("cuda", "dali")
"""Of the loader, beside its default."""


def real_by(engine: str) -> str:
    """Return what the loader's batches by another engine are called."""
    return f"{REAL} by {engine}"


def side(steps: str, feed: str) -> str:
    """Return the name of the side that does its steps so on those batches."""
    return f"{steps} {feed}"


def versus(one: str, other: str) -> str:
    """Return the name of the ratio of one side's rate by another's."""
    return f"{one} / {other}"


def compared() -> list[tuple[str, str]]:
    """Return the sides whose rates are divided, where both are there."""
    feeds = [(feed, READY) for feed in (AGAIN, RENDERED, REAL, BESIDE)] + [(REAL, RENDERED)]
    feeds += [(real_by(engine), READY) for engine in OTHER_ENGINES]
    same_steps = [
        (side(steps, one), side(steps, other))
        for steps in (COMPILED, EAGER)
        for one, other in feeds
    ]
    steps = [(COMPILED, EAGER), (COMPILED, PLAIN), (EAGER, PLAIN)]
    return same_steps + [(side(one, READY), side(other, READY)) for one, other in steps]
