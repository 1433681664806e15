"""Which sample comes when: order, ranks, and going on from a state."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loader_data import COUNT, digest, rows_by_sample, rows_of, write_small

from hmtl.data import Batch, Dataset, Loader
from hmtl.data.order import BatchPlan
from hmtl.errors import ConfigError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("rendered"))


def plans(count: int, batch_size: int, world_size: int, drop_last: bool) -> list[BatchPlan]:
    return [
        BatchPlan(
            count=count,
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
        )
        for rank in range(world_size)
    ]


@given(st.integers(0, 400), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_every_rank_has_as_many_rows_and_every_sample_comes_once(
    count: int, batch_size: int, world_size: int, drop_last: bool
) -> None:
    whole = batch_size * world_size
    if count == 0 or (drop_last and count < whole):
        with pytest.raises(ConfigError, match=f"{count} samples, a global batch of {whole}"):
            plans(count, batch_size, world_size, drop_last)
        return
    ranks = plans(count, batch_size, world_size, drop_last)
    assert len({len(plan) for plan in ranks}) == 1
    seen: list[int] = []
    for batch in range(len(ranks[0])):
        rows = np.array([plan.positions(batch) for plan in ranks])
        is_last = batch == len(ranks[0]) - 1
        assert rows.shape[1] == batch_size or (is_last and 0 < rows.shape[1] < batch_size)
        # Rank r takes every W-th from r on; padding comes at the end.
        in_turn = rows.T.ravel().tolist()
        real = [position for position in in_turn if position >= 0]
        assert in_turn == real + [-1] * (len(in_turn) - len(real))
        assert len(in_turn) - len(real) < world_size
        seen += real
    assert seen == list(range(count // whole * whole if drop_last else count))


def test_ranks_share_the_samples_of_one_process(dataset):
    alone = rows_by_sample(Loader(dataset, batch_size=6, size=32, drop_last=False))
    joined = {}
    lengths = set()
    for rank in range(3):
        loader = Loader(dataset, batch_size=2, size=32, drop_last=False, rank=rank, world_size=3)
        lengths.add(len(loader))
        joined |= rows_by_sample(loader)
    joined.pop(-1)
    assert joined == alone
    assert lengths == {4}


@pytest.mark.parametrize(("world_size", "batch_size"), [(1, 5), (2, 3), (5, 4), (7, 9)])
def test_an_evaluation_has_every_sample_once_and_padding_is_marked(dataset, world_size, batch_size):
    seen: list[int] = []
    shapes = set()
    for rank in range(world_size):
        batches = list(
            Loader(
                dataset, batch_size=batch_size, size=32, shuffle=False, drop_last=False,
                rank=rank, world_size=world_size, augmentation="none", pretext="none",
            )
        )  # fmt: skip
        shapes.add(tuple(len(batch) for batch in batches))
        for batch in batches:
            assert torch.equal(batch.valid, batch.index >= 0)
            assert not batch.images[~batch.valid].any()
            assert batch.pose[~batch.valid].isnan().all()
            seen += batch.index[batch.valid].tolist()
    assert len(shapes) == 1
    assert sorted(seen) == list(range(COUNT))


def test_ranks_come_from_the_environment(dataset, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    options = {"batch_size": 4, "size": 32, "shuffle": False, "pretext": "none"}
    assert next(iter(Loader(dataset, **options))).index.tolist() == [1, 3, 5, 7]
    alone = Loader(dataset, rank=0, world_size=1, **options)
    assert next(iter(alone)).index.tolist() == [0, 1, 2, 3]
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ConfigError, match="environment variable RANK must be a whole number"):
        Loader(dataset, **options)


def test_epochs_differ_and_set_epoch_brings_one_back(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    first = [batch.images for batch in loader]
    assert loader.epoch == 1
    second = [batch.images for batch in loader]
    assert not torch.equal(first[0], second[0])
    loader.set_epoch(0)
    assert all(torch.equal(a, b.images) for a, b in zip(first, loader, strict=True))


def test_breaking_out_and_starting_again_starts_the_epoch_again(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    whole = [batch.images for batch in loader]
    loader.set_epoch(0)
    for _ in range(3):
        for batch in loader:
            assert torch.equal(batch.images, whole[0])
            break
    assert all(torch.equal(a, b.images) for a, b in zip(whole, loader, strict=True))


SIZES = {"size": 32, "seed": 9}
GLOBAL = 12


def rounds(dataset: Dataset, world_size: int, state: Any = None, epochs: int = 2) -> list[Any]:
    """Return what all ranks together yield, global batch after global batch."""
    loaders = [
        Loader(
            dataset, batch_size=GLOBAL // world_size, rank=rank, world_size=world_size,
            num_threads=1 + rank, **SIZES,
        )
        for rank in range(world_size)
    ]  # fmt: skip
    for loader in loaders:
        if state is not None:
            loader.load_state_dict(state)
    together: list[Any] = []
    while loaders[0].epoch < epochs:
        together += (
            dict(row for batch in batches for row in rows_of(batch))
            for batches in zip(*loaders, strict=True)
        )
    return together


@pytest.mark.parametrize("taken_at", [0, 1, 3])
def test_a_state_continues_on_another_number_of_ranks(tmp_path, taken_at):
    dataset = write_small(tmp_path, count=40)
    whole = rounds(dataset, 1)
    assert len(whole) == 6
    writer = Loader(dataset, batch_size=3, rank=2, world_size=4, **SIZES)
    iterator = iter(writer)
    for _ in range(taken_at):
        next(iterator)
    state = json.loads(json.dumps(writer.state_dict()))
    assert state["samples"] == taken_at * GLOBAL
    for world_size in (1, 2, 3, 4):
        assert rounds(dataset, world_size, state) == whole[taken_at:]


# What follows looks at the loader through a model: an epoch's batches are known, and a position is
# an epoch with the number of its batches handed out.
BATCH, BATCHES, EPOCHS = 3, 3, 4
SMALL = 8


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> tuple[Dataset, list[list[str]]]:
    """A data set, and a hash of each batch of its first epochs."""
    small = write_small(tmp_path_factory.mktemp("walk"), count=SMALL)
    loader = Loader(small, num_threads=1, prefetch=1, **walk_options())
    return small, [[digest(batch) for batch in loader] for _ in range(EPOCHS)]


def walk_options(**others: Any) -> dict[str, Any]:
    return {
        "batch_size": BATCH, "size": 16, "pretext": "puzzle-rotation", "grid": 2, "seed": 4,
        "drop_last": False, "puzzled_fraction": 0.6,
    } | others  # fmt: skip


@dataclass
class Pass:
    """A pass as it should be: what it yields next, and the real one."""

    epoch: int
    following: int
    batches: Iterator[Batch]


class Walk:
    """A loader beside its model; every step is checked."""

    def __init__(self, known: tuple[Dataset, list[list[str]]], rng: np.random.Generator) -> None:
        self.dataset, self.hashes = known
        self.rng = rng
        self.loader = self.fresh()
        self.epoch = self.handed = self.start = 0
        self.passes: list[Pass] = []
        self.states: list[tuple[int, int, str]] = []

    def fresh(self) -> Loader:
        threads, prefetch = self.rng.integers(1, 5), self.rng.integers(1, 6)
        return Loader(self.dataset, **walk_options(num_threads=threads, prefetch=prefetch))

    def begin(self) -> None:
        self.passes.append(Pass(self.epoch, self.start, iter(self.loader)))
        self.handed, self.start = self.start, 0
        self.current = self.passes[-1]

    def take(self) -> None:
        if not self.passes:
            return
        # Mostly the newest one; older ones go on undisturbed, and move the loader no more.
        this = self.passes[-1 if self.rng.random() < 0.8 else 0]
        is_current = this is self.current
        if this.following < BATCHES:
            assert digest(next(this.batches)) == self.hashes[this.epoch][this.following]
            this.following += 1
            if is_current:
                self.handed = this.following
            return
        assert next(this.batches, None) is None
        self.passes.remove(this)
        if is_current:
            self.current = None
            self.epoch, self.handed, self.start = this.epoch + 1, 0, 0

    def drop(self) -> None:
        if self.passes:
            self.passes.pop(int(self.rng.integers(len(self.passes))))

    def save(self) -> None:
        state = self.loader.state_dict()
        assert (state["epoch"], state["samples"]) == (self.epoch, self.handed * BATCH)
        self.states.append((self.epoch, self.handed, json.dumps(state)))

    def restore(self) -> None:
        if not self.states:
            return
        epoch, handed, text = self.states[int(self.rng.integers(len(self.states)))]
        if self.rng.random() < 0.5:
            self.loader, self.passes = self.fresh(), []
        self.loader.load_state_dict(json.loads(text))
        self.epoch, self.handed, self.start = epoch, handed, handed
        self.current = None

    def choose_epoch(self) -> None:
        epoch = int(self.rng.integers(EPOCHS))
        self.loader.set_epoch(epoch)
        if epoch != self.epoch:
            self.epoch, self.handed, self.start = epoch, 0, 0
            self.current = None

    current: Pass | None = None


@given(seed=st.integers(0, 2**32))
def test_any_walk_of_passes_breaks_states_and_epochs_is_that_of_the_model(known, seed):
    rng = np.random.default_rng(seed)
    walk = Walk(known, rng)
    steps = [walk.begin, walk.take, walk.drop, walk.save, walk.restore, walk.choose_epoch]
    for step in rng.choice(len(steps), size=60, p=[0.15, 0.5, 0.05, 0.1, 0.1, 0.1]):
        if walk.epoch >= EPOCHS:
            walk.loader.set_epoch(0)
            walk.epoch = walk.handed = walk.start = 0
        steps[step]()
        assert walk.loader.epoch == walk.epoch


@pytest.mark.parametrize("moment", ["before", "0", "middle", "last", "end", "twice", "between"])
def test_a_state_of_any_moment_goes_on_with_the_next_batch(known, moment):
    dataset, hashes = known
    in_a_row = [one for epoch in hashes for one in epoch]
    loader = Loader(dataset, **walk_options())
    taken = {"before": 0, "0": 0, "middle": 1, "last": 3, "end": 3, "twice": 2, "between": 4}[
        moment
    ]
    state = loader.state_dict()
    if moment != "before":
        iterator = iter(loader)
        for _ in range(min(taken, BATCHES)):
            next(iterator)
            state = loader.state_dict()
        if moment in ("end", "between"):
            assert next(iterator, None) is None
            state = loader.state_dict()
            assert (state["epoch"], state["samples"]) == (1, 0)
        if moment == "between":
            iterator = iter(loader)
            next(iterator)
            state = loader.state_dict()
    other = Loader(dataset, num_threads=3, prefetch=5, **walk_options())
    other.load_state_dict(json.loads(json.dumps(state)))
    # What a training loop says before each epoch does not disturb it.
    other.set_epoch(state["epoch"])
    going_on: list[str] = []
    while len(going_on) < len(in_a_row) - taken:
        going_on += [digest(batch) for batch in other]
    assert going_on == in_a_row[taken:]


def test_a_restored_epoch_can_be_saved_in_its_middle(known):
    dataset, hashes = known
    state = None
    for at in range(BATCHES):
        loader = Loader(dataset, **walk_options(num_threads=at + 1))
        if state is not None:
            loader.load_state_dict(state)
        assert digest(next(iter(loader))) == hashes[0][at]
        state = loader.state_dict()
    loader.load_state_dict(state)
    assert list(loader) == []
    assert loader.epoch == 1
    assert [digest(batch) for batch in loader] == hashes[1]


def test_numbers_of_numpy_make_a_state_of_plain_json(dataset):
    loader = Loader(
        dataset, batch_size=np.int64(4), size=np.int32(32), seed=np.uint64(2**63),
        grid=np.int8(2), views=np.int64(2), puzzled_fraction=np.float32(0.5),
        shuffle=np.bool_(True), drop_last=np.bool_(True), prefetch=np.int64(1),
    )  # fmt: skip
    loader.set_epoch(np.int64(2))
    state = loader.state_dict()
    assert json.loads(json.dumps(state)) == state
    assert (state["seed"], state["epoch"]) == (2**63, 2)


def changed_files(dataset: Dataset) -> Dataset:
    return replace(dataset, fingerprint="0" * 64)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"size": 48}, r"with size = 48, this loader has 32$"),
        ({"seed": 1}, r"with seed = 1, this loader has 0$"),
        ({"batch_size": 5}, r"with global_batch = 5, this loader has 4$"),
        ({"world_size": 2, "rank": 1}, r"with global_batch = 8, this loader has 4$"),
        ({"shuffle": False}, r"with shuffle = False, this loader has True$"),
        ({"drop_last": False}, r"with drop_last = False, this loader has True$"),
        ({"decode": "rgb"}, r"with decode = 'rgb', this loader has 'planes'$"),
        ({"views": 2}, r"with views = 2, this loader has 1$"),
        ({"exif": "ignore"}, r"with exif = 'ignore', this loader has 'refuse'$"),
        ({"grid": 2}, r"with grid = 2, this loader has 3$"),
        (
            {"augmentation": "level1"},
            r"with augmentation\.blur = 0\.0, this loader has 0\.5; augmentation\.cutout = 0\.0,"
            r" this loader has 0\.5; augmentation\.cutout_area = \[0\.0, 0\.0\], this loader has"
            r" \[0\.02, 0\.1\]",
        ),
    ],
)  # fmt: skip
def test_a_state_of_other_settings_is_refused_with_the_difference(dataset, others, message):
    options = {"batch_size": 4, "size": 32}
    state = Loader(dataset, **(options | others)).state_dict()
    loader = Loader(dataset, **options)
    for there in (state, json.loads(json.dumps(state))):
        with pytest.raises(ConfigError, match=message):
            loader.load_state_dict(there)


def test_a_state_of_another_data_set_says_what_differs(dataset):
    loader = Loader(dataset, batch_size=4, size=32)

    def refusal(other: Dataset) -> str:
        with pytest.raises(ConfigError) as caught:
            loader.load_state_dict(Loader(other, batch_size=4, size=32).state_dict())
        assert dataset.fingerprint not in str(caught.value)
        return str(caught.value)

    assert "dataset.samples = 8, this loader has 23" in refusal(dataset.subset(np.arange(8)))
    assert "dataset.crop = 'tight', this loader" in refusal(
        replace(dataset, crop="tight", fingerprint="1")
    )
    assert "dataset.convention = 'direction', this" in refusal(dataset.converted("direction"))
    reordered = refusal(dataset.subset(np.arange(COUNT)[::-1]))
    assert reordered.endswith("(names, sizes, times) or the choice of samples differ")
    assert "\n" not in reordered


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "must be a dict, got NoneType"),
        ([], "must be a dict, got list"),
        ({"version": 1}, "must have version 2, got 1"),
        ({"version": "2"}, "must have version 2, got '2'"),
        ({"version": True}, "must have version 2, got True"),
        ({"epoch": "0"}, "epoch of the loader state must be a whole number, got '0'"),
        ({"epoch": 1.0}, "epoch of the loader state must be a whole number, got 1.0"),
        ({"epoch": True}, "epoch of the loader state must be a whole number, got True"),
        ({"epoch": -1}, "epoch of the loader state must be in .*, got -1"),
        ({"epoch": 2**32}, "epoch of the loader state must be in"),
        ({"samples": None}, "samples of the loader state must be a whole number, got None"),
        ({"samples": -4}, r"samples of the loader state must be in \[0, 20\], got -4"),
        ({"samples": 24}, r"samples of the loader state must be in \[0, 20\], got 24"),
        ({"samples": 5}, "must be a multiple of the global batch of 4, got 5"),
        ({"seed": "0"}, "seed = '0', this loader has 0"),
        ({"settings": None}, "settings of the loader state must be a dict, got None"),
        ({"settings": {}}, "size = no such setting, this loader has 32"),
        ({"another": 1}, "must have the keys .*'another'"),
        ("seed", "must have the keys"),
        ("samples", "must have the keys"),
        ("settings", "must have the keys"),
        ("version", "must have version 2, got None"),
    ],
)
def test_what_is_no_state_is_refused_and_nothing_of_it_taken(dataset, wrong, message):
    options = {"batch_size": 4, "size": 32}
    loader = Loader(dataset, **options)
    loader.set_epoch(3)
    before = loader.state_dict()
    state: Any = Loader(dataset, **options).state_dict()
    if isinstance(wrong, dict):
        state = state | wrong
    elif isinstance(wrong, str):
        del state[wrong]
    else:
        state = wrong
    with pytest.raises(ConfigError, match=message):
        loader.load_state_dict(state)
    assert loader.state_dict() == before


@pytest.mark.parametrize("epoch", [-1, 2**32, 1.5, "1", None, True])
def test_an_epoch_is_a_number_of_32_bits(dataset, epoch):
    with pytest.raises(ConfigError, match="epoch must be"):
        Loader(dataset, batch_size=4, size=32).set_epoch(epoch)


def test_a_state_that_is_changed_afterwards_changes_no_later_one(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    state = loader.state_dict()
    before = json.loads(json.dumps(state))
    state["settings"]["size"] = 64
    state["settings"]["dataset"]["samples"] = 0
    state["settings"]["augmentation"]["margin"].clear()
    assert loader.state_dict() == before
    loader.load_state_dict(before)
