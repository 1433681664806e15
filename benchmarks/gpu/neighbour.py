"""A loader that works beside the steps, while nobody uses its batches."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from hmtl.data import Batch


@contextmanager
def taken_beside(batches: Iterator[Batch]) -> Iterator[Callable[[], None]]:
    """Yield what lets a thread of its own take the next batch and drop it, and waits for nothing.

    What the batches raise, a later call raises.
    """
    thread = ThreadPoolExecutor(1)
    pending: deque[Future[None]] = deque()

    def drop_next() -> None:
        next(batches)

    def take() -> None:
        while pending and pending[0].done():
            pending.popleft().result()
        pending.append(thread.submit(drop_next))

    try:
        yield take
    finally:
        thread.shutdown(cancel_futures=True)
