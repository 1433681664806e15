"""A run's log as TensorBoard shows it."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hmtl.errors import ConfigError
from hmtl.runlog import LOG, read_log

FOLDER = "tensorboard"
_PLACE = ("step", "time", "epoch")
_SHOWN_OF_EVALUATIONS = ("mae", "geodesic")


class Board:
    """Writes the numbers of log lines into RUN/tensorboard, for `tensorboard --logdir RUN`.

    The event files are made anew from the log when a process starts: a resumed run shows no step
    twice, and everything of a run that began without TensorBoard. Tags are `step/loss`,
    `epoch/loss`, `eval/AFLW2000/hopenet/mae/yaw`, ….
    """

    def __init__(self, run: Path) -> None:
        """Open nothing yet; ConfigError as `require_writer`."""
        self._run = run
        self._make_writer = require_writer()
        self._writer: Any = None

    def __call__(self, entry: Mapping[str, Any]) -> None:
        """Show a line that was just logged."""
        if entry["event"] == "start":
            self._begin(entry)
        elif self._writer is not None:
            self._add(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def _begin(self, start: Mapping[str, Any]) -> None:
        """Make the event files anew, up to where this process goes on."""
        folder = self._run / FOLDER
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        # A TensorBoard that is open on the folder forgets what it has read from step 0 on.
        self._writer = self._make_writer(str(folder), purge_step=0)
        for entry in read_log(self._run / LOG):
            # This epoch's end is logged again where a run broke between that and its checkpoint.
            is_again = entry["step"] == start["step"] and entry.get("epoch", -1) >= start["epoch"]
            if entry["event"] == "step" or not is_again:
                self._add(entry)

    def _add(self, entry: Mapping[str, Any]) -> None:
        event = entry["event"]
        if event in ("step", "epoch"):
            numbers = _numbers(entry, event)
        elif event == "eval":
            subject = f"eval/{entry['dataset']}/{entry['protocol']}"
            numbers = _numbers({name: entry.get(name) for name in _SHOWN_OF_EVALUATIONS}, subject)
        else:
            return
        for tag, value in numbers:
            # Names of folders that are not UTF-8 hold surrogates.
            name = tag.encode("utf-8", "backslashreplace").decode()
            self._writer.add_scalar(name, value, entry["step"], walltime=entry["time"])


def require_writer() -> Any:
    """Return torch's class of writers; ConfigError names the extra where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 — only where asked for
    except ImportError as error:
        raise ConfigError(
            f"--tensorboard needs an extra: pip install 'hmtl[tensorboard]' ({error})"
        ) from error
    return SummaryWriter


def _numbers(entry: Mapping[str, Any], before: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers of an entry by tag, those of nested tables behind a slash."""
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}/{key}")
        elif isinstance(value, int | float) and key not in _PLACE:
            yield f"{before}/{key}", float(value)
