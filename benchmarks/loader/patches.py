"""Images of 224 px in HDF5 files with an LZF chunk each, in the layout of ETH-XGaze."""

import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.loader.files import ramps, write_tree
from hmtl.data import Dataset, open_dataset
from hmtl.data.columns import Codec

SIDE_PX = 224
SIZE = SIDE_PX * SIDE_PX * 3
NAME = "face_patch"
NOISE_LEVELS = 0.5
LZF_RATIO = (0.8, 0.95)
"""What counts as a realistic mean of packed to plain bytes."""

Pixels = npt.NDArray[np.uint8]


def cut(picture: Image.Image, rng: np.random.Generator) -> Pixels:
    """Return a face-like cut (224, 224, 3) of a picture, blue first, with a camera's noise."""
    side = 0.6 * min(picture.size)
    x, y = ((length - side) * rng.uniform(0.2, 0.8) for length in picture.size)
    box = (x, y, x + side, y + side)
    pixels = np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR, box))
    noisy = pixels[..., ::-1] + rng.normal(0, NOISE_LEVELS, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def cuts(images: int) -> tuple[Iterator[Pixels], str]:
    """Return so many cuts of the benchmark's pictures, and where those come from."""
    with tempfile.TemporaryDirectory() as folder:
        source = write_tree(Path(folder), min(images, 40))
        pictures = []
        for path in sorted(Path(folder).rglob("*.jpg")):
            with Image.open(path) as picture:
                pictures.append(picture.convert("RGB"))
    rng = np.random.default_rng(0)
    found = (cut(pictures[row % len(pictures)], rng) for row in range(images))
    return found, f"cuts of {source}, with noise"


def write_chunks(path: Path, images: int, pixels: Iterable[Pixels]) -> None:
    """Write the first so many images, an LZF chunk each, and labels that say nothing."""
    shape = (SIDE_PX, SIDE_PX, 3)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            NAME, (images, *shape), np.uint8, chunks=(1, *shape), compression="lzf"
        )
        for row, image in zip(range(images), pixels, strict=False):
            dataset[row] = image
        labels = np.random.default_rng(0).uniform(-1, 1, (images, 2))
        file.create_dataset("face_head_pose", data=labels, chunks=(1, 2))


def write_patches(root: Path, images: int, subjects: int = 4) -> str:
    """Write an ETH-XGaze of so many cuts in a file per subject; return where they come from."""
    pixels, source = cuts(images)
    _write_subjects(root, np.array_split(np.arange(images), subjects), pixels)
    return source


def write_ramps(root: Path, images: int = 4) -> None:
    """Write pictures whose red is the column and whose green is the row, from 0 to 255."""
    _write_subjects(root, [np.arange(images)], [ramps(SIDE_PX)[..., ::-1]] * images)


def _write_subjects(
    root: Path, rows: Iterable[npt.NDArray[np.int64]], pixels: Iterable[Pixels]
) -> None:
    (root / "train").mkdir(parents=True)
    remaining = iter(pixels)
    names = []
    for number, part in enumerate(rows):
        if len(part):
            names.append(f"subject{number:04}.h5")
            write_chunks(root / "train" / names[-1], len(part), remaining)
    lists = {"train": names, "test": [], "test_person_specific": []}
    (root / "train_test_split.json").write_text(json.dumps(lists))


def open_patches(root: Path) -> Dataset:
    return open_dataset(root, layout="eth-xgaze", split="train")


def lzf_ratio(dataset: Dataset) -> float:
    """Return how small LZF makes the samples; see `checked_ratio`."""
    is_packed = dataset.extent["codec"] == Codec.LZF_BGR
    return checked_ratio(dataset.extent["size"][is_packed].tolist())


def checked_ratio(sizes: Sequence[int]) -> float:
    """Return the mean of packed over plain bytes.

    Raises RuntimeError where it is not as real images have it.
    """
    ratio = statistics.mean(sizes) / SIZE
    if not LZF_RATIO[0] <= ratio <= LZF_RATIO[1]:
        raise RuntimeError(f"LZF packs to {ratio:.2f}, which is not as real images: {LZF_RATIO}")
    return ratio
