"""What must hold before a side is timed: the right pictures, the right labels, the right types."""

import math
from dataclasses import replace

import h5py
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
    plain = replace(work, augmentation=Augmentation(), grid=1, floats=False)
    expected = _references(some, plain.size)
    whole = one_batch(open_side, some, plain)
    _check_types(name, whole, plain)
    for view in whole.views:
        _check_pictures(f"{name}, plain", rows(view), expected, tolerance)
    if (
        not torch.equal(whole.pose, torch.from_numpy(np.array(some.pose)))
        and not np.isnan(some.pose).any()
    ):
        raise RuntimeError(f"{name}: the poses of a batch must be those of its samples")
    if work.grid > 1:
        _check_puzzle(name, open_side, some, replace(plain, grid=work.grid), tolerance)
    _check_types(name, one_batch(open_side, some, work), work)


def _check_puzzle(
    name: str, open_side: Open, dataset: Dataset, work: Work, tolerance: float
) -> None:
    """Raise RuntimeError unless the labels put the tiles back."""
    puzzled = one_batch(open_side, dataset, work)
    canvas = _references(dataset, work.canvas)
    pictures = zip(rows(puzzled.views[0]), puzzled.permutation.numpy(), canvas, strict=True)
    for picture, order, reference in pictures:
        untiled, known = untile(picture, order, work.grid)
        _check_pictures(f"{name}, untiled", untiled[known], reference[known], tolerance)


def check_floats(name: str, open_side: Open, dataset: Dataset, work: Work) -> None:
    """Raise RuntimeError unless a side's floats are its pixels, normalised."""
    some = dataset.subset(range(min(CHECKED, len(dataset))))
    _check_types(name, one_batch(open_side, some, work), work)
    plain = replace(work, augmentation=Augmentation(), grid=1, floats=False)
    pixels = one_batch(open_side, some, plain).views
    floats = one_batch(open_side, some, replace(plain, floats=True)).views
    for found, view in zip(floats, pixels, strict=True):
        expected = (rows(view) / 255.0 - IMAGENET_MEAN) / IMAGENET_DEVIATION
        if not np.allclose(rows(found), expected, atol=1e-3):
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
        lines = slice(tile // grid * side, tile // grid * side + height)
        columns = slice(tile % grid * side, tile % grid * side + width)
        canvas[lines, columns] = content
        known[lines, columns] = True
    return canvas, known


def one_batch(open_side: Open, dataset: Dataset, work: Work) -> Labelled:
    """Return all samples in their order, rendered without workers."""
    running = Running(batch_size=len(dataset), threads=0, shuffle=False)
    return next(iter(open_side(dataset, work, running)))


def rows(images: torch.Tensor) -> Pixels:
    """Return images (N, 3, S, S) as pixels (N, S, S, 3)."""
    return images.permute(0, 2, 3, 1).numpy()


def _references(dataset: Dataset, size: int) -> Pixels:
    """Return the centred squares of the boxes as Pillow renders them, (N, S, S, 3)."""
    places = zip(sample_paths(dataset), dataset.extent["row"], dataset.box, strict=True)
    return np.stack([_reference(_picture(path, row), box, size) for path, row, box in places])


def _picture(path: str, row: int) -> Image.Image:
    if row < 0:
        with Image.open(path) as file:
            return file.convert("RGB")
    with h5py.File(path, "r") as file:
        return Image.fromarray(np.ascontiguousarray(file["face_patch"][row][..., ::-1]))


def _reference(image: Image.Image, box: npt.NDArray[np.float32], size: int) -> Pixels:
    x0, y0, x1, y1 = box.tolist()
    half = min(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    # Black round the image, where the square may reach.
    margin = math.ceil(
        max(0.0, half - x, half - y, x + half - image.width, y + half - image.height)
    )
    padded = ImageOps.expand(image, margin)
    square = (x - half + margin, y - half + margin, x + half + margin, y + half + margin)
    return np.asarray(padded.resize((size, size), Image.Resampling.BILINEAR, box=square))


def _check_pictures(what: str, pictures: Pixels, expected: Pixels, tolerance: float) -> None:
    difference = float(np.abs(pictures.astype(np.float32) - expected).mean())
    if not difference <= tolerance:
        raise RuntimeError(
            f"{what}: must be within {tolerance:g} grey levels of Pillow, is {difference:.2f} away"
        )


def _check_types(name: str, batch: Labelled, work: Work) -> None:
    count, tiles = len(batch.pose), work.grid**2
    shapes = [tuple(part.shape) for part in (*batch.views, batch.pose, batch.permutation)]
    image = (count, 3, work.size, work.size)
    expected = [*[image] * work.views, (count, 3), (count, tiles)]
    dtype = torch.float32 if work.floats else torch.uint8
    if shapes != expected or any(view.dtype != dtype for view in batch.views):
        raise RuntimeError(f"{name}: a batch must have {dtype} {expected}, has {shapes}")
    order = batch.permutation.sort(dim=1).values
    if not torch.equal(order, torch.arange(tiles).expand(count, tiles)):
        raise RuntimeError(f"{name}: the labels of a puzzle must be permutations")
