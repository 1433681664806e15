"""Large data sets for the benchmarks of the index, with the structure of the published ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

# Opens a data set in a process of its own and tells how long that took and how much memory it cost.
_OPENING = """
import json, pathlib, sys, time
import hmtl.data

def memory(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split(name + ":")[1].split()[0])

pathlib.Path("/proc/self/clear_refs").write_text("5")  # what follows is a new peak
before = memory("VmRSS")
start = time.perf_counter()
dataset = hmtl.data.open_dataset(sys.argv[1])
seconds = time.perf_counter() - start
peak = memory("VmHWM") - before
print(json.dumps({"samples": len(dataset), "s": seconds, "peak_bytes": peak}))
"""


def write_xgaze(root: Path, *, subjects: int = 80, images: int = 9_375, side: int = 4) -> None:
    """Write an ETH-XGaze of so many training subjects with so many patches each.

    Chunks and labels are stored as in the published files; the patches are only a few pixels wide,
    as nothing of an index depends on their size. All subjects are copies of one.
    """
    names = [f"subject{number:04}.h5" for number in range(subjects)]
    folder = root / "train"
    folder.mkdir(parents=True)
    first = folder / names[0]
    with h5py.File(first, "w") as file:
        patches = file.create_dataset(
            "face_patch",
            (images, side, side, 3),
            np.uint8,
            chunks=(1, side, side, 3),
            compression="lzf",
        )
        patches[:] = np.random.default_rng(0).integers(0, 256, patches.shape, dtype=np.uint8)
        labels = file.create_dataset("face_head_pose", (images, 2), np.float64, chunks=(1, 2))
        labels[:] = np.random.default_rng(1).uniform(-1.0, 1.0, labels.shape)
    for name in names[1:]:
        shutil.copyfile(first, folder / name)
    lists = {"train": names, "test": [], "test_person_specific": []}
    (root / "train_test_split.json").write_text(json.dumps(lists))


def opening_cost(root: Path) -> dict[str, float]:
    """Return how many samples a data set has, the seconds and the memory that opening it takes.

    Linux only.
    """
    command = [sys.executable, "-P", "-c", _OPENING, root]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    cost: dict[str, float] = json.loads(result.stdout)
    return cost
