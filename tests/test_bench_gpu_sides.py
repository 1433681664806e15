"""The sides that take turns in the benchmark of one GPU: blocks, feeds, steps."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import torch
from fixtures_data import write_300w_lp
from gpu_sides import ALL_FEEDS, blocks_of, named

from benchmarks.gpu import feeds
from benchmarks.gpu.blocks import (
    Side,
    described,
    ratio,
    run_block,
    run_stretch,
    take_turns,
)
from benchmarks.gpu.feeds import Feed, open_feeds, rendered
from benchmarks.gpu.neighbour import taken_beside
from benchmarks.gpu.scale import TINY, Scale
from benchmarks.gpu.training import Network, measure, sides
from hmtl.bench.trial import trial
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.preset import load_preset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("heads")
    return open_dataset(write_300w_lp(root, count=6, subjects=3, size=80, seed=0))


def test_a_ratio_is_the_median_of_neighbouring_blocks() -> None:
    blocks = {"R": blocks_of(90, 40, 99), "S0": blocks_of(100, 50, 100), "S1": []}
    found = ratio(blocks, "R", "S0")
    assert found == pytest.approx({"median": 0.9, "p10": 0.82, "p90": 0.972})
    assert ratio(blocks, "R", "nothing") is None


def test_figures_are_medians_by_both_clocks() -> None:
    found = described({"R": blocks_of(90, 40, 99)})["R"]
    assert found == {
        "images_per_s": 90,
        "images_per_s_by_events": 180,
        "busy_cores": 3,
        "runs": [90, 40, 99],
    }
    on_cpu = [replace(block, device_s=None) for block in blocks_of(10)]
    assert described({"R": on_cpu})["R"]["images_per_s_by_events"] is None


def test_sides_take_turns_forwards_and_backwards_after_their_warm_up() -> None:
    order: list[str] = []
    sides = {
        "a": Side(step=lambda: order.append("a"), images=2),
        "b": Side(step=lambda: order.append("b"), images=3, prepare=lambda: order.append("drop")),
    }
    found = take_turns(sides, blocks=2, block_s=0.0, warm_up=2, device=CPU)
    warm_up = ["a"] * 3 + ["drop"] + ["b"] * 3
    assert order == [*warm_up, "a", "a", "drop", "b", "b", "drop", "b", "b", "a", "a"]
    assert [[block.images for block in runs] for runs in found.values()] == [[2, 2], [3, 3]]
    order.clear()
    take_turns(sides, blocks=1, block_s=0.0, warm_up=0, device=CPU)
    assert order == ["a", "a", "drop", "b", "b"]


@pytest.mark.parametrize(("seconds", "rounds"), [(-60.0, 2), (60.0, 5)])
def test_rounds_that_would_begin_too_late_are_left_out(seconds: float, rounds: int) -> None:
    sides = {"a": Side(step=lambda: None, images=1)}
    until = time.monotonic() + seconds
    found = take_turns(sides, blocks=5, block_s=0.0, warm_up=0, device=CPU, until=until)
    assert len(found["a"]) == rounds


def spin() -> None:
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass


def spin_elsewhere() -> None:
    thread = threading.Thread(target=spin)
    thread.start()
    thread.join()


def test_a_block_counts_the_work_of_all_threads() -> None:
    for work in (spin, spin_elsewhere):
        block = run_block(Side(step=work, images=1), 2, CPU)
        assert 0.1 <= block.cpu_s <= 1.1 * block.wall_s
        assert block.busy_cores == block.cpu_s / block.wall_s
    assert run_block(Side(step=lambda: time.sleep(0.05), images=1), 2, CPU).cpu_s < 0.05


def test_a_stretch_lasts_so_long_or_as_long_as_there_are_batches() -> None:
    used: list[int] = []
    run_stretch(iter(range(5)), used.append, 0.0, CPU)
    assert used == [0]
    assert run_stretch(iter(range(5)), used.append, 60.0, CPU) < 60
    assert used == [0, 0, 1, 2, 3, 4]


def test_a_neighbour_takes_batches_without_being_waited_for() -> None:
    may_go, taken = threading.Event(), []

    def batches() -> Iterator[Any]:
        for number in range(3):
            assert may_go.wait(20)
            taken.append((number, threading.current_thread() is threading.main_thread()))
            yield object()

    with taken_beside(batches()) as take:
        take()
        take()
        assert taken == []
        may_go.set()
        deadline = time.monotonic() + 20
        while len(taken) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    assert taken == [(0, False), (1, False)]


def test_what_befalls_a_neighbour_is_told() -> None:
    def batches() -> Iterator[Any]:
        raise OSError("no such file")
        yield

    def take_on() -> None:
        with taken_beside(batches()) as take:
            for _ in range(20_000):
                take()
                time.sleep(0.001)

    with pytest.raises(OSError, match="no such file"):
        take_on()


@pytest.mark.parametrize("preset", ["table2/hmtl-puzzle3-aug2", "pretrain/barlow-puzzle3"])
def test_batches_rendered_on_the_device_have_the_loaders_labels(
    heads: Dataset, preset: str
) -> None:
    settings = {**TINY.settings, "train.batch_size": 2}
    with trial(load_preset(preset).config.updated(settings), heads) as trainer:
        batches = rendered(trainer, count=2, side_px=80)
        found = [next(batches) for _ in range(4)]
        wanted = [trainer.loader.render(rows) for rows in ([0, 1], [2, 3])]
        for batch, other in zip(found, wanted * 2, strict=True):
            assert [view.shape for view in batch.views] == [view.shape for view in other.views]
            for name, label in other.labels().items():
                assert torch.equal(getattr(batch, name), label), name
        assert torch.equal(found[0].images, found[2].images)
        assert not torch.equal(found[0].images, found[1].images)


def trained(dataset: Dataset, scale: Scale) -> dict[str, Any]:
    network = Network(
        name="supervised", preset="table2/sl-aug2", dataset=dataset, views=1, side_px=80
    )
    return measure(network, scale, batch_size=2)


@pytest.mark.usefixtures("without_dali")
def test_a_machine_that_cannot_compile_is_measured_without(
    heads: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = trained(heads, replace(TINY, compiles=True))
    assert found["ours"] == "eager"
    assert found["sides"].keys() == {
        *named("eager", ALL_FEEDS - {"R by dali"}),
        "plain loop S0",
    }
    assert found["missing"].keys() == {"compiled", "R by dali"}
    assert "needs a C++ compiler" in found["missing"]["compiled"]
    assert found["missing"]["R by dali"].startswith("engine 'dali' needs NVIDIA DALI")


@pytest.mark.usefixtures("without_dali")
def test_a_compiler_that_fails_at_the_first_step_costs_no_other_side(heads: Dataset) -> None:
    with torch._dynamo.config.patch(recompile_limit=0, fail_on_recompile_limit_hit=True):
        found = trained(heads, replace(TINY, compiles=True))
    assert found["missing"]["compiled"].startswith("FailOnRecompileLimitHit: ")
    assert {side.partition(" ")[0] for side in found["sides"]} == {"eager", "plain"}


@pytest.mark.dali
def test_compiled_and_eager_steps_are_fed_in_all_ways(heads: Dataset) -> None:
    with torch._dynamo.config.patch(disable=True):
        found = trained(heads, replace(TINY, compiles=True))
    assert found["ours"] == "compiled"
    assert found["missing"] == {}
    assert found["sides"].keys() == {
        *named("compiled", ALL_FEEDS),
        *named("eager", {"R", "S0", "S1"}),
        "plain loop S0",
    }
    ratios = found["ratios"].keys()
    assert ratios >= {"compiled R by dali / compiled S0", "eager R / eager S1"}
    assert ratios >= {"compiled S0 / eager S0", "eager S0 / plain loop S0"}


def test_feeds_have_the_loaders_that_they_are_named_after(
    heads: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Loader] = []

    def noted(*arguments: Any) -> Loader:
        opened.append(open_training_loader(*arguments))
        return opened[-1]

    open_training_loader = feeds.training_loader
    monkeypatch.setattr(feeds, "training_loader", noted)
    settings = {**TINY.settings, "train.batch_size": 2, "data.prefetch": 2}
    config = load_preset("table2/hmtl-puzzle3-aug2").config.updated(settings)
    with trial(config, heads) as trainer, ExitStack() as held:
        found, _ = open_feeds(held, trainer, ring=2, side_px=80)
        assert [loader.stats()["engine"] for loader in opened][:2] == ["native", "cuda"]
        ahead = {name: feed.ahead for name, feed in found.items()}
        assert (ahead["R"], ahead["S0 beside R"], ahead["R by cuda"]) == (3, 3, 3)
        assert (ahead["S0"], ahead["S1"]) == (0, 0)
        assert found["S0"].batches is found["S0 again"].batches
        before = trainer.loader.stats()["samples"]
        cached = [next(found["S0"].batches) for _ in range(3)]
        beside = [next(found["S0 beside R"].batches) for _ in range(3)]
        assert cached[0] is cached[2] is beside[1]
        assert trainer.loader.stats()["samples"] == before
        held.close()
        assert opened[0].stats()["samples"] > 0
        next(found["R"].batches)
        assert trainer.loader.stats()["samples"] > before


def test_a_feed_drops_what_was_made_meanwhile() -> None:
    feed = Feed(batches=iter(range(9)), ahead=4)  # type: ignore[arg-type]
    feed.drop()
    assert next(feed.batches) == 4


def test_a_side_drops_before_its_block(heads: Dataset) -> None:
    settings = {**TINY.settings, "train.batch_size": 2}
    with trial(load_preset("table2/sl-aug2").config.updated(settings), heads) as trainer:
        batch = next(iter(trainer.loader))
        feed = Feed(batches=iter([batch] * 9), ahead=4)
        found = sides({"eager": trainer}, {"S0": feed}, images=2)
        run_block(found["eager S0"], 2, CPU)
    assert len(list(feed.batches)) == 9 - 4 - 1 - 2
