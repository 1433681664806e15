"""How the processes of a run find each other, and how an error on one of them ends them all."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import distributed

from hmtl.distributed import is_main, rank, world_size
from hmtl.errors import ConfigError, DataError, RunError, ToldElsewhereError

Result = TypeVar("Result")


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the other processes that torchrun started, for the time of the context.

    Does nothing where there are none, or where they are joined already. After an error the group is
    left standing: to take it down needs the others, and the process ends anyway.
    """
    alone = int(os.environ.get("WORLD_SIZE") or 1) == 1 or not distributed.is_available()
    if alone or distributed.is_initialized():
        yield
        return
    on_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    yield
    distributed.destroy_process_group()


def together(function: Callable[[], Result]) -> Result:
    """Return what `function` returns on this rank, or raise on all ranks if it raises on any.

    The first rank that failed raises its error, the others ToldElsewhereError.
    """
    if world_size() == 1:
        return function()
    own: Exception | None = None
    try:
        result = function()
    except Exception as error:
        own = error
    errors: list[Exception | None] = [None] * world_size()
    distributed.all_gather_object(errors, _portable(own))
    failed = [number for number, error in enumerate(errors) if error is not None]
    if not failed:
        return result
    if own is not None and failed[0] == rank():
        raise own
    first = errors[failed[0]]
    assert first is not None
    raise ToldElsewhereError(first)


def from_main(function: Callable[[], Result]) -> Result:
    """Return on every rank what `function` returns on rank 0, where alone it is called."""
    result = [together(lambda: function() if is_main() else None)]
    if world_size() > 1:
        distributed.broadcast_object_list(result, src=0)
    value: Result = result[0]  # type: ignore[assignment]
    return value


def of_all_ranks(items: list[Result]) -> list[Result]:
    """Return the items of all ranks on every rank, those of the first rank first."""
    if world_size() == 1:
        return items
    parts: list[list[Result]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def told_once(error: Exception) -> Exception:
    """Return what to raise for an error that all ranks have at once."""
    return error if is_main() else ToldElsewhereError(error)


@contextlib.contextmanager
def losing_ranks() -> Iterator[None]:
    """Turn the failure of an exchange, because another process has ended, into RunError."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not _is_of_an_exchange(error):
            raise
        lost = RunError("another process of the run ended before this one, which cannot go on")
        raise told_once(lost) from error


def _is_of_an_exchange(error: RuntimeError) -> bool:
    # gloo has no class of its own for errors of the connection.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that other processes can load: its text, and who has to act."""
    if error is None:
        return None
    kinds = (ConfigError, DataError, RunError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), RunError)
    return kind(str(error))
