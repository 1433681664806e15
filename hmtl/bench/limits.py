"""What the loader is measured against: bytes that are not in memory, and decoding alone."""

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.columns import Codec
from hmtl.data.dataset import Dataset

_DECODED = 256
_NAMES = {
    Codec.JPEG: "decoding",
    Codec.PNG: "decoding",
    Codec.BGR: "copying",
    Codec.LZF_BGR: "expanding",
    Codec.DEFLATE_BGR: "expanding",
    Codec.RGB: "taking",
}


def codecs(dataset: Dataset) -> dict[str, int]:
    """Return how many samples have which codec, the most frequent first."""
    numbers, counts = np.unique(dataset.extent["codec"], return_counts=True)
    found = zip(numbers.tolist(), counts.tolist(), strict=True)
    by_count = sorted(found, key=lambda pair: -pair[1])
    return {Codec(number).name.lower(): count for number, count in by_count}


def decoding_name(dataset: Dataset) -> str:
    """Return what turning the bytes of most samples into pixels is called."""
    return _NAMES[Codec[next(iter(codecs(dataset))).upper()]]


def decoding_limit(dataset: Dataset, threads: int, seconds: float) -> float | None:
    """Return images/s of decoding alone: whole images, from memory, into buffers that are reused.

    Each of the threads decodes the same samples, up to 256 that are spread over the dataset, for
    about so many seconds. None where the bytes are the pixels and nothing is decoded. Raises
    DecodeError for a sample that cannot be read.
    """
    if (dataset.extent["codec"] == Codec.RGB).all():
        return None
    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), _DECODED)).astype(np.int64)
    extent = dataset.extent[rows]
    paths = [os.fsencode(path) for path in dataset.paths()]
    encoded = [_core.read_extent(paths, extent[row : row + 1]) for row in range(len(rows))]
    return decoding_speed(encoded, extent, threads, seconds)


def decoding_speed(
    encoded: list[bytes], extent: npt.NDArray[np.void], threads: int, seconds: float
) -> float:
    """Return images/s at which `threads` decode these samples (N,), each of them all."""

    def decode(passes: int) -> float:
        start = time.perf_counter()
        jobs = [
            pool.submit(_core.decode_repeatedly, data=encoded, extent=extent, passes=passes)
            for _ in range(threads)
        ]
        for job in jobs:
            job.result()
        return time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        passes = max(1, round(seconds / decode(1)))
        return passes * threads * len(encoded) / decode(passes)


def forget(dataset: Dataset) -> bool:
    """Take the samples' bytes out of the system's page cache; return whether it can be told to.

    Other bytes of the same files stay. Files that cannot be opened are left to who reads them.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    order = np.argsort(dataset.extent["file"], kind="stable")
    paths = dataset.paths()
    current = -1
    with contextlib.ExitStack() as opened:
        for file, offset, size in dataset.extent[["file", "offset", "size"]][order].tolist():
            if file != current:
                opened.close()
                descriptor = opened.enter_context(_opened(paths[file]))
                current = file
            if descriptor is not None:
                os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
    return True


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def memory_bytes() -> int:
    """Return how much memory programs and the page cache may still take; 0 where unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    return 0
