"""The engine "cuda" on a GPU: bytes, resuming, bad files, streams, memory."""

import json
from pathlib import Path

import pytest
import torch
from damages import DAMAGES, with_files
from loader_data import write_small
from waiting import without_waiting

from hmtl.data import Batch, Dataset, DecodeError, Loader

pytestmark = pytest.mark.gpu

OPTIONS = {"batch_size": 5, "size": 96, "seed": 3, "views": 2, "drop_last": False}
PRESETS = ["none", "level1", "level2", "xgaze", "xgaze-heavy", "barlow"]


def on_gpu(dataset: Dataset, **changes: object) -> Loader:
    return Loader(dataset, engine="cuda", device="cuda", **(OPTIONS | changes))


def native(dataset: Dataset, **changes: object) -> Loader:
    return Loader(dataset, decode="rgb", **(OPTIONS | changes))


def assert_same(found: Batch, wanted: Batch) -> None:
    valid = wanted.valid
    assert torch.equal(found.valid.cpu(), valid)
    for view, other in zip(found.views, wanted.views, strict=True):
        assert view.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(view.cpu(), other)
    for name, label in wanted.labels().items():
        assert torch.equal(getattr(found, name).cpu()[valid], label[valid]), name


@pytest.mark.parametrize("augmentation", PRESETS)
@pytest.mark.parametrize("pretext", ["none", "puzzle-rotation"])
def test_epochs_have_the_bytes_of_native(mixed: Dataset, augmentation: str, pretext: str) -> None:
    changes = {"augmentation": augmentation, "pretext": pretext}
    ours, theirs = on_gpu(mixed, **changes), native(mixed, **changes)
    for _ in range(2):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)


def test_bytes_hold_while_the_callers_stream_is_late(mixed: Dataset) -> None:
    stream = torch.cuda.Stream()
    found = []
    with torch.cuda.stream(stream):
        for _ in range(3):
            for batch in on_gpu(mixed, prefetch=1):
                torch.cuda._sleep(10_000_000)
                found.append([view.clone() for view in batch.views])
                del batch
    stream.synchronize()
    wanted = [batch.views for _ in range(3) for batch in native(mixed, prefetch=1)]
    for one, other in zip(found, wanted, strict=True):
        for view, other_view in zip(one, other, strict=True):
            assert torch.equal(view.cpu(), other_view)


def test_a_step_does_not_wait_for_the_gpu(mixed: Dataset) -> None:
    loader = on_gpu(mixed)
    for batch in loader:
        batch.normalized(dtype=torch.bfloat16)
    torch.cuda.synchronize()
    with without_waiting():
        for batch in loader:
            batch.normalized(dtype=torch.bfloat16)


def test_a_pass_goes_on_in_the_middle(mixed: Dataset) -> None:
    wanted = list(native(mixed))
    first = on_gpu(mixed)
    iterator = iter(first)
    for _ in range(3):
        next(iterator)
    again = on_gpu(mixed)
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for one, other in zip(again, wanted[3:], strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("shuffle", [True, False])
def test_bad_files_are_replaced_or_marked(tmp_path: Path, shuffle: bool) -> None:
    bad = with_files(
        write_small(tmp_path), dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    )
    changes = {"on_error": "substitute", "shuffle": shuffle}
    ours, theirs = on_gpu(bad, **changes), native(bad, **changes)
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)
    assert ours.stats()["bad"] == theirs.stats()["bad"]
    with pytest.raises(DecodeError):
        list(on_gpu(bad))


def test_ten_thousand_batches_take_no_more_memory(tmp_path: Path) -> None:
    loader = on_gpu(write_small(tmp_path, count=40), size=32, batch_size=4, augmentation="barlow")
    for _ in range(20):
        for batch in loader:
            del batch
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved()
    for _ in range(1000):
        for batch in loader:
            del batch
    torch.cuda.synchronize()
    assert torch.cuda.memory_reserved() == before


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_a_second_gpu_renders_while_the_first_is_current(mixed: Dataset) -> None:
    ours = Loader(mixed, engine="cuda", device="cuda:1", **OPTIONS)
    for one, other in zip(ours, native(mixed), strict=True):
        assert one.images.device == torch.device("cuda:1")
        assert_same(one, other)


@pytest.mark.dali
def test_dali_decodes_on_the_gpu_close_to_the_core(mixed: Dataset) -> None:
    """Its decoder rounds otherwise; everything else is equal to the bit."""
    ours = Loader(mixed, engine="dali", device="cuda", **OPTIONS)
    for one, other in zip(ours, native(mixed), strict=True):
        for name, label in other.labels().items():
            assert torch.equal(getattr(one, name).cpu(), label), name
        for view, other_view in zip(one.views, other.views, strict=True):
            difference = (view.cpu().short() - other_view.short()).abs().float()
            assert difference.mean() < 1.0
    assert ours.stats()["decoded_by_core"] < ours.stats()["samples"]


@pytest.mark.dali
def test_bad_files_of_dali_on_the_gpu_cost_no_good_row(tmp_path: Path) -> None:
    bad = with_files(
        write_small(tmp_path), dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    )
    changes = {"on_error": "substitute", "shuffle": False}
    ours = Loader(bad, engine="dali", device="cuda", **(OPTIONS | changes))
    theirs = native(bad, **changes)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.valid.cpu(), other.valid)
        assert torch.equal(one.index.cpu(), other.index)
    assert ours.stats()["bad"] == theirs.stats()["bad"]
