"""What the loader is measured against, and what is said of it."""

import ctypes
import mmap
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze

from hmtl.bench.advice import bottleneck
from hmtl.bench.limits import codecs, decoding_limit, forget, memory_bytes
from hmtl.data import open_dataset
from hmtl.data.columns import Codec

GIB = 2**30


def resident(path: Path) -> np.ndarray:
    """Return which pages of a file (N,) are in the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    state = (ctypes.c_ubyte * pages)()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        start = ctypes.c_char.from_buffer(memory)
        failed = libc.mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), ctypes.byref(state)
        )
        del start
    if failed:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return np.frombuffer(state, dtype=np.uint8) & 1 == 1


def written_and_read(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        file.read()


def can_forget(folder: Path) -> bool:
    """Return whether the file system gives pages up when it is asked to."""
    path = folder / "control"
    path.write_bytes(bytes(8 * mmap.PAGESIZE))
    written_and_read(path)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return not resident(path).any()


@pytest.mark.usefixtures("user_cache")
def test_the_samples_bytes_are_taken_out_of_memory_and_no_others(tmp_path: Path) -> None:
    if not can_forget(tmp_path):
        pytest.skip("this file system keeps what it has read")
    root = tmp_path / "x"
    (root / "train").mkdir(parents=True)
    path = root / "train" / "subject0000.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        shape = (24, 100, 100, 3)
        data = rng.integers(0, 256, shape, dtype=np.uint8)
        file.create_dataset("face_patch", data=data, chunks=(1, *shape[1:]))
        file.create_dataset("face_head_pose", data=rng.uniform(-1, 1, (24, 2)), chunks=(1, 2))
    (root / "train_test_split.json").write_text(
        '{"train": ["subject0000.h5"], "test": [], "test_person_specific": []}'
    )
    dataset = open_dataset(root, layout="eth-xgaze")
    written_and_read(path)
    some = dataset.subset([3, 20])
    assert forget(some)
    found = resident(path)
    pages = np.arange(len(found))
    gone = np.zeros(len(found), dtype=bool)
    for offset, size in some.extent[["offset", "size"]].tolist():
        inner = (pages * mmap.PAGESIZE >= offset) & ((pages + 1) * mmap.PAGESIZE <= offset + size)
        gone |= inner
    assert gone.sum() >= 12
    assert not found[gone].any()
    # The pages at both ends of an extent belong to its neighbours too.
    assert (~found).sum() <= gone.sum() + 4


def test_files_that_are_gone_are_left_to_who_reads_them(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 5])
    dataset = open_dataset(tmp_path)
    for path in tmp_path.rglob("*.h5"):
        path.unlink()
    assert forget(dataset)


def test_codecs_are_counted_and_the_most_frequent_comes_first(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 5])
    dataset = open_dataset(tmp_path)
    counts = codecs(dataset)
    assert sum(counts.values()) == len(dataset)
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    assert set(counts) <= {"bgr", "lzf_bgr"}


@pytest.mark.usefixtures("user_cache")
def test_the_limit_counts_the_samples_of_all_threads(tmp_path: Path) -> None:
    dataset = open_dataset(write_300w_lp(tmp_path, count=8, subjects=2, size=300))
    alone = max(decoding_limit(dataset, 1, 0.2) for _ in range(3))
    # Where cores are free twice as much is decoded, and where they are not about as much.
    assert 0.4 < max(decoding_limit(dataset, 2, 0.2) for _ in range(3)) / alone < 3


def test_pixels_that_are_not_decoded_have_no_limit(tmp_path: Path) -> None:
    dataset = open_dataset(write_xgaze(tmp_path, train=[3]))
    extent = dataset.extent.copy()
    extent["codec"] = Codec.RGB
    assert decoding_limit(replace(dataset, extent=extent), 1, 0.01) is None


def test_memory_is_known_on_linux() -> None:
    assert memory_bytes() > 2**20


def found(
    warm: dict[str, float],
    *,
    first_read: float = 0.0,
    layout: str = "300w-lp",
    codec: str = "jpeg",
    size: int = GIB,
) -> dict[str, Any]:
    return {
        "cold": True,
        "dataset": {"layout": layout, "codecs": {codec: 3, "png": 1}, "bytes": size},
        "first_pass": {"shares": {"read": first_read}},
        "warm": {"shares": {"read": 0.0, "idle": 0.0, **warm}},
    }


@pytest.mark.parametrize(
    ("measured", "stage", "words"),
    [
        (found({"decode": 0.67}), "decode", "decoding takes 67% of the threads' time: `hmtl data"),
        (found({"decode": 0.6}, layout="packed"), "decode", "--codec raw"),
        (found({"decode": 0.6}, codec="bgr"), "decode", "copying takes 60%"),
        (found({"decode": 0.6}, codec="lzf_bgr"), "decode", "expanding takes 60%"),
        (found({"decode": 0.6}, codec="deflate_bgr"), "decode", "rechunk"),
        (found({"decode": 0.2, "crop": 0.4}), "crop", "smaller --size helps, and `hmtl data pack`"),
        (found({"decode": 0.2, "crop": 0.4}, layout="packed"), "crop", "--size helps"),
        (found({"decode": 0.2, "read": 0.4}), "read", "slow or distant disk"),
        (found({"decode": 0.5, "idle": 0.3}), "idle", "nothing to do in 30% of their time"),
        (found({"decode": 0.5, "idle": 0.2}), "decode", "decoding takes 50%"),
        (found({"decode": 0.3, "noise": 0.4}), "noise", "noise takes 40%"),
        (found({"decode": 0.3, "dream": 0.4}), "dream", "dream takes 40% of the threads' time"),
        (found({"decode": 0.6}, first_read=0.5), "decode", "decoding"),
        (
            found({"decode": 0.6}, first_read=0.5, size=200 * GIB),
            "read",
            "reading takes 50% of the threads' time in the first pass, and the data set (200 GiB) "
            "does not fit into memory (16 GiB)",
        ),
        (found({"decode": 0.6}, first_read=0.1, size=200 * GIB), "decode", "decoding"),
    ],
)
def test_the_bottleneck_is_named_in_a_sentence(
    measured: dict[str, Any], stage: str, words: str
) -> None:
    said = bottleneck(measured, 16 * GIB)
    assert said["stage"] == stage
    assert words in said["says"]
    assert "{" not in said["says"]
    assert said["says"].count("\n") == 0


def test_unknown_memory_blames_nothing() -> None:
    measured = found({"decode": 0.6}, first_read=0.5, size=200 * GIB)
    assert bottleneck(measured, 0)["stage"] == "decode"
    assert bottleneck({**measured, "cold": False}, GIB)["stage"] == "decode"
