"""The loader where something is wrong: samples that cannot be read, settings without sense."""

import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from loader_data import COUNT, Row, damage, digest, rows_of, write_small

from hmtl import _core
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.data.order import epoch_order
from hmtl.errors import ConfigError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("rendered"))


def damaged(tmp_path, rows) -> Dataset:
    dataset = write_small(tmp_path)
    damage(dataset, rows)
    return dataset


def test_a_bad_sample_raises_with_its_file(tmp_path):
    bad = damaged(tmp_path, [4])
    loader = Loader(bad, batch_size=4, size=32, drop_last=False)
    with pytest.raises(ValueError, match=r"not a JPEG.*" + bad.name[4]) as caught:
        list(loader)
    assert isinstance(caught.value, _core.DecodeError)
    assert "\n" not in str(caught.value)
    assert [entry["index"] for entry in loader.stats()["bad"]] == [4]
    # The loader goes on to work, up to the same sample.
    with pytest.raises(_core.DecodeError, match="not a JPEG"):
        list(loader)


def expected_order(seed: int, epoch: int, bad: set[int], count: int = COUNT) -> list[int]:
    """Return the samples as they are handed out: a bad one gives way to the next that is good."""
    order = epoch_order(seed, epoch, count, shuffle=True).tolist()
    return [
        next(sample for sample in order[at:] + order[:at] if sample not in bad)
        for at in range(count)
    ]


def handed_out(
    dataset: Dataset, batch_size: int, world_size: int, skip: int = 0, **options
) -> list[tuple[int, Row]]:
    """Return all ranks' rows in the order of the epoch, after so many global batches."""
    by_rank = []
    for rank in range(world_size):
        settings = {
            "batch_size": batch_size, "size": 32, "drop_last": False, "on_error": "substitute",
            "rank": rank, "world_size": world_size, "seed": 6, "views": 2,
        }  # fmt: skip
        loader = Loader(dataset, **(settings | options))
        if skip:
            before = Loader(dataset, **(settings | options))
            iterator = iter(before)
            for _ in range(skip):
                next(iterator)
            loader.load_state_dict(json.loads(json.dumps(before.state_dict())))
        by_rank.append([row for batch in loader for row in rows_of(batch)])
    turns = zip(*by_rank, strict=True)
    return [row for rows in turns for row in rows if row[0] >= 0]


def neighbours_first_and_last(seed: int) -> list[int]:
    """Return samples that make it hard: three in a row, the order's first and its last two."""
    order = epoch_order(seed, 0, COUNT, shuffle=True)
    return [int(order[at]) for at in (7, 8, 9, 0, COUNT - 2, COUNT - 1)]


def test_a_substitute_is_the_next_good_sample_of_the_order_in_any_company(tmp_path):
    rows = neighbours_first_and_last(seed=6)
    bad = damaged(tmp_path, rows)
    alone = handed_out(bad, 1, 1, num_threads=1, prefetch=1)
    assert [sample for sample, _ in alone] == expected_order(6, 0, set(rows))
    for batch_size, world_size, threads in [(5, 1, 3), (64, 1, 7), (2, 2, 2), (3, 3, 1), (1, 6, 4)]:
        assert handed_out(bad, batch_size, world_size, num_threads=threads) == alone
    for skip in (1, 2, 5):
        assert handed_out(bad, 2, 2, skip=skip) == alone[4 * skip :]


def test_substitutes_are_rendered_as_where_they_stand_themselves(tmp_path):
    rows = neighbours_first_and_last(seed=6)
    whole = dict(handed_out(write_small(tmp_path / "whole"), 4, 1))
    for sample, row in handed_out(damaged(tmp_path / "damaged", rows), 4, 1):
        assert row == whole[sample]


def test_batches_stay_full_and_stats_name_the_bad(tmp_path):
    bad = damaged(tmp_path, [4, 9])
    loader = Loader(bad, batch_size=4, size=32, on_error="substitute", drop_last=False)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert all(batch.valid.all() for batch in batches)
    stats = loader.stats()
    assert [entry["index"] for entry in stats["bad"]] == [4, 9]
    assert [entry["name"] for entry in stats["bad"]] == [bad.name[4], bad.name[9]]
    assert bad.name[9] in stats["bad"][1]["reason"]
    assert (stats["samples"], stats["substituted"], stats["batches"]) == (COUNT, 2, 6)
    assert stats["bad_in_epoch"] == [4, 9]
    assert json.loads(json.dumps(stats)) == stats


def test_the_end_of_an_epoch_lists_the_bad_of_it_once(tmp_path, caplog):
    bad = damaged(tmp_path, [4, 9])
    loader = Loader(bad, batch_size=4, size=32, on_error="substitute", drop_last=False)
    with caplog.at_level(logging.INFO):
        iterator = iter(loader)
        for _ in range(len(loader)):
            next(iterator)
        assert not caplog.records
        assert next(iterator, None) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    first, *lines = record.getMessage().splitlines()
    assert first == "epoch 0: 2 of 23 samples could not be read and were replaced (in all 2):"
    assert [bad.name[4] in lines[0], bad.name[9] in lines[1], len(lines)] == [True, True, 2]

    damage(bad, [11])
    caplog.clear()
    list(loader)
    assert caplog.messages[0].startswith("epoch 1: 3 of 23 samples could not be read and were")
    assert caplog.messages[0].count("\n") == 3


def test_every_pass_reports_its_own_bad_samples(tmp_path, caplog):
    bad = damaged(tmp_path, [4, 9])
    loader = Loader(bad, batch_size=4, size=32, on_error="substitute", drop_last=False)
    first = iter(loader)
    assert len([next(first) for _ in range(len(loader))]) == len(loader)
    second = iter(loader)
    assert loader.stats()["bad_in_epoch"] == []
    assert next(first, None) is None
    (message,) = caplog.messages
    assert message.startswith("epoch 0: 2 of 23 samples could not be read and were replaced")
    list(second)
    assert len(caplog.messages) == 2
    assert loader.stats()["bad_in_epoch"] == [4, 9]


def test_rows_that_are_rendered_on_demand_are_no_part_of_the_pass(tmp_path, caplog):
    bad = damaged(tmp_path, [4])
    loader = Loader(bad.subset([1, 2, 3, 4]), batch_size=1, size=32, on_error="substitute")
    iterator = iter(loader)
    assert loader.render([3]).valid.tolist() == [False]
    stats = loader.stats()
    assert [entry["index"] for entry in stats["bad"]] == [3]
    assert stats["bad_in_epoch"] == []
    iterator.close()
    assert not caplog.messages


@pytest.mark.parametrize("shuffle", [True, False])
def test_passes_on_two_threads_replace_and_mark_as_one_does(tmp_path, caplog, shuffle):
    bad = damaged(tmp_path, neighbours_first_and_last(seed=6))
    options = {"batch_size": 4, "size": 32, "seed": 6, "shuffle": shuffle, "drop_last": False}
    alone = Loader(bad, on_error="substitute", **options)
    expected = [digest(batch) for batch in alone]
    once = alone.stats()
    loader = Loader(bad, on_error="substitute", num_threads=3, **options)
    caplog.clear()
    times = 8

    def passes(_: int) -> list[list[str]]:
        return [[digest(batch) for batch in iterator] for iterator in iterators()]

    def iterators():
        for _ in range(times):
            with lock:
                loader.set_epoch(1)
                loader.set_epoch(0)
                iterator = iter(loader)
            yield iterator

    lock = threading.Lock()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            found = [one for passed in pool.map(passes, range(2)) for one in passed]
    finally:
        sys.setswitchinterval(before)
    assert found == [expected] * (2 * times)
    stats = loader.stats()
    for name in ("batches", "samples", "substituted"):
        assert stats[name] == 2 * times * once[name]
    assert stats["bad"] == once["bad"]
    assert stats["bad_in_epoch"] == once["bad_in_epoch"]
    assert len(caplog.messages) == 2 * times
    assert len(set(caplog.messages)) == 1


def test_a_long_list_of_bad_samples_is_cut(tmp_path, caplog):
    bad = damaged(tmp_path, range(COUNT))
    twice = bad.subset(np.resize(np.arange(COUNT), 2 * COUNT))
    loader = Loader(
        twice, batch_size=4, size=32, on_error="substitute", shuffle=False, drop_last=False
    )
    list(loader)
    first, *lines = caplog.messages[0].splitlines()
    assert first == "epoch 0: 46 of 46 samples could not be read and were left out (in all 46):"
    assert len(lines) == 21
    assert lines[-1] == "  and 26 more, see stats()"
    assert len(loader.stats()["bad"]) == 46


def test_an_epoch_without_a_bad_sample_says_nothing(dataset, caplog):
    list(Loader(dataset, batch_size=4, size=32, on_error="substitute"))
    assert not caplog.records


def test_without_shuffling_a_bad_row_is_marked_not_replaced(tmp_path):
    bad = damaged(tmp_path, [4])
    loader = Loader(
        bad, batch_size=5, size=32, on_error="substitute", shuffle=False, drop_last=False
    )
    batches = list(loader)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(COUNT))
    valid = torch.cat([batch.valid for batch in batches])
    assert (~valid).nonzero().ravel().tolist() == [4]
    assert not batches[0].images[4].any()
    assert (loader.stats()["samples"], loader.stats()["substituted"]) == (COUNT - 1, 0)


def test_nothing_readable_is_an_error_not_a_loop(tmp_path):
    bad = damaged(tmp_path, range(COUNT))
    with pytest.raises(ValueError, match="no sample can be read; the first"):
        next(iter(Loader(bad, batch_size=4, size=32, on_error="substitute")))


def test_warnings_of_the_decoder_are_counted_and_the_samples_are_used(tmp_path):
    dataset = write_small(tmp_path)
    for row in (3, 5):
        path = dataset.root / dataset.files[row]
        data = path.read_bytes()
        tables = data.index(b"\xff\xdb")
        path.write_bytes(data[:tables] + bytes(3) + data[tables:])
    warned = open_dataset(dataset.root)
    loader = Loader(warned, batch_size=4, size=32, drop_last=False, num_threads=3)
    indexes = [sample for batch in loader for sample in batch.index.tolist()]
    assert sorted(indexes) == list(range(COUNT))
    assert (loader.stats()["warnings"], loader.stats()["bad"]) == (2, [])
    list(loader)
    assert loader.stats()["warnings"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretext": "jigsaw"}, "pretext must be one of"),
        ({"grid": 1}, r"grid must be in \[2, 8\], got 1"),
        ({"size": 10, "grid": 8}, "grid 8 is too fine for size 10"),
        ({"size": 4}, "size must be in"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"decode": "yuv"}, "decode must be one of"),
        ({"puzzled_fraction": 1.5}, "puzzled_fraction must be in"),
        ({"batch_size": 24}, "an epoch has no full batch: 23 samples, a global batch of 24"),
        ({"batch_size": 0}, "batch_size must be in"),
        ({"rank": 2, "world_size": 2}, r"rank must be in \[0, 2\), got 2"),
        ({"rank": -1, "world_size": 2}, "rank must be in"),
        ({"seed": -1}, "seed must be in"),
        ({"augmentation": "level9"}, "unknown augmentation 'level9'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"prefetch": "3"}, "prefetch must be a whole number, got '3'"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"size": 32.0}, "size must be a whole number, got 32.0"),
        ({"num_threads": True}, "num_threads must be a whole number, got True"),
        ({"puzzled_fraction": "all"}, "puzzled_fraction must be a number, got 'all'"),
        ({"pretext": ["puzzle"]}, "pretext must be one of"),
        ({"device": "gpu"}, "device must be cpu or cuda, got 'gpu'"),
        ({"device": None}, "device must be cpu or cuda, got None"),
        ({"device": "meta"}, "device must be cpu or cuda, got 'meta'"),
        ({"shuffle": "no"}, "shuffle must be True or False, got 'no'"),
        ({"shuffle": 0}, "shuffle must be True or False, got 0"),
        ({"drop_last": None}, "drop_last must be True or False, got None"),
    ],
)
def test_settings_that_make_no_sense_are_named(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        Loader(dataset, **{"batch_size": 4, "size": 32, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(dataset):
    with pytest.raises(ConfigError, match="device 'cuda' is not there: PyTorch finds no GPU"):
        Loader(dataset, batch_size=4, device="cuda")


def test_a_folder_is_no_data_set(dataset):
    with pytest.raises(TypeError, match="dataset must be a Dataset, as open_dataset gives, got '"):
        Loader(str(dataset.root))


def test_booleans_of_numpy_are_booleans(dataset):
    loader = Loader(dataset, batch_size=4, shuffle=np.False_, drop_last=np.bool_(0))
    assert len(loader) == 6
    assert next(iter(loader)).index.tolist() == [0, 1, 2, 3]
    assert json.loads(json.dumps(loader.state_dict()))["settings"]["shuffle"] is False


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        ({}, {"world_size": 4}, r"rank must be given, or RANK in .* \(WORLD_SIZE\) of 4"),
        ({"WORLD_SIZE": "4"}, {}, r"rank must be given, or RANK in .* \(WORLD_SIZE\) of 4"),
        ({"RANK": "1"}, {}, r"world_size must be given, or WORLD_SIZE in .* \(RANK\) of 1"),
        ({}, {"rank": 1}, r"world_size must be given, or WORLD_SIZE in .* \(RANK\) of 1"),
        ({"RANK": "", "WORLD_SIZE": "2"}, {}, "rank must be given"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, {}, "environment variable RANK must be a whole"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, {}, r"rank must be in \[0, 2\), got 2"),
    ],
)
def test_half_of_a_place_in_the_world_is_refused(
    dataset, monkeypatch, environment, options, message
):
    set_environment(monkeypatch, environment)
    with pytest.raises(ConfigError, match=message):
        Loader(dataset, batch_size=2, size=32, **options)


@pytest.mark.parametrize(
    ("environment", "options", "length"),
    [
        ({}, {}, 11),
        ({}, {"rank": 0}, 11),
        ({}, {"world_size": 1}, 11),
        ({"RANK": "0"}, {}, 11),
        ({"WORLD_SIZE": "1"}, {}, 11),
        ({"RANK": "1", "WORLD_SIZE": "2"}, {}, 5),
        ({"RANK": "1"}, {"world_size": 2}, 5),
        ({"WORLD_SIZE": "2"}, {"rank": 0}, 5),
    ],
)
def test_a_place_in_the_world_is_put_together(dataset, monkeypatch, environment, options, length):
    set_environment(monkeypatch, environment)
    assert len(Loader(dataset, batch_size=2, size=32, **options)) == length


def set_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_box_that_makes_no_sense_is_named_with_its_file(dataset):
    box = dataset.box.copy()
    box[3] = (-1e9, 0, 1e9, 50)
    wrong = replace(dataset, box=box, face=box)
    loader = Loader(wrong, batch_size=COUNT, size=32, shuffle=False, fit="stretch")
    with pytest.raises(ValueError, match=r"a crop may have .*" + wrong.name[3]):
        next(iter(loader))
