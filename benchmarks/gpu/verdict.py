"""The goals of all parts, and which of them the figures reach."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.gpu.goal import Goal
from benchmarks.gpu.sides import (
    AGAIN,
    BESIDE,
    COMPILED,
    EAGER,
    PLAIN,
    READY,
    REAL,
    RENDERED,
    side,
    versus,
)

MLPERF_IMAGES_PER_S = 7946
"""MLPerf Training v4.0, eight H200, per GPU: the practical limit of a ResNet50 at 224 px."""
SUPERVISED, BARLOW = "supervised", "barlow"
OURS = "hmtl"
"""What our own augmentation is called beside that of others."""
KORNIA_COMPILED = "kornia, compiled"

_LEAST_OF_READY = {SUPERVISED: 0.96, BARLOW: 0.94}
# Two views' chain is to take 3 % of a step, one's half of that.
_LEAST_RENDERED = {SUPERVISED: 0.985, BARLOW: 0.97}
_MOST_SLOWED = 1.01


def key(name: str, batch_size: int) -> str:
    """Return under what name a document keeps a network at a batch size."""
    return f"{name}, batch {batch_size}"


def judged(document: Mapping[str, Any], batch_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return what is to be added to the document of a GPU."""
    supervised = _run(document, SUPERVISED, batch_sizes[-1])
    return {
        "goals": goals(document, batch_sizes),
        "of_mlperf": _over(_rate(supervised, READY), MLPERF_IMAGES_PER_S),
        "disagreeing": disagreeing(document.get("parity", {})),
    }


def goals(document: Mapping[str, Any], batch_sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return all goals with what was found, in the order of their worth."""
    small, large = batch_sizes[0], batch_sizes[-1]
    found: list[Goal] = []
    for name in (SUPERVISED, BARLOW):
        found += _fed(document, name, large)
        found += _beside_the_network(document, name, large)
    found += _of_rates(document, small, large)
    for name in (SUPERVISED, BARLOW):
        found += _fed(document, name, small)
    return [goal.as_dict() for goal in found]


def _fed(document: Mapping[str, Any], name: str, size: int) -> Iterator[Goal]:
    """Yield what the loader's batches must come to, compiled and eager, and the noise of that."""
    run, title = _run(document, name, size), key(name, size)
    for steps in (COMPILED, EAGER):
        for other, least in ((RENDERED, 0.985), (READY, _LEAST_OF_READY[name])):
            ratio = versus(side(steps, REAL), side(steps, other))
            yield Goal(name=f"{title}: {ratio}", found=_median(run, ratio), least=least)
    noise = _of_ours(run, AGAIN)
    yield Goal(name=f"{title}: {noise}", found=_median(run, noise), least=0.995, most=1.005)


def _beside_the_network(document: Mapping[str, Any], name: str, size: int) -> Iterator[Goal]:
    """Yield what augmentation and loader may take from a step."""
    run, title = _run(document, name, size), key(name, size)
    for feed, least in ((RENDERED, _LEAST_RENDERED[name]), (BESIDE, round(1 / _MOST_SLOWED, 4))):
        ratio = _of_ours(run, feed)
        yield Goal(name=f"{title}: {ratio}", found=_median(run, ratio), least=least)
    yield Goal(
        name=f"{title}: busy cores of {side(_ours(run), REAL)} / cores",
        found=_over(_figure(run, REAL, "busy_cores"), document.get("cores")),
        most=0.2,
    )


def _of_rates(document: Mapping[str, Any], small: int, large: int) -> Iterator[Goal]:
    """Yield the goals that compare what was not measured in turns."""
    supervised = _run(document, SUPERVISED, large)
    ours, at_small = _rate(supervised, READY), _rate(_run(document, SUPERVISED, small), READY)
    plain, alone = versus(side(_ours(supervised), READY), side(PLAIN, READY)), _alone(document)
    yield Goal(
        name=f"loader alone / supervised {READY}",
        found=_over(_loader(document), ours),
        least=8.0,
    )
    yield Goal(
        name=f"barlow views/s with the loader / supervised images/s on {READY}",
        found=_over(_rate(_run(document, BARLOW, large), REAL), ours),
        least=0.9,
    )
    yield Goal(
        name=f"supervised: ours / plain loop, batch {large}",
        found=_median(supervised, plain),
        least=1.2,
    )
    yield Goal(
        name=f"supervised: ours, batch {small} / plain loop, batch {large}",
        found=_over(at_small, _rate(supervised, READY, PLAIN)),
        least=1.2,
    )
    yield Goal(
        name=f"supervised: batch {small} / batch {large}",
        found=_over(at_small, ours),
        least=0.92,
    )
    yield Goal(name="views/s of the chain on the GPU alone", found=alone.get(OURS), least=120_000)
    yield Goal(
        name="the same / kornia, compiled",
        found=_over(alone.get(OURS), alone.get(KORNIA_COMPILED)),
        least=5.0,
    )


def disagreeing(parity: Mapping[str, Any]) -> list[str]:
    """Return the jobs and engines whose batches are not those of the native engine."""
    return [
        f"{job}: {engine}"
        for job, engines in parity.items()
        for engine, found in engines.items()
        if not found.get("agrees", True)
    ]


def _run(document: Mapping[str, Any], name: str, size: int) -> Mapping[str, Any]:
    """Return what was found of a training, nothing where it was not measured."""
    found: Mapping[str, Any] = document.get("training", {}).get(key(name, size), {})
    return found


def _ours(run: Mapping[str, Any]) -> str:
    """Return how the steps are done that the goals of a training stand on."""
    return str(run.get("ours", COMPILED))


def _of_ours(run: Mapping[str, Any], feed: str) -> str:
    """Return the name of our steps' ratio of a feed by ready batches."""
    return versus(side(_ours(run), feed), side(_ours(run), READY))


def _median(run: Mapping[str, Any], ratio: str) -> float | None:
    found = run.get("ratios", {}).get(ratio)
    return None if found is None else float(found["median"])


def _rate(run: Mapping[str, Any], feed: str, steps: str | None = None) -> float | None:
    """Return images/s of a feed, with our steps unless others are named."""
    return _figure(run, feed, "images_per_s", steps)


def _figure(
    run: Mapping[str, Any], feed: str, figure: str, steps: str | None = None
) -> float | None:
    found = run.get("sides", {}).get(side(steps or _ours(run), feed))
    return None if found is None else float(found[figure])


def _loader(document: Mapping[str, Any]) -> float | None:
    """Return images/s of the fastest engine alone on the supervised job's data."""
    engines = document.get("loaders", {}).get(SUPERVISED, {})
    rates = [found["images_per_s"] for found in engines.values() if "images_per_s" in found]
    return max(rates, default=None)


def _alone(document: Mapping[str, Any]) -> dict[str, float]:
    """Return views/s of the augmentation alone, ours and those of others."""
    found = document.get("yardsticks", {})
    return {name: float(one["views_per_s"]) for name, one in found.items() if "views_per_s" in one}


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other
