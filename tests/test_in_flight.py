"""What is started ahead, and what is kept until it has ended: the order, without a device."""

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loader_data import damage, digest, write_small

from hmtl.data import Dataset, DecodeError, Loader
from hmtl.data.in_flight import Kept, Lead, one_ahead
from hmtl.data.order import epoch_order, process_plan
from hmtl.data.read_ahead import Epoch, ReadAhead, Remedy
from hmtl.data.record import Record


class Thing:
    """Something whose end can be seen."""


class Numbers:
    """0 … count - 1; a plan says which are ready as soon as they could be next."""

    def __init__(self, count: int, ready: Callable[[int], bool], log: list[str]) -> None:
        self.count, self.ready, self.log = count, ready, log
        self.following = 0

    def __next__(self) -> int:
        if self.following == self.count:
            raise StopIteration
        if self.following in self.broken:
            raise ValueError(f"{self.following} is broken")
        self.following += 1
        self.log.append(f"take {self.following - 1}")
        return self.following - 1

    def is_ready(self) -> bool:
        could_come = self.following < self.count and self.following not in self.broken
        return could_come and self.ready(self.following)

    broken: tuple[int, ...] = ()


def events(count: int, ready: Callable[[int], bool]) -> list[str]:
    """Return what happens in which order while all items are asked for."""
    log: list[str] = []

    def start(number: int) -> int:
        log.append(f"start {number}")
        return number

    iterator = one_ahead(Numbers(count, ready, log), start)
    for _ in range(count + 1):
        log.append("ask")
        number = next(iterator, None)
        if number is not None:
            log.append(f"have {number}")
    return log


def test_the_next_item_is_started_before_the_present_one_is_there() -> None:
    assert events(3, lambda _: True) == [
        "ask", "take 0", "start 0", "take 1", "start 1", "have 0",
        "ask", "take 2", "start 2", "have 1",
        "ask", "have 2",
        "ask",
    ]  # fmt: skip


def test_nobody_waits_for_an_item_before_asking_for_it() -> None:
    assert events(3, lambda number: number != 1) == [
        "ask", "take 0", "start 0", "have 0",
        "ask", "take 1", "start 1", "take 2", "start 2", "have 1",
        "ask", "have 2",
        "ask",
    ]  # fmt: skip


@given(st.lists(st.booleans(), max_size=12))
def test_every_item_comes_once_and_in_order_whatever_is_ready(ready: list[bool]) -> None:
    log = events(len(ready), lambda number: ready[number])
    for kind in ("take", "start", "have"):
        found = [line for line in log if line.startswith(kind)]
        assert found == [f"{kind} {number}" for number in range(len(ready))]
    asked = -1
    for line in log:
        asked += line == "ask"
        if line.startswith("start"):
            number = int(line.split()[1])
            assert number == asked or (number == asked + 1 and ready[number])


def test_an_error_comes_when_its_item_is_asked_for() -> None:
    numbers = Numbers(3, lambda _: True, [])
    numbers.broken = (1,)
    iterator = one_ahead(numbers, lambda number: number)
    assert next(iterator) == 0
    with pytest.raises(ValueError, match="1 is broken"):
        next(iterator)


def test_an_item_that_was_dropped_is_not_held_while_the_next_is_taken() -> None:
    alive: list[weakref.ref[Thing]] = []

    class Things:
        def __next__(self) -> Thing:
            gc.collect()
            assert all(reference() is None for reference in alive)
            thing = Thing()
            alive.append(weakref.ref(thing))
            return thing

        def is_ready(self) -> bool:
            return False

    iterator = one_ahead(Things(), lambda thing: thing)
    for _ in range(4):
        thing = next(iterator)
        del thing
    assert len(alive) == 4


class End:
    """What has an end that the test decides on; whoever waits for it is noted."""

    def __init__(self, waits: list["End"] | None = None) -> None:
        self.over = False
        self.waits = [] if waits is None else waits

    def query(self) -> bool:
        return self.over

    def synchronize(self) -> None:
        self.waits.append(self)
        self.over = True


def test_a_thing_is_kept_until_the_end_that_it_was_given() -> None:
    kept, ends = Kept(), [End() for _ in range(3)]
    things = [Thing() for _ in ends]
    alive = [weakref.ref(thing) for thing in things]
    for thing, end in zip(things, ends, strict=True):
        kept.add(thing, until=end)
    del thing, things
    for over in range(3):
        kept.let_go()
        gc.collect()
        assert [reference() is None for reference in alive] == [n < over for n in range(3)]
        ends[over].over = True
    kept.let_go()
    assert len(kept) == 0


def test_what_ends_out_of_order_is_kept_too_long_rather_than_too_short() -> None:
    kept, ends = Kept(), [End(), End()]
    for end in ends:
        kept.add(Thing(), until=end)
    ends[1].over = True
    kept.let_go()
    assert len(kept) == 2
    ends[0].over = True
    kept.let_go()
    assert len(kept) == 0


def test_all_that_is_kept_can_be_waited_for() -> None:
    waits: list[End] = []
    kept, ends = Kept(), [End(waits) for _ in range(3)]
    for end in ends:
        kept.add(Thing(), until=end)
    kept.wait()
    assert waits == ends
    assert len(kept) == 0


def test_who_leads_by_more_than_allowed_waits_for_the_oldest_step() -> None:
    waits: list[End] = []
    lead, steps = Lead(2), [End(waits) for _ in range(5)]
    for step in steps[:2]:
        lead.add(step)
    assert waits == []
    for step in steps[2:]:
        lead.add(step)
    assert waits == steps[:3]


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return write_small(tmp_path)


def ahead(dataset: Dataset, loader: Loader, remedy: Remedy = "raise") -> ReadAhead:
    """Return what a pass of the loader over its first epoch takes its batches from."""
    order = epoch_order(0, 0, len(dataset), shuffle=True)
    plan = process_plan(len(dataset), 4, 0, 1, drop_last=False)
    epoch = Epoch(number=0, plan=plan, order=order)
    record = Record(dataset, {})
    return ReadAhead(epoch, loader._renderer, record, first=0, prefetch=3, remedy=remedy)


def digests(batches: Iterator) -> list[str]:
    return [digest(batch) for batch in batches]


@pytest.mark.parametrize("bad", [[], [3, 7, 8]])
def test_batches_taken_ahead_are_those_of_a_plain_pass(dataset: Dataset, bad: list[int]) -> None:
    damage(dataset, bad)
    loader = Loader(dataset, batch_size=4, size=32, drop_last=False, on_error="substitute")
    source = ahead(dataset, loader, "substitute")
    taken = digests(one_ahead(source, lambda batch: batch))
    assert taken == digests(iter(loader))
    assert sorted(source.bad) == bad
    loader.close()


def test_a_batch_with_a_bad_row_is_not_taken_before_it_is_asked_for(dataset: Dataset) -> None:
    loader = Loader(dataset, batch_size=4, size=32, drop_last=False)
    order = epoch_order(0, 0, len(dataset), shuffle=True)
    damage(dataset, [int(order[4])])
    source = ahead(dataset, loader)
    iterator = one_ahead(source, lambda batch: batch)
    first = next(iterator)
    assert np.array_equal(first.index.numpy(), order[:4])
    assert source.bad == {}
    with pytest.raises(DecodeError):
        next(iterator)
    loader.close()


def test_batches_count_when_they_are_handed_out(dataset: Dataset) -> None:
    loader = Loader(dataset, batch_size=4, size=32)
    source = ahead(dataset, loader)
    counted = source._record.stats
    next(source)
    next(source)
    assert counted()["batches"] == 0
    source.count_next()
    assert (counted()["batches"], counted()["samples"]) == (1, 4)
    source.count_next()
    assert (counted()["batches"], counted()["samples"]) == (2, 8)
    loader.close()
