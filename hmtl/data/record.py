"""What a loader has done: counts, times, and every sample that could not be read."""

import logging
from typing import Any

from hmtl.data.dataset import Dataset
from hmtl.data.rendering import Finished

_logger = logging.getLogger(__name__)

_MOST_LISTED = 20


class Record:
    """Counts since the loader was made."""

    def __init__(self, dataset: Dataset, about: dict[str, Any]) -> None:
        self._dataset = dataset
        self._about = about
        self._counts = {"batches": 0, "samples": 0, "substituted": 0, "warnings": 0, "wait_s": 0.0}
        self._stages: dict[str, float] = {}
        self._bad: dict[int, str] = {}
        self._bad_in_epoch: dict[int, str] = {}

    def begin_epoch(self) -> None:
        """Forget which samples were bad in an earlier epoch, not that they were."""
        self._bad_in_epoch = {}

    def add_rendered(self, finished: Finished) -> None:
        """Count the work that was done for a batch or for one row of it."""
        self._counts["warnings"] += finished.warnings
        for stage, seconds in finished.seconds.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def add_batch(self, samples: int, substituted: int, wait_s: float) -> None:
        """Count a batch that is handed out."""
        self._counts["batches"] += 1
        self._counts["samples"] += samples
        self._counts["substituted"] += substituted
        self._counts["wait_s"] += wait_s

    def add_bad(self, sample: int, reason: str) -> None:
        """Note a sample that could not be read; the reason names its file."""
        self._bad_in_epoch[sample] = self._bad[sample] = reason

    def is_bad(self, sample: int) -> bool:
        """Say whether a sample was found bad in this epoch."""
        return sample in self._bad_in_epoch

    def stats(self) -> dict[str, Any]:
        """Return everything as plain values; see `Loader.stats`."""
        # Names are made for the whole data set: only where one is needed.
        names = self._dataset.name if self._bad else []
        bad = [
            {"index": sample, "name": names[sample], "reason": reason}
            for sample, reason in sorted(self._bad.items())
        ]
        return {
            **self._about,
            **self._counts,
            "stages": {**self._stages},
            "bad": bad,
            "bad_in_epoch": sorted(self._bad_in_epoch),
        }

    def report_epoch(self, epoch: int, became: str) -> None:
        """Log the samples that were bad in this epoch, and what became of their rows."""
        if not self._bad_in_epoch:
            return
        count = len(self._bad_in_epoch)
        reasons = [self._bad_in_epoch[sample] for sample in sorted(self._bad_in_epoch)]
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
