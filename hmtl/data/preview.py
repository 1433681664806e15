"""What a network sees of some samples: the crop, every view before its puzzle, and the input."""

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.arguments import whole_number
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.batch import Batch
from hmtl.data.dataset import Dataset
from hmtl.data.loader import Loader
from hmtl.data.order import LARGEST_EPOCH, epoch_order

Pixels = npt.NDArray[np.uint8]

# What a preview chooses itself: nothing here changes the pixels of a sample.
_FIXED: dict[str, Any] = {
    "drop_last": False,
    "shuffle": False,
    "rank": 0,
    "world_size": 1,
    "on_error": "substitute",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Preview:
    """N samples as a loader renders them, in V views of side S."""

    dataset: Dataset
    index: npt.NDArray[np.int64]
    """(N,) rows of the dataset."""
    seed: int
    epoch: int
    settings: dict[str, Any]
    """The loader's settings that shape pixels and labels."""
    params: npt.NDArray[Any]
    """(N, V): what was drawn."""
    crop: Batch
    """One view without augmentation and puzzle, as evaluation renders it."""
    canvases: Batch
    """Augmented, before puzzle and cutout, of the side that is cut into tiles; see `canvas_side`.

    They are what became of the samples that are puzzled.
    """
    views: Batch
    """The same of side S, what became of the other samples; `canvases` itself where that is S."""
    inputs: Batch
    """What a loader hands out; where there is no pretext task `views` is the same batch."""
    bad: dict[int, str]
    """Rows of the dataset that cannot be rendered, and why."""


def preview(
    dataset: Dataset,
    index: npt.ArrayLike | None = None,
    *,
    count: int = 8,
    seed: int = 0,
    epoch: int = 0,
    **options: Any,
) -> Preview:
    """Render some rows of a dataset as an epoch of `Loader(dataset, **options)` has them.

    Without `index` they are the first `count` that the epoch hands out, shuffled. Raises
    ConfigError for what the loader refuses; a sample that cannot be rendered is told in `bad`.
    """
    whole_number("seed", seed, 0, 2**64 - 1)
    whole_number("epoch", epoch, 0, LARGEST_EPOCH)
    if index is None:
        index = epoch_order(seed, epoch, len(dataset), shuffle=True)[:count]
    rows = np.asarray(index)
    bad: dict[int, str] = {}

    def loader(**changed: Any) -> Loader:
        chosen = {**options, **_FIXED, **changed}
        return Loader(dataset, batch_size=max(rows.size, 1), seed=seed, **chosen)

    def render(source: Loader) -> Batch:
        batch = source.render(rows, epoch)
        bad.update((entry["index"], entry["reason"]) for entry in source.stats()["bad"])
        source.close()
        return batch

    as_asked = loader()
    settings = as_asked.state_dict()["settings"]
    params, inputs = as_asked.draw(rows, epoch), render(as_asked)
    views = canvases = inputs
    if settings["pretext"] != "none":
        augmentation = options.get("augmentation", loader_defaults()["augmentation"])
        # The cutout is made in the input, over tiles that have moved.
        uncut = {"augmentation": replace(resolve_augmentation(augmentation), cutout=0.0)}
        views = canvases = render(loader(pretext="none", **uncut))
        if (side := canvas_side(settings)) != settings["size"]:
            canvases = render(loader(pretext="none", size=side, **uncut))
    return Preview(
        dataset=dataset,
        index=rows.astype(np.int64),
        seed=seed,
        epoch=epoch,
        settings=settings,
        params=params,
        crop=render(loader(pretext="none", augmentation="none", views=1)),
        canvases=canvases,
        views=views,
        inputs=inputs,
        bad=bad,
    )


def canvas_side(settings: Mapping[str, Any]) -> int:
    """Return the side in px of what is cut into tiles: the next that the grid divides."""
    size, grid = settings["size"], settings["grid"] if settings["pretext"] != "none" else 1
    return int(grid * -(-size // grid))


def loader_defaults() -> dict[str, Any]:
    """Return the loader's settings where none are given."""
    parameters = inspect.signature(Loader).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def noise_deviation(scale: int) -> float:
    """Return the standard deviation in grey levels of noise whose params have this scale."""
    return 255.0 * scale / _core.noise_scale(1.0)


def source_image(dataset: Dataset, sample: int, *, exif: str = "refuse") -> Pixels:
    """Return the whole source image (H, W, 3) of a sample; raise DecodeError where it is bad."""
    extent = dataset.extent[[sample]]
    path = os.fsencode(dataset.root / dataset.files[extent["file"][0]])
    extent["file"] = 0
    decoded = _core.decode(
        _core.read_extent([path], extent),
        int(extent["codec"][0]),
        path,
        height=int(extent["height"][0]),
        width=int(extent["width"][0]),
        ignore_exif=exif == "ignore",
    )
    pixels: Pixels = decoded["planes"][0]["pixels"]
    return pixels
