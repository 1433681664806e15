"""What a loader has done: counts, times, and every sample that could not be read."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from hmtl.data.dataset import Dataset
from hmtl.data.engine import Finished

_logger = logging.getLogger(__name__)

_MOST_LISTED = 20


class Record:
    """Counts since the loader was made; passes on several threads may add to it."""

    def __init__(self, dataset: Dataset, about: dict[str, Any]) -> None:
        self._dataset = dataset
        self._about = about
        self._counts = {
            "batches": 0,
            "samples": 0,
            "substituted": 0,
            "decoded_by_core": 0,
            "warnings": 0,
            "wait_s": 0.0,
        }
        self._stages: dict[str, float] = {}
        self._bad: dict[int, str] = {}
        self._lock = threading.Lock()

    def add_rendered(self, finished: Finished) -> None:
        """Count the work that was done for a batch or for one row of it."""
        with self._lock:
            self._counts["decoded_by_core"] += finished.decoded_by_core
            self._counts["warnings"] += finished.warnings
            for stage, seconds in finished.seconds.items():
                self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def add_batch(self, samples: int, substituted: int, wait_s: float) -> None:
        """Count a batch that is handed out."""
        with self._lock:
            self._counts["batches"] += 1
            self._counts["samples"] += samples
            self._counts["substituted"] += substituted
            self._counts["wait_s"] += wait_s

    def add_bad(self, sample: int, reason: str) -> None:
        """Note a sample that could not be read; the reason names its file."""
        with self._lock:
            self._bad[sample] = reason

    def stats(self) -> dict[str, Any]:
        """Return everything as plain values; see `Loader.stats`."""
        with self._lock:
            counts, stages, found = {**self._counts}, {**self._stages}, sorted(self._bad.items())
        # Names are made for the whole data set: only where one is needed.
        names = self._dataset.name if found else []
        bad = [
            {"index": sample, "name": names[sample], "reason": reason} for sample, reason in found
        ]
        return {**self._about, **counts, "stages": stages, "bad": bad}

    def report_epoch(self, epoch: int, bad: Mapping[int, str], became: str) -> None:
        """Log the samples that were bad in a pass, why, and what became of their rows."""
        if not bad:
            return
        count = len(bad)
        reasons = [bad[sample] for sample in sorted(bad)]
        lines = [f"  {reason}" for reason in reasons[:_MOST_LISTED]]
        if count > _MOST_LISTED:
            lines.append(f"  and {count - _MOST_LISTED} more, see stats()")
        _logger.warning(
            "epoch %d: %d of %d samples could not be read and were %s (in all %d):\n%s",
            epoch,
            count,
            len(self._dataset),
            became,
            len(self._bad),
            "\n".join(lines),
        )
