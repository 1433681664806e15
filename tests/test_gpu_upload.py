"""Batches on their way to a GPU: the right bytes on any stream, no waiting, constant memory."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from loader_data import damage, write_small
from torch import Tensor
from waiting import without_waiting

from hmtl.data import Batch, Dataset, DecodeError, Loader
from hmtl.data.upload import MOST_LEAD
from hmtl.errors import ConfigError

pytestmark = pytest.mark.gpu

# Clock cycles that a GPU does nothing in: about 5 ms, and about a second.
SHORT, LONG = 10_000_000, 2_000_000_000
OPTIONS = {"batch_size": 4, "size": 96, "seed": 3, "views": 2, "pretext": "puzzle-rotation"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_small(tmp_path_factory.mktemp("small"), count=64)


def on_gpu(dataset: Dataset, **changes: object) -> Loader:
    return Loader(dataset, **({"device": "cuda"} | OPTIONS | changes))


def tensors(batch: Batch) -> list[Tensor]:
    return [*batch.views, *batch.labels().values()]


def on_cpu(dataset: Dataset, epochs: int = 1, **changes: object) -> list[list[Tensor]]:
    with Loader(dataset, **(OPTIONS | changes)) as loader:
        return [tensors(batch) for _ in range(epochs) for batch in loader]


def same(found: list[list[Tensor]], wanted: list[list[Tensor]]) -> bool:
    return len(found) == len(wanted) and all(
        torch.equal(one.cpu(), other)
        for batch, other_batch in zip(found, wanted, strict=True)
        for one, other in zip(batch, other_batch, strict=True)
    )


def copied(batch: Batch) -> list[Tensor]:
    """Return copies that the present stream makes when it comes to it."""
    return [tensor.clone() for tensor in tensors(batch)]


def delay(stream: torch.cuda.Stream, cycles: int = SHORT) -> None:
    with torch.cuda.stream(stream):
        torch.cuda._sleep(cycles)


def upload_stream(loader: Loader) -> torch.cuda.Stream:
    return loader._uploader._copies._stream


@pytest.mark.parametrize("late", ["nobody", "caller", "copies", "both"])
@pytest.mark.parametrize("own_stream", [False, True])
def test_bytes_are_those_of_the_cpu_whichever_stream_is_late(
    dataset: Dataset, late: str, own_stream: bool
) -> None:
    """Read before the copy, overwritten before it was read, rendered into too early: all show."""
    loader = on_gpu(dataset, prefetch=1)
    stream = torch.cuda.Stream() if own_stream else torch.cuda.default_stream()
    found = []
    with torch.cuda.stream(stream):
        for _ in range(4):
            for batch in loader:
                if late in ("caller", "both"):
                    delay(stream)
                found.append(copied(batch))
                del batch
                if late in ("copies", "both"):
                    delay(upload_stream(loader))
    torch.cuda.synchronize()
    assert same(found, on_cpu(dataset, 4))
    assert found[0][0].is_contiguous(memory_format=torch.channels_last)
    loader.close()


def test_a_batch_handed_to_another_stream_is_whole_there_once_it_is_recorded(
    dataset: Dataset,
) -> None:
    loader, other, found = on_gpu(dataset, prefetch=1), torch.cuda.Stream(), []
    for _ in range(4):
        for batch in loader:
            other.wait_stream(torch.cuda.current_stream())
            batch.record_stream(other)
            delay(other)
            with torch.cuda.stream(other):
                found.append(copied(batch))
            del batch
    torch.cuda.synchronize()
    assert same(found, on_cpu(dataset, 4))


def test_batches_are_taken_while_the_callers_stream_is_busy(dataset: Dataset) -> None:
    loader = on_gpu(dataset, prefetch=3)
    # A first epoch, in which memory is taken.
    for batch in loader:
        batch.normalized(dtype=torch.bfloat16)
    iterator = iter(loader)
    next(iterator)
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    done = torch.cuda.Event()
    done.record()
    for _ in range(MOST_LEAD - 2):
        next(iterator).normalized(dtype=torch.bfloat16)
    assert not done.query(), "taking batches waited for the GPU"
    torch.cuda.synchronize()


def test_nothing_synchronises_in_the_steady_state(dataset: Dataset) -> None:
    loader = on_gpu(dataset)
    for batch in loader:
        batch.normalized()
    with without_waiting():
        for batch in loader:
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                batch.normalized(dtype=dtype)


def test_the_next_copy_is_under_way_before_it_is_asked_for_and_does_not_count(
    dataset: Dataset,
) -> None:
    loader = on_gpu(dataset, prefetch=3)
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
        time.sleep(0.5)
    torch.cuda.synchronize()
    delay(upload_stream(loader), LONG)
    next(iterator)
    # What was asked for had been copied: what is under way is the batch behind it.
    assert len(loader._uploader._copies._sources) == 1
    assert loader.state_dict()["samples"] == 3 * OPTIONS["batch_size"]
    assert loader.stats()["batches"] == 3
    torch.cuda.synchronize()


def test_a_host_that_runs_ahead_holds_the_memory_of_few_batches(dataset: Dataset) -> None:
    loader = on_gpu(dataset, size=224)
    batches = endless(loader)
    for _ in range(4):
        size = sum(view.numel() for view in next(batches).views)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()
    for _ in range(6 * MOST_LEAD):
        delay(torch.cuda.current_stream())
        next(batches)
    # What was dropped is active, though no longer allocated, until the streams are through with it.
    after = torch.cuda.memory_stats()
    most = after["active_bytes.all.peak"] - before["active_bytes.all.current"]
    assert most <= (MOST_LEAD + 3) * size
    torch.cuda.synchronize()


def endless(loader: Loader) -> Iterator[Batch]:
    while True:
        yield from loader


@pytest.mark.slow
def test_memory_is_constant_over_ten_thousand_batches(dataset: Dataset) -> None:
    loader = on_gpu(dataset, size=64, views=1)
    batches = endless(loader)

    def memory() -> tuple[int, int]:
        torch.cuda.synchronize()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return torch.cuda.memory_reserved(), resident

    found = []
    for number in range(10_000):
        next(batches).normalized(dtype=torch.bfloat16)
        if number in (500, 9_999):
            found.append(memory())
    (reserved, resident), (reserved_later, resident_later) = found
    assert reserved_later == reserved
    assert resident_later - resident < 20_000


def test_labels_that_are_kept_do_not_keep_the_images(dataset: Dataset) -> None:
    loader = on_gpu(dataset, size=224)
    before = torch.cuda.memory_allocated()
    kept, size = [], 0
    for batch in loader:
        kept.append((batch.pose, batch.index))
        size += sum(view.numel() for view in batch.views)
        del batch
    assert len(kept) > 8
    assert torch.cuda.memory_allocated() - before < size / 2


@pytest.mark.parametrize("way", ["break", "next", "close"])
def test_a_pass_that_ends_early_leaves_nothing_behind(dataset: Dataset, way: str) -> None:
    loader = on_gpu(dataset, prefetch=2)
    for _ in range(10):
        delay(upload_stream(loader))
        iterator = iter(loader)
        first = next(iterator)
        if way == "close":
            iterator.close()
        elif way == "break":
            for _ in iterator:
                break
        del iterator
        found = [copied(first)]
        del first
        assert same(found, on_cpu(dataset)[:1])
    assert same([copied(batch) for batch in loader], on_cpu(dataset))


def test_an_error_comes_with_its_batch_and_the_loader_goes_on(tmp_path: Path) -> None:
    dataset = write_small(tmp_path, count=24)
    wanted = on_cpu(dataset, shuffle=False)
    damage(dataset, [13])
    loader = on_gpu(dataset, shuffle=False)
    for _ in range(3):
        iterator = iter(loader)
        found = [copied(next(iterator)) for _ in wanted[:3]]
        with pytest.raises(DecodeError):
            next(iterator)
        assert same(found, wanted[:3])
    assert loader.stats()["batches"] == 9


def test_several_passes_at_once_have_the_right_bytes(dataset: Dataset) -> None:
    loader, wanted = on_gpu(dataset, prefetch=1), on_cpu(dataset)
    one, two = iter(loader), iter(loader)
    pairs = [(copied(next(one)), copied(next(two))) for _ in wanted]
    for number in range(2):
        assert same([pair[number] for pair in pairs], wanted)


def test_passes_on_several_threads_have_the_right_bytes(dataset: Dataset) -> None:
    loader, wanted, right = on_gpu(dataset, prefetch=1), on_cpu(dataset), []
    passes = [iter(loader) for _ in range(3)]

    def take(batches: Iterator[Batch]) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            found = []
            for batch in batches:
                delay(torch.cuda.current_stream())
                found.append(copied(batch))
            right.append(same(found, wanted))

    threads = [threading.Thread(target=take, args=(batches,)) for batches in passes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 3


def test_a_loader_on_another_device_than_the_current_one(dataset: Dataset) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    loader = on_gpu(dataset)
    second = Loader(dataset, device="cuda:1", **OPTIONS)
    pairs = [(copied(a), copied(b)) for a, b in zip(loader, second, strict=True)]
    assert torch.cuda.current_device() == 0
    assert pairs[0][1][0].device == torch.device("cuda", 1)
    for number in range(2):
        assert same([pair[number] for pair in pairs], on_cpu(dataset))


def test_a_gpu_that_is_not_there_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"device 'cuda:99' is not there: PyTorch finds \d+ GPUs"):
        on_gpu(dataset, device="cuda:99")


def test_rendered_rows_are_those_of_the_cpu(dataset: Dataset) -> None:
    rows = [5, 1, 7]
    with Loader(dataset, **OPTIONS) as loader:
        wanted = tensors(loader.render(rows))
    assert same([tensors(on_gpu(dataset).render(rows))], [wanted])


def test_a_batch_copied_ahead_in_inference_mode_is_of_the_mode_it_is_taken_in(
    dataset: Dataset,
) -> None:
    iterator = iter(on_gpu(dataset))
    for mode in (True, False, True):
        time.sleep(0.3)
        with torch.inference_mode() if mode else nullcontext():
            batch = next(iterator)
            assert not batch.pose.is_inference()
    scale = torch.ones(3, device="cuda", requires_grad=True)
    (scale * batch.pose).sum().backward()
    assert scale.grad is not None


def network_and_step() -> tuple[torch.nn.Module, Callable[[Batch], None]]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
    ).cuda()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        (network(batch.normalized()) - batch.pose).abs().mean().backward()
        optimizer.step()

    return network, step


def test_a_captured_graph_is_fed_by_copying_into_the_batch_it_reads(dataset: Dataset) -> None:
    """The recipe of docs/loader.md: its weights are those of plain steps."""
    network, step = network_and_step()
    loader = on_gpu(dataset, views=1)
    batches = iter(loader)
    static = next(batches)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step(static)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(static)
    for batch in batches:
        batch.copy_into(static)
        graph.replay()

    plain, plain_step = network_and_step()
    batches = iter(on_gpu(dataset, views=1))
    first = next(batches)
    for batch in [first, first, first, *batches]:
        plain_step(batch)
    for one, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_is_not_taken_into_a_graph(dataset: Dataset) -> None:
    loader = on_gpu(dataset)
    iterator = iter(loader)
    next(iterator).normalized()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        marker = torch.zeros(1, device="cuda")
        with pytest.raises(RuntimeError, match="while a CUDA graph is captured"):
            next(iterator)
        with pytest.raises(RuntimeError, match="while a CUDA graph is captured"):
            loader.render([0])
    graph.replay()
    assert marker.item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_normalised_images_are_those_of_the_cpu_to_a_rounding(
    dataset: Dataset, dtype: torch.dtype
) -> None:
    with Loader(dataset, **OPTIONS) as loader:
        batch = next(iter(loader))
    wanted = batch.normalized(dtype=dtype)
    uploaded = batch.to("cuda")
    given = torch.empty(wanted.shape, dtype=dtype, device="cuda")
    found = [uploaded.normalized(dtype=dtype), uploaded.normalized(given)]
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    step = torch.finfo(dtype).eps if dtype.itemsize == 2 else 0.0
    for result in found:
        assert result.dtype == dtype
        torch.testing.assert_close(result.cpu(), wanted, atol=1e-6, rtol=step)
