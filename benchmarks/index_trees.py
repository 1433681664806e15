"""Large data sets for the benchmarks of the index, with the structure of the published ones."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.io

FOLDERS = ("AFW", "AFW_Flip", "HELEN", "HELEN_Flip", "IBUG", "IBUG_Flip", "LFPW", "LFPW_Flip")

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


def _label_file(rng: np.random.Generator) -> bytes:
    """Return a MAT file with the variables of 300W-LP, in their order."""
    variables = {
        "pt2d": rng.uniform(100, 350, (2, 68)),
        "roi": np.array([[70, 74, 377, 381]], dtype=np.int16),
        "Illum_Para": rng.normal(size=(1, 10)),
        "Color_Para": np.ones((1, 7), dtype=np.float32),
        "Tex_Para": rng.normal(size=(199, 1)).astype(np.float32),
        "Shape_Para": rng.normal(size=(199, 1)).astype(np.float32),
        "Exp_Para": rng.normal(size=(29, 1)).astype(np.float32),
        "Pose_Para": np.array([[-0.3, 0.5, -0.1, 70, 280, -60, 0.001]], dtype=np.float32),
    }
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=True)
    return file.getvalue()


def write_w300lp(root: Path, *, pairs: int, pictures: Sequence[Path] = ()) -> None:
    """Write so many pairs of 300W-LP; the images are links to these pictures in turn, or stubs.

    All labels are copies of one file with the variables, sizes and compression of the published.
    """
    labels = _label_file(np.random.default_rng(0))
    for folder in FOLDERS:
        (root / folder).mkdir()
    for number in range(pairs):
        folder = FOLDERS[number % len(FOLDERS)]
        stem = root / folder / f"{folder}_{number // 16:06}_1_{number // 8 % 2}"
        image = stem.with_suffix(".jpg")
        if pictures:
            image.hardlink_to(pictures[number % len(pictures)])
        else:
            image.write_bytes(b"\xff\xd8\xff\xd9")
        stem.with_suffix(".mat").write_bytes(labels)


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
