"""Images out of an HDF5 file with LZF chunks: the core's readers beside h5py; one JSON document.

python -m benchmarks.bench_chunks [--images 320] [--repeats 9]

One thread, page cache warm, rows in random order. The images are 224×224 cuts of the real pictures
below HMTL_DATA, or of rendered heads, with the noise of a camera (standard deviation half a level):
LZF then packs to 0.85 … 0.95, ETH-XGaze by its published size to 0.8. Times are µs per image.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.loader.patches import NAME, SIDE_PX, SIZE, checked_ratio, cuts, write_chunks
from benchmarks.machine import machine
from benchmarks.timing import Settings, run_program
from hmtl import _core
from hmtl.data.columns import Codec
from hmtl.data.layouts.hdf5 import image_extents

Pixels = npt.NDArray[np.uint8]


class Readers:
    """Every way to read a row, and the packed streams by themselves."""

    def __init__(self, path: Path) -> None:
        self.dataset = h5py.File(path, "r")[NAME]
        self.paths = [str(path)]
        extents = image_extents(self.dataset.file, NAME)
        self.extents = [extents[row : row + 1] for row in range(len(extents))]
        self.codecs = extents["codec"].tolist()
        self.packed = {
            row: _core.read_extent(self.paths, self.extents[row])
            for row, codec in enumerate(self.codecs)
            if codec == Codec.LZF_BGR
        }

    def h5py(self, row: int) -> Pixels:
        """Read as h5py does, blue first."""
        return self.dataset[row]

    def h5py_rgb(self, row: int) -> Pixels:
        """Read what the core hands out: red first, and contiguous."""
        return np.ascontiguousarray(self.dataset[row][..., ::-1])

    def hmtl(self, row: int) -> Pixels:
        """Read and decode through Python: the bytes and the pixels are copied once more."""
        data = _core.read_extent(self.paths, self.extents[row])
        codec = self.codecs[row]
        picture = _core.decode(data, codec, "a", height=SIDE_PX, width=SIDE_PX)
        return picture["planes"][0]["pixels"]

    def hmtl_inside(self, row: int) -> None:
        """Read and decode in the core to RGB, as the loader's threads do."""
        _core.inspect(self.paths, self.extents[row])

    def lzf(self, row: int) -> bytes:
        return _core.lzf_decode(self.packed[row], SIZE)

    def lzf_plain(self, row: int) -> bytes:
        return _core.lzf_decode_plain(self.packed[row], SIZE)


def check(readers: Readers) -> None:
    """Raise RuntimeError unless all readers agree on every row."""
    for row in range(len(readers.extents)):
        bgr = readers.h5py(row)
        if not all(
            np.array_equal(rgb, bgr[..., ::-1])
            for rgb in (readers.hmtl(row), readers.h5py_rgb(row))
        ):
            raise RuntimeError(f"row {row}: the core reads other pixels than h5py")
        found = _core.inspect(readers.paths, readers.extents[row])
        if (found["height"], found["width"]) != bgr.shape[:2]:
            raise RuntimeError(f"row {row}: the core sees another size")
        if (
            row in readers.packed
            and not readers.lzf(row) == readers.lzf_plain(row) == bgr.tobytes()
        ):
            raise RuntimeError(f"row {row}: LZF is decoded to other bytes")


def microseconds(read: Callable[[int], object], rows: list[int]) -> float:
    """Return the time for each of the rows."""
    start = time.perf_counter()
    for row in rows:
        read(row)
    return (time.perf_counter() - start) / len(rows) * 1e6


def time_readers(readers: Readers, rounds: int) -> dict[str, list[float]]:
    """Return the times of each reader, which take turns."""
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(readers.extents)).tolist()
    packed = [row for row in rows if row in readers.packed]
    sides: dict[str, tuple[Callable[[int], object], list[int]]] = {
        "lzf": (readers.lzf, packed),
        "lzf_plain": (readers.lzf_plain, packed),
        "h5py": (readers.h5py, rows),
        "h5py_rgb": (readers.h5py_rgb, rows),
        "hmtl": (readers.hmtl, rows),
        "hmtl_inside": (readers.hmtl_inside, rows),
    }
    runs: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(-1, rounds):  # the first does not count
        for side, (read, which) in sides.items():
            taken = microseconds(read, which)
            if number >= 0:
                runs[side].append(taken)
    return runs


def summarise(runs: dict[str, list[float]]) -> dict[str, Any]:
    """Return the medians, and how many times as fast one is as another, each as a median."""

    def times_as_fast(fast: str, slow: str) -> float:
        pairs = zip(runs[slow], runs[fast], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    return {
        "us_per_image": {side: round(statistics.median(run), 1) for side, run in runs.items()},
        "ratios": {
            "lzf/lzf_plain": times_as_fast("lzf", "lzf_plain"),
            "lzf/h5py": times_as_fast("lzf", "h5py"),
            "hmtl/h5py_rgb": times_as_fast("hmtl", "h5py_rgb"),
            "hmtl_inside/h5py": times_as_fast("hmtl_inside", "h5py"),
            "hmtl_inside/h5py_rgb": times_as_fast("hmtl_inside", "h5py_rgb"),
        },
        "runs": {side: [round(taken, 1) for taken in run] for side, run in runs.items()},
    }


def run(settings: Settings) -> dict[str, Any]:
    """Return the document."""
    images = settings.images
    about = {"name": "chunks", **machine()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "subject0000.h5"
        pixels, source = cuts(images)
        write_chunks(path, images, pixels)
        readers = Readers(path)
        ratio = checked_ratio([len(data) for data in readers.packed.values()])
        check(readers)
        runs = time_readers(readers, settings.repeats)
        readers.dataset.file.close()
    return {
        **about,
        "images": images,
        "source": source,
        "stored_raw": images - len(readers.packed),
        "lzf_ratio": round(ratio, 3),
        "h5py": f"{h5py.version.version}, HDF5 {h5py.version.hdf5_version}",
        **summarise(runs),
    }


if __name__ == "__main__":
    run_program(__doc__.splitlines()[0], run, images=320, seconds=0.0, repeats=9)
