"""The files that all sides read: a tree of 450×450 JPEG files in the layout of 300W-LP."""

import os
import shutil
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hmtl.data import Dataset, open_dataset
from hmtl.synth import render_dataset

SIDE_PX = 450
_SOURCES = ("300W_LP", "AFLW2000")


def write_tree(root: Path, images: int) -> str:
    """Write so many pairs of image and labels below `root`; return where they come from.

    They are plain copies of the real pairs in the folder that HMTL_DATA names, else rendered heads.
    """
    data = os.environ.get("HMTL_DATA")
    if data is None:
        subjects = max(images // 20, 1)
        render_dataset(
            root, layout="300w-lp", count=images, subjects=subjects, seed=0, size=SIDE_PX
        )
        return "rendered heads"
    pairs = _real_pairs(Path(data))
    (root / "AFW").mkdir(parents=True)
    for number, source in enumerate(islice(cycle(pairs), images)):
        copy = root / "AFW" / f"AFW_{number:06}_1_0"
        for suffix in (".jpg", ".mat"):
            shutil.copyfile(source.with_suffix(suffix), copy.with_suffix(suffix))
    return f"copies of {len(pairs)} real images"


def write_ramps(root: Path, images: int = 4) -> None:
    """Write JPEG files whose red is the column and whose green is the row, and their boxes."""
    root.mkdir(parents=True)
    rows = ["path,x0,y0,x1,y1,yaw,pitch,roll"]
    for number in range(images):
        name = f"{number}.jpg"
        Image.fromarray(ramps(SIDE_PX)).save(root / name, quality=98, subsampling=0)
        rows.append(f"{name},0,0,{SIDE_PX},{SIDE_PX},0,0,0")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def ramps(side: int) -> npt.NDArray[np.uint8]:
    """Return a picture (H, H, 3), red from 0 to 255 by column and green by row."""
    ramp = np.linspace(0, 255, side)
    picture = np.full((side, side, 3), 128.0)
    picture[..., 0], picture[..., 1] = ramp, ramp[:, None]
    return np.rint(picture).astype(np.uint8)


def open_tree(root: Path, images: int) -> Dataset:
    """Return the first so many samples below `root`."""
    # AFLW2000's hidden points would blow up the boxes of its copies under the default rule.
    dataset = open_dataset(root, layout="300w-lp", crop="visible")
    return dataset.subset(range(min(images, len(dataset))))


def sample_paths(dataset: Dataset) -> list[str]:
    """Return the path of each sample's file."""
    paths = dataset.paths()
    return [paths[file] for file in dataset.extent["file"]]


def _real_pairs(data: Path) -> list[Path]:
    pairs = [
        image
        for source in _SOURCES
        for image in sorted((data / source).rglob("*.jpg"))
        if image.with_suffix(".mat").exists()
    ]
    if not pairs:
        raise SystemExit(f"HMTL_DATA names {data}, which has no pairs in any of {_SOURCES}")
    return pairs
