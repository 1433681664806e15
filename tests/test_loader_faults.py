"""The loader where something is wrong: bad samples, bad settings, ends of processes."""

import gc
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_data import write_300w_lp

from hmtl import _core
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.errors import ConfigError

COUNT = 23


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_300w_lp(tmp_path_factory.mktemp("rendered"), count=COUNT, subjects=5, size=90)
    return open_dataset(root)


def damaged(tmp_path, rows) -> Dataset:
    """A data set whose files at these rows have lost their first bytes."""
    dataset = open_dataset(write_300w_lp(tmp_path / "damaged", count=COUNT, subjects=5, size=90))
    for row in rows:
        with Path(dataset.paths()[row]).open("r+b") as file:
            file.write(bytes(20))
    return dataset


def test_a_bad_sample_raises_with_its_file(tmp_path):
    bad = damaged(tmp_path, [4])
    with pytest.raises(ValueError, match=r"not a JPEG.*" + bad.name[4]) as caught:
        list(Loader(bad, batch_size=4, size=32, drop_last=False))
    assert isinstance(caught.value, _core.DecodeError)
    assert "\n" not in str(caught.value)


def test_substitute_keeps_batches_full_and_names_the_bad(tmp_path):
    bad = damaged(tmp_path, [4, 9])
    for batch_size, threads in [(4, 1), (5, 3)]:
        loader = Loader(
            bad, batch_size=batch_size, size=32, on_error="substitute", num_threads=threads,
            drop_last=False,
        )  # fmt: skip
        order = _core.epoch_order(seed=0, epoch=0, count=COUNT).tolist()
        index = torch.cat([batch.index for batch in loader]).tolist()
        expected = list(order)
        for sample in (4, 9):
            at = order.index(sample)
            following = [s for s in np.roll(order, -at)[1:] if s not in (4, 9)]
            expected[at] = following[0]
        assert index == expected
        stats = loader.stats()
        assert [entry["index"] for entry in stats["bad"]] == [4, 9]
        assert stats["bad"][0]["name"] == bad.name[4]
        assert stats["samples"] == COUNT


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


def test_files_that_vanish_or_change_after_indexing_are_named(tmp_path):
    fresh = damaged(tmp_path, [])
    vanished, shrunk = fresh.paths()[0], fresh.paths()[1]
    Path(vanished).unlink()
    os.truncate(shrunk, 100)
    loader = Loader(fresh, batch_size=COUNT, size=32, on_error="substitute", shuffle=False)
    next(iter(loader))
    reasons = [entry["reason"] for entry in loader.stats()["bad"]]
    assert "No such file" in reasons[0]
    assert str(vanished) in reasons[0]
    assert str(shrunk) in reasons[1]


def test_nothing_readable_is_an_error_not_a_loop(tmp_path):
    bad = damaged(tmp_path, range(COUNT))
    with pytest.raises(ValueError, match="no sample can be read; the first"):
        next(iter(Loader(bad, batch_size=4, size=32, on_error="substitute")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretext": "jigsaw"}, "pretext must be one of"),
        ({"grid": 1}, r"grid must be in \[2, 8\], got 1"),
        ({"size": 10, "grid": 8}, "grid 8 is too fine for size 10"),
        ({"size": 4}, "size must be in"),
        ({"engine": "dali"}, "engine must be one of"),
        ({"decode": "yuv"}, "decode must be one of"),
        ({"puzzled_fraction": 1.5}, "puzzled_fraction must be in"),
        ({"batch_size": 24}, "an epoch has no full batch: 23 samples, a global batch of 24"),
        ({"rank": 2, "world_size": 2}, r"rank must be in \[0, 2\), got 2"),
        ({"seed": -1}, "seed must be in"),
        ({"augmentation": "level9"}, "unknown augmentation 'level9'"),
    ],
)
def test_settings_that_make_no_sense_are_named(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        Loader(dataset, **{"batch_size": 4, "size": 32, **options})


def test_a_closed_loader_says_so(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    with pytest.raises(RuntimeError, match="the loader"):
        list(loader)


def test_loaders_come_and_go_without_leaving_threads(dataset):
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    next(iter(Loader(dataset, batch_size=4, size=32, num_threads=4)))
    gc.collect()
    before = threads()
    for _ in range(30):
        next(iter(Loader(dataset, batch_size=4, size=32, num_threads=4)))
    gc.collect()
    assert threads() <= before


PROGRAM = """
import sys
from hmtl.data import Loader, open_dataset
loader = Loader(open_dataset(sys.argv[1]), batch_size=2, size=64, num_threads=3)
iterator = iter(loader)
next(iterator)
{then}
"""


@pytest.mark.parametrize(
    ("then", "code", "said"),
    [
        ("", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        (
            "import os\npid = os.fork()\nif pid == 0:\n"
            "    try:\n        next(iter(loader))\n"
            "    except RuntimeError as error:\n        print(error, flush=True)\n"
            "    os._exit(0)\n"
            "os.waitpid(pid, 0)",
            0,
            "a loader cannot be used after fork",
        ),
    ],
)
def test_a_process_ends_without_close(dataset, then, code, said):
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.format(then=then), str(dataset.root)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout


def test_two_loaders_run_at_once(dataset):
    options = {"batch_size": 4, "size": 32}
    alone = [batch.images for batch in Loader(dataset, **options)]
    first, second = iter(Loader(dataset, **options)), iter(Loader(dataset, **options))
    for expected, a, b in zip(alone, first, second, strict=True):
        assert torch.equal(a.images, expected)
        assert torch.equal(b.images, expected)


def test_python_goes_on_while_a_batch_is_rendered(dataset):
    big = dataset.subset(np.repeat(np.arange(COUNT), 40))
    loader = Loader(big, batch_size=400, size=224, num_threads=1, prefetch=2)
    iterator = iter(loader)
    turns = 0
    deadline = time.perf_counter() + 0.05
    while time.perf_counter() < deadline:
        turns += 1
    assert turns > 100
    next(iterator)


def test_a_box_that_makes_no_sense_is_named_with_its_file(dataset):
    box = dataset.box.copy()
    box[3] = (-1e9, 0, 1e9, 50)
    wrong = replace(dataset, box=box, face=box)
    loader = Loader(wrong, batch_size=COUNT, size=32, shuffle=False, fit="stretch")
    with pytest.raises(ValueError, match=r"a crop may have .*" + wrong.name[3]):
        next(iter(loader))
