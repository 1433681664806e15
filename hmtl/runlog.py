"""A run's folder: its lock and its log of JSON lines."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hmtl.errors import RunError

Entry = dict[str, Any]

LOG = "log.jsonl"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run folder for this process; it is made where it does not exist."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / ".lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"run {run} is in use by another process, which holds {path}") from error
        yield


class RunLog:
    """Appends lines to a log, each with one write, so that a kill tears at most the last.

    Every line has its "event" (start, step, epoch, eval, save, end) and the "step", the number of
    updates tried; an "epoch" is counted from 0, as the loader does.
    """

    def __init__(self, path: Path, also: Callable[[Entry], None] | None = None) -> None:
        """Open the log for appending; `also` is called with every entry once it is written."""
        self._also = also
        _cut_torn_line(path)
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def write(self, event: str, step: int, **fields: Any) -> None:
        """Append one line; `step` is the number of updates done."""
        entry = {"event": event, "step": step, "time": round(time.time(), 3), **fields}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
        # Names that are not UTF-8 hold surrogates, which JSON writes as \udcNN.
        data = line.encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror}") from error
        if written < len(data):
            # Another line may follow, which must not become a part of this one.
            _cut_torn_line(self._path)
            raise RunError(f"cannot write {self._path}: the disk took part of a line")
        if self._also is not None:
            self._also(entry)

    @contextlib.contextmanager
    def telling_failures(self, step: Callable[[], int]) -> Iterator[None]:
        """Write the `end` line of an error inside, where a line can still be written."""
        try:
            yield
        except Exception as error:
            # It may be the log itself that cannot be written.
            with contextlib.suppress(OSError, RunError):
                self.write("end", step(), reason=str(error))
            raise


def read_log(path: Path) -> list[Entry]:
    """Return the entries of a log as one unbroken run would have written them.

    A process that resumes goes on from its checkpoint; what an earlier one logged beyond that step
    is dropped, and of entries about the same thing at the same step the last one counts. A torn
    last line is left out.
    """
    entries: list[Entry] = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path}:{number} is not a JSON line") from error
        if entry["event"] == "start":
            entries = [old for old in entries if old["step"] <= entry["step"]]
        entries.append(entry)
    latest = {_subject(entry, place): entry for place, entry in enumerate(entries)}
    return list(latest.values())


def _subject(entry: Entry, place: int) -> tuple[Any, ...]:
    if entry["event"] in ("start", "end"):
        return (place,)
    return (entry["event"], entry["step"], entry.get("dataset"), entry.get("protocol"))


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
