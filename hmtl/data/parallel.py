"""A function of many samples, worked out ahead by threads."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")

_CALLS_PER_TASK = 32
_TASKS_AHEAD = 4


def usable_cores() -> int:
    """Return how many cores this process may use; not every system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def in_order(
    function: Callable[[int], Result], count: int, threads: int, *, per_task: int = _CALLS_PER_TASK
) -> Generator[Result, None, None]:
    """Yield function(0) … function(count - 1), called on so many threads, 0 for one per core.

    A thread takes `per_task` numbers at a time, and is some tasks ahead of what is yielded. What
    `function` raises is raised in its place. The generator should be closed: its threads then
    end after the call at hand.
    """
    stop = threading.Event()
    threads = threads or usable_cores()

    def work(start: int) -> list[Result]:
        results: list[Result] = []
        for number in range(start, min(start + per_task, count)):
            if stop.is_set():
                break
            results.append(function(number))
        return results

    pool = ThreadPoolExecutor(threads)
    try:
        starts = iter(range(0, count, per_task))
        pending: deque[Future[list[Result]]] = deque()
        while True:
            missing = _TASKS_AHEAD * threads - len(pending)
            pending.extend(pool.submit(work, start) for start in islice(starts, missing))
            if not pending:
                return
            yield from pending.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
