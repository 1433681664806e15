"""The goals, and which of them the figures reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MLPERF_IMAGES_PER_S = 7946
"""MLPerf Training v4.0, eight H200, per GPU: the practical limit of a ResNet50 at 224 px."""
SUPERVISED, BARLOW = "supervised", "barlow"
OURS = "hmtl"
"""What our own augmentation is called beside that of others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """Something to be reached."""

    name: str
    found: float | None
    """None where it was not measured."""
    least: float
    most: float = float("inf")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; `reached` is None where nothing was measured."""
        reached = None if self.found is None else self.least <= self.found <= self.most
        limits = {"least": self.least}
        if self.most != float("inf"):
            limits["most"] = self.most
        found = None if self.found is None else round(self.found, 4)
        return {"goal": self.name, "found": found, **limits, "reached": reached}


def key(name: str, batch_size: int) -> str:
    """Return under what name a document keeps a network at a batch size."""
    return f"{name}, batch {batch_size}"


def judged(document: Mapping[str, Any], batch_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return what is to be added to the document of a GPU."""
    supervised = document.get("training", {}).get(key(SUPERVISED, batch_sizes[-1]), {})
    return {
        "goals": goals(document, batch_sizes),
        "of_mlperf": _over(_rate(supervised, "S0"), MLPERF_IMAGES_PER_S),
        "disagreeing": disagreeing(document.get("parity", {})),
    }


def goals(document: Mapping[str, Any], batch_sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return all goals with what was found, in the order of their worth."""
    training = document.get("training", {})
    small, large = batch_sizes[0], batch_sizes[-1]
    found = []
    for name, least, least_rendered in ((SUPERVISED, 0.96, 0.985), (BARLOW, 0.94, 0.97)):
        run = training.get(key(name, large), {})
        found += [
            Goal(name=f"{name}: R/S1", found=_median(run, "R/S1"), least=0.985),
            Goal(name=f"{name}: R/S0", found=_median(run, "R/S0"), least=least),
            Goal(
                name=f"{name}: S1/S0 (the chain on the GPU)",
                found=_median(run, "S1/S0"),
                least=least_rendered,
            ),
            Goal(
                name=f"{name}: S0 again/S0 (noise)",
                found=_median(run, "S0 again/S0"),
                least=0.995,
                most=1.005,
            ),
        ]
    supervised = training.get(key(SUPERVISED, large), {})
    ours = _rate(supervised, "S0")
    found += [
        Goal(name="loader alone / supervised S0", found=_over(_loader(document), ours), least=8.0),
        Goal(
            name="barlow views/s with the loader / supervised images/s on S0",
            found=_over(_rate(training.get(key(BARLOW, large), {}), "R"), ours),
            least=0.9,
        ),
        Goal(
            name="views/s of the chain on the GPU alone",
            found=_alone(document, OURS),
            least=120_000,
        ),
        Goal(
            name="the same / kornia, compiled",
            found=_over(_alone(document, OURS), _alone(document, "kornia, compiled")),
            least=5.0,
        ),
        Goal(
            name=f"supervised: batch {small} / batch {large}",
            found=_over(_rate(training.get(key(SUPERVISED, small), {}), "S0"), ours),
            least=0.92,
        ),
        Goal(
            name=f"supervised: ours / plain loop, batch {large}",
            found=_median(supervised, "S0/S0, plain loop"),
            least=1.2,
        ),
    ]
    return [goal.as_dict() for goal in found]


def disagreeing(parity: Mapping[str, Any]) -> list[str]:
    """Return the jobs and engines whose batches are not those of the native engine."""
    return [
        f"{job}: {engine}"
        for job, engines in parity.items()
        for engine, found in engines.items()
        if not found.get("agrees", True)
    ]


def _median(run: Mapping[str, Any], name: str) -> float | None:
    found = run.get("ratios", {}).get(name)
    return None if found is None else float(found["median"])


def _rate(run: Mapping[str, Any], side: str) -> float | None:
    found = run.get("sides", {}).get(side)
    return None if found is None else float(found["images_per_s"])


def _loader(document: Mapping[str, Any]) -> float | None:
    """Return images/s of the fastest engine alone on the supervised job's data."""
    engines = document.get("loaders", {}).get(SUPERVISED, {})
    rates = [found["images_per_s"] for found in engines.values() if "images_per_s" in found]
    return max(rates, default=None)


def _alone(document: Mapping[str, Any], name: str) -> float | None:
    """Return views/s of the augmentation alone, of ours or of others."""
    found = document.get("yardsticks", {}).get(name, {}).get("views_per_s")
    return None if found is None else float(found)


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other
