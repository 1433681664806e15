"""Where and on what code a benchmark runs."""

import datetime
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

_TIMES = Path("/proc/stat")


def machine() -> dict[str, Any]:
    """Return the date, the commit, the processor and how busy it was before."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "busy_before": busy(),
    }


def busy(seconds: float = 0.5) -> float:
    """Return which share of all cores' time others take while this process waits, Linux only.

    The load average also knows of what ended a minute ago.
    """
    if not _TIMES.exists():
        return 0.0
    idle, total = _core_times()
    time.sleep(seconds)
    idle, total = (now - before for now, before in zip(_core_times(), (idle, total), strict=True))
    return round(1 - idle / max(total, 1), 2)


def _core_times() -> tuple[int, int]:
    """Return idle and all ticks of all cores."""
    ticks = [int(word) for word in _TIMES.read_text().splitlines()[0].split()[1:9]]
    idle_and_waiting = ticks[3] + ticks[4]
    return idle_and_waiting, sum(ticks)


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    here = Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists() and (
        name := re.search(r"model name\s*: (.+)", information.read_text())
    ):
        return name[1]
    return platform.processor() or platform.machine()
