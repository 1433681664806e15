"""Pictures drawn often, and how far a share or a mean may lie from what it must be."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.loader.checks import one_batch, rows
from benchmarks.loader.work import Open, Running, Work
from hmtl.data import Augmentation, Dataset

# Of a check that holds, one in 150,000 fails by chance.
_DEVIATIONS = 4.5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawer:
    """A side that renders the same samples as often as it is asked to."""

    name: str
    open_side: Open
    dataset: Dataset
    work: Work
    """Of which augmentation and puzzle are left out."""
    draws: int
    """Pictures at least."""

    def plain(self) -> Floats:
        """Return every sample as it is without chance, (N, S, S, 3)."""
        work = replace(self.work, augmentation=Augmentation(), grid=1, views=1)
        return rows(one_batch(self.open_side, self.dataset, work).views[0]).astype(np.float32)

    def drawn(self, augmentation: Augmentation, views: int = 1) -> tuple[Floats, ...]:
        """Return all views, each (M, S, S, 3); the samples come in their order, over and over."""
        work = replace(self.work, augmentation=augmentation, grid=1, views=views)
        running = Running(batch_size=len(self.dataset), threads=0, shuffle=False)
        loader = self.open_side(self.dataset, work, running)
        passes = math.ceil(self.draws / len(self.dataset))
        batches = [batch.views for _ in range(passes) for batch in loader]
        views_of_all = zip(*batches, strict=True)
        return tuple(
            np.concatenate([rows(view) for view in parts]).astype(np.float32)
            for parts in views_of_all
        )

    def pairs(self, augmentation: Augmentation) -> tuple[Floats, Floats]:
        """Return the plain and the drawn pictures, both (M, S, S, 3)."""
        (drawn,) = self.drawn(augmentation)
        plain = self.plain()
        return np.tile(plain, (len(drawn) // len(plain), 1, 1, 1)), drawn

    def fail(self, what: str) -> None:
        raise RuntimeError(f"{self.name}: {what}")

    def check_share(self, what: str, hits: npt.NDArray[np.bool_], probability: float) -> None:
        """Raise RuntimeError unless so many pictures are hit as the probability says."""
        share = float(hits.mean())
        deviation = math.sqrt(probability * (1 - probability) / len(hits))
        if not abs(share - probability) <= _DEVIATIONS * deviation:
            self.fail(f"{what} must come with probability {probability:g}, came in {share:.3f}")

    def check_uniform(
        self, what: str, values: Floats, limits: tuple[float, float], slack: float, beyond: float
    ) -> None:
        """Raise RuntimeError unless values (M,) are spread evenly.

        `slack` is the error of their mean and deviation, `beyond` that of a single one.
        """
        low, high = limits
        if not (low - beyond <= values.min() and values.max() <= high + beyond):
            self.fail(f"{what} must lie in {limits}, is {values.min():.3f} … {values.max():.3f}")
        self.check_moments(what, values, (low + high) / 2, (high - low) / math.sqrt(12), slack)

    def check_moments(
        self, what: str, values: Floats, mean: float, deviation: float, slack: float
    ) -> None:
        """Raise RuntimeError unless values (M,) have this mean and standard deviation."""
        room = _DEVIATIONS * deviation / math.sqrt(len(values)) + slack
        for name, found, expected in (
            ("mean", float(values.mean()), mean),
            ("standard deviation", float(values.std()), deviation),
        ):
            if not abs(found - expected) <= room:
                self.fail(f"the {name} of {what} must be {expected:.3f}, is {found:.3f}")


def correlations(values: Floats, others: Floats) -> float:
    """Return the correlation of two arrays of one shape."""
    return float(np.corrcoef(values.ravel(), others.ravel())[0, 1])


def per_picture(pictures: Floats) -> Iterator[Floats]:
    """Yield each picture's pixels (S · S, 3)."""
    return (picture.reshape(-1, 3) for picture in pictures)
