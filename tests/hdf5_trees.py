"""Builders of HDF5 files and of ETH-XGaze trees, true to the structure of the published ones."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

SIDES = (9, 8)
"""Height and width of the patches, px: different, so that they cannot be exchanged."""

Images = npt.NDArray[np.uint8]


def patches(count: int, sides: tuple[int, int] = SIDES, seed: int = 0) -> Images:
    """Return images (N, height, width, 3); every third is noise, which LZF cannot make smaller."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, *sides, 3), dtype=np.uint8)
    smooth = np.cumsum(noise[:, :, :1] % 3, axis=1, dtype=np.uint8)
    smooth = np.broadcast_to(smooth, noise.shape) + np.array([0, 40, 90], dtype=np.uint8)
    return np.where((np.arange(count) % 3 == 1)[:, None, None, None], noise, smooth)


def write_images(
    path: Path,
    images: Images,
    *,
    rows: Iterable[int] | None = None,
    userblock_size: int = 0,
    libver: str | None = None,
    **storage: Any,
) -> Path:
    """Write the data set face_patch, stored as `create_dataset` is told, and no other.

    `rows` are those that are written, else all; a user block is filled with 0xAB.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=userblock_size, libver=libver) as file:
        made = file.create_dataset("face_patch", images.shape, np.uint8, **storage)
        for row in range(len(images)) if rows is None else rows:
            made[row] = images[row]
    if userblock_size:
        with path.open("r+b") as raw:
            raw.write(b"\xab" * userblock_size)
    return path


def write_virtual(path: Path, images: Images) -> None:
    """Write images into other.h5, and into `path` a data set that HDF5 fills from there."""
    write_images(path.with_name("other.h5"), images)
    layout = h5py.VirtualLayout(images.shape, np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "face_patch", images.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("face_patch", layout)


def write_external(path: Path, images: Images) -> None:
    """Write a data set whose values lie in raw.bin."""
    places = [(os.fspath(path.with_name("raw.bin")), 0, h5py.h5f.UNLIMITED)]
    write_images(path, images, external=places)


def write_compact(path: Path, images: Images) -> None:
    """Write images, of 64 kB at most, into the header of their data set."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    write_images(path, images, dcpl=properties)


def write_linked(path: Path, images: Images, **storage: Any) -> None:
    """Write images into other.h5, and into `path` a link to them."""
    write_images(path.with_name("other.h5"), images, **storage)
    with h5py.File(path, "w") as file:
        file["face_patch"] = h5py.ExternalLink("other.h5", "/face_patch")


def angles(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return face_head_pose (N, 2): pitch, yaw in radians."""
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (count, 2))


def write_subject(
    path: Path,
    images: Images,
    labels: npt.ArrayLike | None,
    *,
    gaze: bool = True,
    **storage: Any,
) -> Path:
    """Write one subject's file as its authors' script does, except for what is asked for.

    The labels are kept in their type; None leaves them out.
    """
    options: dict[str, Any] = {"chunks": (1, *images.shape[1:]), "compression": "lzf"}
    write_images(path, images, **(options | storage))
    with h5py.File(path, "r+") as file:
        count = len(images)
        if labels is not None:
            file.create_dataset("face_head_pose", data=labels, chunks=(1, 2))
        if gaze:
            file.create_dataset("face_gaze", data=np.zeros((count, 2)), chunks=(1, 2))
        file.create_dataset("face_mat_norm", data=np.zeros((count, 3, 3)), chunks=(1, 3, 3))
        for name in ("frame_index", "cam_index"):
            file.create_dataset(name, data=np.zeros((count, 1), dtype=int), chunks=(1, 1))
    return path


def write_split(root: Path, **lists: Any) -> Path:
    """Write the split file; the lists hold what they are given."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "train_test_split.json"
    path.write_text(json.dumps(lists))
    return path


def subject_file(number: int) -> str:
    """Return the name of a subject's file."""
    return f"subject{number:04}.h5"


def write_xgaze(
    root: Path,
    *,
    train: Iterable[int] = (),
    test: Iterable[int] = (),
    person_specific: Iterable[int] = (),
    count: int = 3,
    listed: bool = True,
) -> Path:
    """Write files of so many images for subjects by number, and the split file unless told not to.

    Test files have no gaze. Return `root`.
    """
    lists = {"train": train, "test": test, "test_person_specific": person_specific}
    names: dict[str, list[str]] = {folder: [] for folder in lists}
    for folder, numbers in lists.items():
        for number in numbers:
            names[folder].append(subject_file(number))
            images = patches(count, seed=number)
            labels = angles(count, seed=number)
            write_subject(root / folder / names[folder][-1], images, labels, gaze=folder == "train")
    if listed:
        write_split(root, **names)
    return root
