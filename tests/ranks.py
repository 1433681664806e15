"""Functions called on several ranks at once: real processes, a real gloo group."""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

# The server imports these once; the ranks are its forks and start at once.
_PRELOAD = ["hmtl.engine"]


def run_ranks(function: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
    """Return what `function(*args)` returns on each rank of a group on the CPU, by rank.

    The function lies on the top level of a module; what goes in and out is what torch.save takes.
    An exception on any rank fails the call with its traceback.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    # The server is a Python of its own, which must not find the package in the working directory.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSAFEPATH", "1")
        forkserver.ensure_running()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _start(context, Path(folder), rank, world_size, function, args)
            for rank in range(world_size)
        ]
        for process in processes:
            process.join()
        results = [_read(Path(folder) / str(rank)) for rank in range(world_size)]
    errors = [error for _, error in results if error]
    assert not errors, "\n".join(errors)
    return [value for value, _ in results]


def _start(
    context: ForkServerContext,
    folder: Path,
    rank: int,
    world_size: int,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> Any:
    process = context.Process(target=_run, args=(folder, rank, world_size, function, args))
    process.start()
    return process


def _run(
    folder: Path, rank: int, world_size: int, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    value, error = None, ""
    try:
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
        )
        value = function(*args)
        distributed.destroy_process_group()
    except BaseException:
        error = f"rank {rank}: {traceback.format_exc()}"
    torch.save((value, error), folder / str(rank))


def _read(path: Path) -> tuple[Any, str]:
    if not path.exists():
        return None, f"rank {path.name} ended without a word"
    value, error = torch.load(path, weights_only=False)
    return value, error
