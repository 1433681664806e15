"""The samples of several splits as one table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import EXTENT_DTYPE, Columns, number_names, sample_name
from hmtl.data.packing.label import key_of

_NO_SAMPLES = Columns(
    files=(),
    extent=np.empty(0, dtype=EXTENT_DTYPE),
    pose=np.empty((0, 3), dtype=np.float32),
    face=np.empty((0, 4), dtype=np.float32),
    box=np.empty((0, 4), dtype=np.float32),
    subject=np.empty(0, dtype=np.int32),
    subjects=(),
)


def union(parts: Sequence[Columns]) -> Columns:
    """Return the samples of all parts; of an image, those of the first part that has it."""
    if len(parts) == 1:
        return parts[0]
    files: dict[str, int] = {}
    subjects: dict[str, int] = {}
    taken = [_NO_SAMPLES]
    seen = np.empty(0, dtype=np.int64)
    for part in parts:
        extent = part.extent.copy()
        extent["file"] = number_names(part.files, files)[extent["file"]]
        keys = image_keys(extent)
        new = ~np.isin(keys, seen)
        seen = np.concatenate([seen, keys[new]])
        taken.append(
            Columns(
                files=(),
                extent=extent[new],
                pose=part.pose[new],
                face=part.face[new],
                box=part.box[new],
                subject=number_names(part.subjects, subjects)[part.subject[new]],
                subjects=(),
            )
        )
    return Columns(
        files=tuple(files),
        extent=np.concatenate([part.extent for part in taken]),
        pose=np.concatenate([part.pose for part in taken]),
        face=np.concatenate([part.face for part in taken]),
        box=np.concatenate([part.box for part in taken]),
        subject=np.concatenate([part.subject for part in taken]),
        subjects=tuple(subjects),
    )


def image_keys(extent: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return a number (N,) for each extent; extents of one image have the same."""
    files: npt.NDArray[np.int64] = extent["file"].astype(np.int64)
    return (files << 32) + extent["row"].astype(np.int64)


def name_of(samples: Columns, number: int) -> str:
    """Return what a sample is called in what is found: its image, or its shard and key."""
    extent = samples.extent[number]
    file, row = samples.files[extent["file"]], int(extent["row"])
    if samples.origin is None:
        return sample_name(file, row)
    origin = samples.origin[number]
    name = sample_name(samples.origins[origin["file"]], origin["row"])
    if samples.packings:
        return f"{file}/{key_of(row, name)}"
    # Labels without a name have that of their shard and key.
    return name if name.startswith(f"{file}/") else f"{file}/{name}"
