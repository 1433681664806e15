"""A function of many samples on threads: its results in order, no further ahead than needed."""

import threading
import time

import pytest

from hmtl.data.parallel import in_order


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1000])
def test_results_come_in_order(count: int, threads: int) -> None:
    assert list(in_order(lambda number: number**2, count, threads)) == [n**2 for n in range(count)]


def test_what_a_function_raises_reaches_the_caller() -> None:
    def fail_at_40(number: int) -> int:
        if number == 40:
            raise OSError("forty")
        return number

    results = in_order(fail_at_40, 200, 2)
    assert [next(results) for _ in range(32)] == list(range(32))
    with pytest.raises(OSError, match="forty"):
        next(results)


def test_threads_run_ahead_by_a_few_calls_and_end_when_nobody_asks_any_more() -> None:
    threads = threading.active_count()
    called: list[int] = []

    def call(number: int) -> None:
        called.append(number)
        time.sleep(0.002)

    results = in_order(call, 100_000, 2)
    next(results)
    time.sleep(1.0)
    assert len(called) < 1000
    more = in_order(call, 100_000, 2)
    next(more)
    before = len(called)
    more.close()
    results.close()
    # Each thread was in at most one call.
    assert len(called) <= before + 2
    assert threading.active_count() <= threads
