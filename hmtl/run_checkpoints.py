"""The checkpoints of a run: the last ones and the best, and which of them a run goes on from.

`last.pt` is the newest, `step-N.pt` are those before it, `best.pt` is the one that validated best.
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hmtl import checkpoint
from hmtl.durable import atomic_path, sync
from hmtl.errors import RunError

LAST = Path("checkpoints") / "last.pt"
BEST = Path("checkpoints") / "best.pt"

_OLDER = re.compile(r"step-(\d+)\.pt")


class RunCheckpoints:
    """Writes a run's checkpoints such that at any moment there is one to go on from."""

    def __init__(self, run: Path, *, keep: int) -> None:
        """Keep the `keep` newest in the folder of `run`, and the best one."""
        self._last, self._best = run / LAST, run / BEST
        self._keep = keep
        self._last_step: int | None = None

    def newest(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the newest checkpoint that is whole, None where there is none at all.

        Those that are not whole are named to `say` and put aside under another name. RunError if
        there are only such.
        """
        damaged: list[tuple[Path, RunError]] = []
        for path in self._candidates():
            try:
                state = _load(path)
            except RunError as error:
                damaged.append((path, error))
                continue
            for other, reason in damaged:
                say(f"{reason}: going on from {path}, of step {state['step']}")
                # Left where it is, it would be taken for a good one as soon as there is a newer.
                other.replace(other.with_name(f"{other.name}.damaged"))
            return state
        if damaged:
            raise RunError(f"no checkpoint can be gone on from: {damaged[0][1]}")
        return None

    def resumed(self, step: int) -> None:
        """Take note that the run went on from the newest checkpoint, which is of `step`."""
        self._last_step = step

    def write(self, state: Mapping[str, Any], *, best: bool) -> None:
        """Write the checkpoint of `state["step"]` as the last, and as the best where it is that."""
        step = state["step"]
        with atomic_path(self._last) as temporary:
            checkpoint.write(temporary, state)
            sync(temporary)
            if best:
                with atomic_path(self._best) as copy:
                    shutil.copyfile(temporary, copy)
            self._retire_last(step)
        self._last_step = step
        for path in self._older(below=step)[self._keep - 1 :]:
            path.unlink()

    @contextlib.contextmanager
    def telling_what_is_left(self) -> Iterator[None]:
        """Add to a RunError inside, such as of a full disk, which checkpoint there is."""
        try:
            yield
        except RunError as error:
            there = (
                "there is no checkpoint yet"
                if self._last_step is None
                else f"the last good checkpoint is of step {self._last_step}"
            )
            raise RunError(f"{error}: {there}") from error

    def _retire_last(self, step: int) -> None:
        """Give the last checkpoint the name of an older one; the next has that of the last soon."""
        old = self._last_step
        if self._keep > 1 and old is not None and old != step and self._last.exists():
            self._last.replace(self._last.with_name(f"step-{old}.pt"))

    def _candidates(self) -> list[Path]:
        paths = [self._last, *self._older(), self._best]
        return [path for path in paths if path.exists()]

    def _older(self, below: float = float("inf")) -> list[Path]:
        """Return those of steps under `below`, newest first."""
        found = {
            int(match[1]): path
            for path in self._last.parent.glob("step-*.pt")
            if (match := _OLDER.fullmatch(path.name))
        }
        return [found[step] for step in sorted(found, reverse=True) if step < below]


def _load(path: Path) -> dict[str, Any]:
    state = checkpoint.load(path)
    for name, kind in (("config", dict), ("epoch", int), ("step", int)):
        if not isinstance(state.get(name), kind):
            raise RunError(f"{path} is no checkpoint of a run: it has no {name!r}")
    return state
