"""One command of a plan in a process of its own.

So it is the command that somebody would give by hand; its memory goes back to the system when it
ends, and what ends it, be it the system for want of memory, does not end the table.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from hmtl.launch import STOPPED

_LOOK_S = 0.05
_ERROR = "error: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    error: str
    """Its last error line, else the code or the signal in words; "" where it was done."""


def run_command(
    words: Sequence[str],
    *,
    stop: Callable[[], str],
    tell: Callable[[str], None],
    stdout: int | None = None,
) -> Ended:
    """Run `hmtl` with these words; a signal that `stop` comes to name is handed on.

    `tell` is given the lines of its stderr; `stdout` is the descriptor that it writes to, its own
    by default. It is told to stop, by SIGTERM, when this process is gone, however that ended.
    """
    command = [sys.executable, "-P", "-m", "hmtl.reproduce.child", str(os.getpid()), *words]
    with subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="backslashreplace"
    ) as process:
        assert process.stderr is not None
        said: list[str] = []
        listener = threading.Thread(target=_listen, args=(process.stderr, said, tell))
        listener.start()
        try:
            _wait(process, stop)
        except KeyboardInterrupt:
            # It has had a Ctrl-C of its own; another signal than that saves its work.
            process.terminate()
            process.wait()
            raise
        finally:
            listener.join()
    return Ended(code=process.returncode, error=_error(process.returncode, said))


def _wait(process: subprocess.Popen[str], stop: Callable[[], str]) -> None:
    """Wait for the end of a process, and hand a signal on, once."""
    handed_on = False
    while True:
        try:
            process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if stop() and not handed_on:
                process.send_signal(signal.Signals[stop()])
                handed_on = True
        else:
            return


def _listen(stderr: IO[str], said: list[str], tell: Callable[[str], None]) -> None:
    for line in stderr:
        said[:] = [*said, line.rstrip("\n")][-100:]
        tell(line.rstrip("\n"))


def _error(code: int, said: Sequence[str]) -> str:
    if code in (0, STOPPED):
        return ""
    errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    # Of a fault of the program: a traceback, with what it was in its last line.
    return f"ended with exit code {code}{f': {said[-1]}' if said else ''}"
