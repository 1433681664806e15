"""What must hold before a side is timed: the right pictures, the right labels, the right types."""

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from benchmarks.loader.files import sample_paths
from benchmarks.loader.work import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Labelled,
    Open,
    Running,
    Work,
)
from hmtl.data import Augmentation, Dataset

CHECKED = 16
# Mean difference from Pillow in grey levels. The Loader renders the same square; the peers round
# theirs to whole pixels, and OpenCV's resize is not antialiased.
OWN_TOLERANCE, PEER_TOLERANCE = 1.0, 4.0

Pixels = npt.NDArray[np.uint8]


def check_side(name: str, open_side: Open, dataset: Dataset, work: Work) -> None:
    """Raise RuntimeError unless a side does the work on the first samples of the dataset."""
    some = dataset.subset(range(min(CHECKED, len(dataset))))
    tolerance = OWN_TOLERANCE if name == "hmtl" else PEER_TOLERANCE
    plain = Work(augmentation=Augmentation(), size=work.size, grid=1)
    puzzled = Work(augmentation=Augmentation(), size=work.size, grid=work.grid)
    expected = _references(some, plain.size)
    whole = _one_batch(open_side, some, plain)
    _check_types(name, whole, plain)
    _check_pictures(f"{name}, plain", _rows(whole[0]), expected, tolerance)
    if not torch.equal(whole[1], torch.from_numpy(np.array(some.pose))):
        raise RuntimeError(f"{name}: the poses of a batch must be those of its samples")

    images, _, permutation = _one_batch(open_side, some, puzzled)
    canvas = _references(some, puzzled.canvas)
    for picture, order, reference in zip(_rows(images), permutation.numpy(), canvas, strict=True):
        untiled, known = untile(picture, order, puzzled.grid)
        _check_pictures(f"{name}, untiled", untiled[known], reference[known], tolerance)

    _check_types(name, _one_batch(open_side, some, work), work)


def check_floats(name: str, open_side: Open, dataset: Dataset, work: Work) -> None:
    """Raise RuntimeError unless a side's floats are its pixels, normalised."""
    some = dataset.subset(range(min(CHECKED, len(dataset))))
    _check_types(name, _one_batch(open_side, some, work), work)
    plain = Work(augmentation=Augmentation(), size=work.size, grid=1)
    plain_floats = Work(augmentation=Augmentation(), size=work.size, grid=1, floats=True)
    pixels = _rows(_one_batch(open_side, some, plain)[0]) / 255.0
    floats = _rows(_one_batch(open_side, some, plain_floats)[0])
    if not np.allclose(floats, (pixels - IMAGENET_MEAN) / IMAGENET_DEVIATION, atol=1e-3):
        raise RuntimeError(f"{name}: floats must be the normalised pixels")


def untile(picture: Pixels, permutation: Pixels, grid: int) -> tuple[Pixels, Pixels]:
    """Return the canvas (H, H, 3) with all tiles back in place, and what of it is known (H, H)."""
    side = math.ceil(len(picture) / grid)
    canvas = np.zeros((grid * side, grid * side, 3), dtype=np.uint8)
    known = np.zeros((grid * side, grid * side), dtype=np.bool_)
    for cell, tile in enumerate(permutation):
        top, left = cell // grid * side, cell % grid * side
        content = picture[top : top + side, left : left + side]
        height, width = content.shape[:2]
        rows = slice(tile // grid * side, tile // grid * side + height)
        columns = slice(tile % grid * side, tile % grid * side + width)
        canvas[rows, columns] = content
        known[rows, columns] = True
    return canvas, known


def _references(dataset: Dataset, size: int) -> Pixels:
    """Return the centred squares of the boxes as Pillow renders them, (N, S, S, 3)."""
    return np.stack(
        [_reference(*row, size) for row in zip(sample_paths(dataset), dataset.box, strict=True)]
    )


def _reference(path: str, box: npt.NDArray[np.float32], size: int) -> Pixels:
    x0, y0, x1, y1 = box.tolist()
    half = min(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    with Image.open(path) as file:
        image = file.convert("RGB")
    # Black round the image, where the square may reach.
    margin = math.ceil(
        max(0.0, half - x, half - y, x + half - image.width, y + half - image.height)
    )
    padded = ImageOps.expand(image, margin)
    square = (x - half + margin, y - half + margin, x + half + margin, y + half + margin)
    return np.asarray(padded.resize((size, size), Image.Resampling.BILINEAR, box=square))


def _one_batch(open_side: Open, dataset: Dataset, work: Work) -> Labelled:
    """Return all samples in their order; the workers end with the loader."""
    running = Running(batch_size=len(dataset), threads=1, shuffle=False)
    return next(iter(open_side(dataset, work, running)))


def _rows(images: torch.Tensor) -> Pixels:
    return images.permute(0, 2, 3, 1).numpy()


def _check_pictures(what: str, pictures: Pixels, expected: Pixels, tolerance: float) -> None:
    difference = float(np.abs(pictures.astype(np.float32) - expected).mean())
    if not difference <= tolerance:
        raise RuntimeError(
            f"{what}: must be within {tolerance:g} grey levels of Pillow, is {difference:.2f} away"
        )


def _check_types(name: str, batch: Labelled, work: Work) -> None:
    images, pose, permutation = batch
    count, tiles = len(images), work.grid**2
    found = (images.dtype, tuple(images.shape), tuple(pose.shape), tuple(permutation.shape))
    dtype = torch.float32 if work.floats else torch.uint8
    expected = (dtype, (count, 3, work.size, work.size), (count, 3), (count, tiles))
    if found != expected:
        raise RuntimeError(f"{name}: a batch must have {expected}, has {found}")
    if not torch.equal(permutation.sort(dim=1).values, torch.arange(tiles).expand(count, tiles)):
        raise RuntimeError(f"{name}: the labels of a puzzle must be permutations")
