"""Makes `render.npz`, the bytes that this project once rendered and is held to.

`python tests/golden/generate.py` adds the entries that are missing and refuses to change others;
`python tests/golden/generate.py NAME …` makes those entries, or all of NAME/…, anew. A change of an
entry is a change of what a seed stands for: it needs a reason, and its line in the changelog.
Inputs are integer formulas in lossless files, so that no decoder's rounding enters.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the helpers of the tests

from hdf5_trees import write_subject

from hmtl import _core
from hmtl.data import Augmentation, Dataset, Loader, open_dataset
from hmtl.data.augmentation import resolve_augmentation

FILE = Path(__file__).with_name("render.npz")

Arrays = dict[str, npt.NDArray[Any]]

COUNT = 2
SEED = 2**33 + 5
LABELS = ("permutation", "turns")
BARLOW = resolve_augmentation("barlow")

EVERYTHING = Augmentation(
    margin=(0.5, 1.5),
    area=(0.3, 1.0),
    mirror=0.5,
    color=0.7,
    brightness=(0.6, 1.4),
    contrast=(0.6, 1.4),
    saturation=(0.8, 1.2),
    hue=(-36.0, 36.0),
    grey=0.3,
    blur=0.5,
    down_scale=0.5,
    down_scale_to=(0.3, 0.5),
    cutout=0.6,
    cutout_area=(0.02, 0.3),
)


def picture(number: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return RGB pixels (height, width, 3): slopes with a bright and a dark disc."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack(
        [
            40 + 2 * x + (x * y) // 40,
            200 - 2 * y + number * 9,
            90 + number * 20 + (x * x + y * y) // 90,
        ],
        axis=-1,
    )
    image[(x - width // 3) ** 2 + (y - height // 2) ** 2 < (height // 5) ** 2] = (250, 190, 20)
    image[(x - width // 2) ** 2 + (y - height // 4) ** 2 < (width // 9) ** 2] = (10, 30, 130)
    return np.clip(image, 0, 255).astype(np.uint8)


def png_files(root: Path) -> Dataset:
    """Write oblong PNG files; the last face leaves its picture."""
    for number in range(COUNT):
        Image.fromarray(picture(number, 61, 75)).save(root / f"{number}.png")
    rows = [
        f"{number}.png,0,0,1,1,{20 * number - 15},{7 - number},{3 * number}"
        for number in range(COUNT)
    ]
    table = root / "labels.csv"
    table.write_text("path,x0,y0,x1,y1,yaw,pitch,roll\n" + "\n".join(rows) + "\n")
    face = np.array([[9.5, 14.25, 57, 55], [30, 20, 70, 60]], np.float32)
    margin = np.array([-7, -11, 6, 5], np.float32)
    return replace(open_dataset(table), face=face, box=face + margin)


def lzf_chunks(root: Path) -> Dataset:
    """Write the pictures as ETH-XGaze has them: blue first, in chunks of an HDF5 file."""
    images = np.stack([picture(number, 52, 52) for number in range(COUNT)])
    labels = np.deg2rad([[5.0, -20.0], [-10.0, 30.0]])
    write_subject(root / "train" / "subject0000.h5", images[..., ::-1], labels)
    return open_dataset(root, layout="eth-xgaze")


SOURCES = {"png": png_files, "lzf": lzf_chunks}

# name: (source, settings of the loader)
RENDERED: dict[str, tuple[str, dict[str, Any]]] = {
    name: (
        source,
        {
            "augmentation": augmentation,
            "pretext": pretext,
            "grid": grid,
            "size": size,
            "views": 2 if augmentation == "barlow" else 1,
        },
    )
    for name, source, augmentation, pretext, grid, size in (
        ("none", "lzf", "none", "none", 3, 48),
        ("none-puzzle", "png", "none", "puzzle", 3, 32),
        ("level1", "png", "level1", "none", 3, 33),
        ("level1-rotation", "lzf", "level1", "rotation", 2, 33),
        ("level2", "lzf", "level2", "none", 3, 33),
        ("level2-puzzle", "png", "level2", "puzzle", 3, 32),
        ("level2-rotation", "png", "level2", "rotation", 3, 33),
        ("level2-puzzle-rotation", "lzf", "level2", "puzzle-rotation", 2, 33),
        ("xgaze-puzzle", "lzf", "xgaze", "puzzle", 2, 24),
        ("xgaze-heavy", "lzf", "xgaze-heavy", "none", 3, 33),
        ("barlow", "png", "barlow", "none", 3, 33),
        ("barlow-puzzle", "lzf", "barlow", "puzzle", 3, 24),
    )
}


def rendered(name: str, root: Path) -> Arrays:
    """Render epoch 2 of a source; return pixels (V, N, S, S, 3) and labels."""
    source, options = RENDERED[name]
    folder = root / name
    folder.mkdir()
    loader = Loader(
        SOURCES[source](folder), batch_size=COUNT, shuffle=False, seed=SEED, num_threads=1,
        decode="rgb", **options,
    )  # fmt: skip
    loader.set_epoch(2)
    batch = next(iter(loader))
    arrays: Arrays = {
        "pixels": np.stack([view.permute(0, 2, 3, 1).numpy() for view in batch.views]),
        "pose": batch.pose.numpy(),
    }
    for label in LABELS:
        if (numbers := getattr(batch, label)) is not None:
            arrays[label] = numbers.numpy().astype(np.uint8)
    return {f"{name}/{key}": value for key, value in arrays.items()}


def words() -> Arrays:
    """Return Philox words (16, 4) of counters with one, then many bits."""
    counters = [[1 << 2 * i, i, 0, 0] for i in range(8)] + [
        [i * 0x01234567, ~i & 0xFFFFFFFF, i << 30 & 0xFFFFFFFF, i * i] for i in range(8)
    ]
    keys = [[i, 0x89ABCDEF] for i in range(16)]
    drawn = [_core.philox(counter=c, key=k) for c, k in zip(counters, keys, strict=True)]
    return {"philox/words": np.array(drawn, dtype=np.uint32)}


def orders() -> Arrays:
    """Return the orders (4, 50) of four epochs."""
    drawn = [_core.epoch_order(seed=SEED, epoch=epoch, count=50) for epoch in range(4)]
    return {"order/epochs": np.array(drawn, dtype=np.uint8)}


def params() -> Arrays:
    """Return what is drawn for three samples in two views, field by field."""
    fields = ("box", "color", "down_scale", "cutout", "mirror", "blur", "puzzled", *LABELS)
    own = ("turn", "noise_scale", "noise")
    return fields_of("params", EVERYTHING, fields) | fields_of(
        "params-barlow", BARLOW, fields + own
    )


def fields_of(name: str, augmentation: Augmentation, fields: tuple[str, ...]) -> Arrays:
    face = np.array([[100, 110, 250.5, 260.25], [40, 50, 90, 130], [7, 9, 11, 30]], np.float32)
    drawn = _core.draw_params(
        settings=_core.DrawSettings(
            augmentation=augmentation.to_core(),
            fit=0,
            pretext=3,
            grid=3,
            size=224,
            puzzled_fraction=0.9,
        ),
        seed=SEED,
        epoch=3,
        samples=np.array([0, 122_449, 2**31], dtype=np.int64),
        views=2,
        face=face,
        box=face + np.array([-20, -40, 20, 10], np.float32),
    )
    return {f"{name}/{field}": plain(drawn[field], field) for field in fields}


def plain(values: npt.NDArray[Any], field: str) -> npt.NDArray[Any]:
    """Return a field without structure, and of the labels the nine cells that there are."""
    if field in LABELS:
        return values[..., :9].copy()
    if field == "color":
        return values["m"].copy()
    if values.dtype.names is None:
        return values.copy()
    parts = [values[part].reshape(*values.shape, -1) for part in values.dtype.names]
    return np.concatenate(parts, axis=-1)


def goldens(root: Path) -> Arrays:
    """Make all entries; `root` is an empty folder for their inputs."""
    entries = words() | orders() | params()
    for name in RENDERED:
        entries |= rendered(name, root)
    return entries


def main(names: list[str]) -> None:
    kept: Arrays = dict(np.load(FILE)) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as root:
        made = goldens(Path(root))
    for key, value in made.items():
        if key not in kept or not {key, key.split("/")[0]}.isdisjoint(names):
            kept[key] = value
        elif not np.array_equal(kept[key], value, equal_nan=value.dtype.kind == "f"):
            sys.exit(f"{key} is no longer what it was; name it to replace it")
    np.savez_compressed(FILE, **kept)


if __name__ == "__main__":
    main(sys.argv[1:])
