"""The engine "dali" where files are damaged, and what that costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from damages import DAMAGES, cut_and_ended, unknown_symbol, with_files
from fixtures_data import write_300w_lp
from loader_data import write_small
from two_engines import OPTIONS, assert_equal_epochs, assert_same, pair

from hmtl import _core
from hmtl.data import Loader, open_dataset

pytestmark = pytest.mark.dali


@pytest.mark.parametrize("shuffle", [True, False])
def test_bad_files_are_replaced_or_marked_as_ever(tmp_path, caplog, shuffle):
    dataset = write_small(tmp_path)
    changes = dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    changes |= dict.fromkeys((3, 17), unknown_symbol)
    bad = with_files(dataset, changes)
    Path(bad.paths()[13]).unlink()
    native, dali = pair(bad, "dali", on_error="substitute", shuffle=shuffle, views=2)
    assert_equal_epochs(native, dali)
    assert [entry["index"] for entry in dali.stats()["bad"]] == sorted([*changes, 13])
    for key in ("bad", "bad_in_epoch", "substituted", "samples"):
        assert dali.stats()[key] == native.stats()[key]
    # Two of them are for DALI to find, each with its batch.
    failures = [text for text in caplog.messages if text.startswith("DALI failed at a batch")]
    assert 1 <= len(failures) <= 2
    assert all("\n" not in text and "Failed to decode sample #" in text for text in failures)


@pytest.mark.parametrize("damage", [*DAMAGES.values(), unknown_symbol])
def test_a_bad_file_raises_as_ever_and_the_loader_goes_on(tmp_path, damage):
    bad = with_files(write_small(tmp_path), {4: damage})
    native, dali = pair(bad, "dali")
    reasons = []
    for loader in (native, dali):
        with pytest.raises(_core.DecodeError) as caught:
            list(loader)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    assert Path(bad.paths()[4]).name in reasons[0]
    good = [row for row in range(len(bad)) if row != 4][:5]
    for _ in range(2):
        assert_same(native.render(good), dali.render(good))


def test_an_error_of_dali_costs_no_good_row_and_its_pipeline_is_made_anew(tmp_path, caplog):
    bad = with_files(write_small(tmp_path), {9: unknown_symbol})
    native, dali = pair(bad, "dali", on_error="substitute", shuffle=False, batch_size=23)
    for _ in range(3):
        assert_equal_epochs(native, dali)
    assert len([text for text in caplog.messages if text.startswith("DALI failed")]) == 3
    # The next batch is DALI's again.
    before = dali.stats()["decoded_by_core"]
    good = [row for row in range(23) if row != 9]
    assert_same(native.render(good), dali.render(good))
    assert dali.stats()["decoded_by_core"] == before


def test_an_end_that_somebody_put_behind_a_cut_is_not_noticed(tmp_path):
    """DALI fills up with grey what its decoder only warns of; `hmtl data check` finds the file."""
    bad = with_files(write_small(tmp_path), {4: cut_and_ended})
    native, dali = pair(bad, "dali", augmentation="none")
    assert len(list(dali)) == len(dali)
    with pytest.raises(_core.DecodeError, match="truncated JPEG"):
        list(native)


def test_orientations_are_refused_or_ignored(tmp_path):
    dataset = write_300w_lp(tmp_path / "turned", count=3, subjects=1, size=90)
    data = open_dataset(dataset)
    exif = (
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    turned = with_files(data, {1: lambda jpeg: jpeg[:2] + exif + jpeg[2:]})
    with pytest.raises(_core.DecodeError, match="EXIF orientation is 6"):
        list(Loader(turned, engine="dali", **OPTIONS))
    native, dali = pair(turned, "dali", exif="ignore")
    assert assert_equal_epochs(native, dali) == 3


GROWTH = """
import gc, os, sys
from pathlib import Path
from hmtl.data import Loader, open_dataset

def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

dataset = open_dataset(sys.argv[1])
options = dict(batch_size=8, num_threads=3, engine="dali")
loader = Loader(dataset, size=224, on_error="substitute", **options)

def epochs(count):
    for _ in range(count):
        for batch in loader:
            del batch

epochs(10)
before = resident()
epochs(60)
for _ in range(100):
    next(iter(loader))
epochs(1)
print(resident() - before)
for _ in range(10):
    next(iter(Loader(dataset, **options)))
gc.collect()
print(len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")))
for _ in range(20):
    next(iter(Loader(dataset, **options)))
gc.collect()
print(len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")))
"""


@pytest.mark.parametrize("damages", [False, True])
def test_memory_threads_and_files_stay_as_they_are(tmp_path, damages):
    """Over 60 epochs, 100 passes that are left and 20 loaders, also where DALI fails in each."""
    dataset = write_small(tmp_path)
    if damages:
        # Of the same length, so that the index is right.
        path = Path(dataset.paths()[3])
        path.write_bytes(unknown_symbol(path.read_bytes()))
    program = GROWTH if not damages else GROWTH.split("for _ in range(10)")[0]
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(dataset.root)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    growth, *counts = done.stdout.splitlines()
    assert float(growth) < 20.0
    assert len(set(counts)) <= 1
