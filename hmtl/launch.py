"""Several processes of one command on this machine, by torch's own elastic launcher."""

import dataclasses
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hmtl.data.parallel import usable_cores
from hmtl.parent import end_with

# A rank that was told to stop may have a large checkpoint to write.
SHUTDOWN_S = 600
FORWARDED = "SIGTERM,SIGUSR1,SIGINT,SIGHUP,SIGQUIT"
STOPPED, MISUSED, FAILED, INTERRUPTED = 75, 2, 1, 130

# In the ranks' environment: which process started them.
_LAUNCHER = "HMTL_LAUNCHER"


def launch(arguments: Sequence[str], processes: int, *, say: Callable[[str], None]) -> int | None:
    """Run `hmtl` with the arguments in so many processes, and return one exit code for all.

    That is 0 where all finished, 75 where they were stopped by a signal with their work saved, 2
    where they found their settings wrong, and 1 for other failures; `say` is told of processes
    that ended without a word. None means that a signal which this process handed on ended them:
    what they left behind tells whether in time.
    """
    # What the ranks have to say they say themselves; the launcher would tell it again, at length.
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ[_LAUNCHER] = str(os.getpid())
    # -P: what lies in the working directory must not be imported instead of what is installed.
    command = elastic_launch(_config(processes), sys.executable)
    try:
        command("-P", "-m", "hmtl", *arguments)
    except ChildFailedError as error:
        return _exit_code({rank: found.exitcode for rank, found in error.failures.items()}, say)
    except SignalException as error:
        return INTERRUPTED if error.sigval == signal.SIGINT else None
    finally:
        logging.disable(logging.NOTSET)
    return 0


def end_with_launcher() -> None:
    """Let this rank end when what launched it is gone; one of another launcher is left as it is."""
    launcher = os.environ.get(_LAUNCHER)
    if launcher is not None:
        end_with(int(launcher))


def _config(processes: int) -> LaunchConfig:
    settings: dict[str, Any] = {
        "min_nodes": 1,
        "max_nodes": 1,
        "nproc_per_node": processes,
        "run_id": uuid.uuid4().hex,
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "localhost:0",
        "max_restarts": 0,
        "signals_to_handle": FORWARDED,
        "shutdown_timeout": SHUTDOWN_S,
    }
    # Older versions of torch wait for 30 s and have no setting for it.
    known = {field.name for field in dataclasses.fields(LaunchConfig)}
    return LaunchConfig(**{name: value for name, value in settings.items() if name in known})


def _exit_code(codes: Mapping[int, int], say: Callable[[str], None]) -> int:
    """Return the code of all for those of the ranks that failed."""
    if STOPPED in codes.values():
        return STOPPED
    for rank, code in codes.items():
        # The launcher itself ends those that are left with SIGTERM.
        if code < 0 and -code != signal.SIGTERM:
            say(f"rank {rank} was ended by {signal.Signals(-code).name}")
    return MISUSED if MISUSED in codes.values() else FAILED
