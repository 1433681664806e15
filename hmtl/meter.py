"""Sums of losses and counts of skipped updates that stay on the device, and where time went."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What some steps came to."""

    losses: Mapping[str, float]
    """Means over the updates that were not skipped; "loss" is the total. Empty without any."""
    skipped: int
    """Updates left out because a loss or gradient was not finite."""
    images_per_s: float
    wait_share: float
    """Part of the time that steps waited for data, in [0, 1]."""
    seconds: float

    def flat(self) -> dict[str, float]:
        """Return all figures by name, as a log line has them."""
        return {
            **{name: float(f"{value:.6g}") for name, value in self.losses.items()},
            "skipped": self.skipped,
            "images_per_s": round(self.images_per_s, 2),
            "wait_share": round(self.wait_share, 4),
            "seconds": round(self.seconds, 3),
        }


class LossMeter:
    """Means of the losses over a window of steps and over an epoch; updates skipped in a row.

    Only `broken_since`, `in_a_row`, `window` and `epoch` wait for the device.
    """

    def __init__(self, device: torch.device, *, bad_steps: int) -> None:
        """Count on `device`; `bad_steps` skipped updates in a row are one too many."""
        self._names: list[str] = []
        # The last one is the number of updates that were not skipped.
        self._sums = torch.zeros(1, device=device)
        self._bad_steps = bad_steps
        self._in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self._broken = torch.full((), math.inf, dtype=torch.float64, device=device)
        self._window = _Span()
        self._epoch = _Span()

    def begin_epoch(self) -> None:
        """Forget what was added, and start both clocks."""
        self._sums.zero_()
        self._window, self._epoch = _Span(), _Span()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as time waited for data."""
        began = time.perf_counter()
        yield
        self._window.waited_s += time.perf_counter() - began

    def add(self, losses: Mapping[str, Tensor], good: Tensor, step: int, samples: int) -> None:
        """Add the losses () of the update that made `step`, and whether it was done, `good` ()."""
        values = torch.stack([loss.detach() for loss in losses.values()])
        if not self._names:
            self._names = list(losses)
            self._sums = values.new_zeros(len(values) + 1)
        # A factor of 0 would not rid the sums of what is not finite.
        self._sums += torch.cat([torch.where(good, values, 0.0), good.to(values).view(1)])
        self._in_a_row = torch.where(good, 0, self._in_a_row + 1)
        reached = (self._in_a_row == self._bad_steps) & self._broken.isinf()
        self._broken = torch.where(reached, step - self._bad_steps + 1, self._broken)
        self._window.steps += 1
        self._window.samples += samples

    def broken_since(self) -> int | None:
        """Return the first step of too many skipped updates in a row, or None."""
        step = float(self._broken)
        return None if math.isinf(step) else int(step)

    def in_a_row(self) -> int:
        """Return how many of the latest updates were skipped one after the other."""
        return int(self._in_a_row)

    def window(self) -> Figures:
        """Return the figures since the last window, and start a new one."""
        return self._close_window().figures()

    def epoch(self) -> Figures:
        """Return the figures of the epoch, as far as this process ran it."""
        self._close_window()
        return self._epoch.figures()

    def _close_window(self) -> "_Span":
        window = self._window
        window.elapsed_s = time.perf_counter() - window.began
        *sums, done = self._sums.tolist()
        window.sums = dict(zip(self._names, sums, strict=True))
        window.done = round(done)
        self._sums.zero_()
        self._epoch.extend(window)
        self._window = _Span()
        return window


class _Span:
    """Sums over some steps, on the host."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.elapsed_s = 0.0
        self.waited_s = 0.0
        self.steps = 0
        self.done = 0
        self.samples = 0
        self.sums: dict[str, float] = {}

    def extend(self, other: "_Span") -> None:
        self.elapsed_s += other.elapsed_s
        self.waited_s += other.waited_s
        self.steps += other.steps
        self.done += other.done
        self.samples += other.samples
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def figures(self) -> Figures:
        elapsed = max(self.elapsed_s, 1e-9)
        return Figures(
            losses={name: value / self.done for name, value in self.sums.items() if self.done},
            skipped=self.steps - self.done,
            images_per_s=self.samples / elapsed,
            wait_share=min(self.waited_s / elapsed, 1.0),
            seconds=self.elapsed_s,
        )
