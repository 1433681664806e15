"""The dataset: a columnar, immutable table of samples."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hmtl import pose as poses
from hmtl.data.columns import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    ORIGIN_DTYPE,
    as_column,
    number_names,
    sample_names,
)
from hmtl.data.packing.record import Packing
from hmtl.errors import DataError
from hmtl.pose import Convention


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """N samples: where their bytes lie, where the face is, how the head is turned, who it is.

    The arrays are read-only views of what is passed in.
    """

    root: Path
    layout: str
    crop: str
    """The crop rule that made `box`."""
    files: tuple[str, ...]
    """File paths below the root, with "/"."""
    extent: npt.NDArray[Any]
    """(N,) of EXTENT_DTYPE; `file` is a row of `files`, `codec` a `Codec`."""
    pose: npt.NDArray[np.float32]
    """(N, 3) yaw, pitch, roll in degrees; NaN where the data set has no roll."""
    face: npt.NDArray[np.float32]
    """(N, 4) x0, y0, x1, y1 in pixels: the tight box of the face."""
    box: npt.NDArray[np.float32]
    """(N, 4) x0, y0, x1, y1 in pixels: what is cropped at evaluation; may leave the image."""
    subject: npt.NDArray[np.int32]
    """(N,) rows of `subjects`."""
    subjects: tuple[str, ...]
    convention: Convention = "euler"
    """What `pose` holds: Euler angles, or the yaw and pitch of the facing direction."""
    split: str | None = None
    """The published split that was opened, of a data set that has some."""
    boxes: str = ""
    """Where the boxes come from, of a layout that has a choice."""
    origin: npt.NDArray[Any] | None = None
    """(N,) of ORIGIN_DTYPE, of packed samples: `file` is a row of `origins`; else None."""
    origins: tuple[str, ...] = ()
    """The files that packed samples were made from, below the source's root."""
    packings: tuple[Packing, ...] = ()
    """How packed samples were packed: one, or several of a `concat`."""
    fingerprint: str
    """Changes with the files, the layout, the crop rule and the choice of samples."""

    def __post_init__(self) -> None:
        for name in (*COLUMNS, *OPTIONAL_COLUMNS):
            if name in OPTIONAL_COLUMNS and getattr(self, name) is None:
                continue
            column = as_column(name, getattr(self, name), len(self.extent)).view()
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.extent)

    @property
    def name(self) -> list[str]:
        """The path of each sample below the root, made on access.

        Where a file holds several, the number of the image follows: "train/subject0003.h5#17".
        Packed samples have the names of those that they were made from.
        """
        return sample_names(self)

    def paths(self) -> list[str]:
        """Return the paths of `files` with the root before them.

        A name that is not UTF-8 holds surrogates; `os.fsencode` gives the bytes on disk.
        """
        root = os.fspath(self.root)
        return [f"{root}/{name}" for name in self.files]

    def subset(self, samples: npt.ArrayLike) -> Self:
        """Return the dataset of some samples: a boolean mask (N,) or ids (M,), in their order.

        Raises IndexError for an id outside [0, N), a mask of another length or other values.
        """
        ids = self._ids(samples)
        digest = hashlib.sha256(self.fingerprint.encode() + ids.astype("<i8").tobytes())
        return replace(
            self,
            extent=self.extent[ids],
            pose=self.pose[ids],
            face=self.face[ids],
            box=self.box[ids],
            subject=self.subject[ids],
            origin=None if self.origin is None else self.origin[ids],
            fingerprint=digest.hexdigest(),
        )

    def converted(self, convention: Convention) -> Self:
        """Return the dataset with its poses in this convention; a roll not known is NaN."""
        if convention == self.convention:
            return self
        digest = hashlib.sha256(f"{self.fingerprint} {convention}".encode())
        return replace(
            self,
            pose=poses.convert(self.pose, self.convention, convention).astype(np.float32),
            convention=convention,
            fingerprint=digest.hexdigest(),
        )

    def split_by_subject(self, fraction: float, seed: int) -> tuple[Self, Self]:
        """Return two datasets without a common subject, the first with about so many samples.

        `fraction` of the samples, as near as whole subjects allow, go to the first. Raises
        ValueError unless it lies in (0, 1) and there are two subjects.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fraction must lie in (0, 1), got {fraction}")
        present, counts = np.unique(self.subject, return_counts=True)
        if len(present) < 2:
            raise ValueError(f"a split needs two subjects, got {len(present)} in {self.root}")
        order = np.random.default_rng(seed).permutation(len(present))
        taken = np.cumsum(counts[order])[:-1]
        first = present[order[: np.argmin(np.abs(taken - fraction * len(self))) + 1]]
        mask = np.isin(self.subject, first)
        return self.subset(mask), self.subset(~mask)

    def _ids(self, samples: npt.ArrayLike) -> npt.NDArray[np.int64]:
        values = np.asarray(samples)
        if values.ndim != 1 or not (values.dtype.kind in "biu" or values.size == 0):
            raise IndexError(
                f"samples must be a mask or ids of one dimension, got {values.dtype} "
                f"of shape {values.shape}"
            )
        if values.dtype.kind == "b":
            if len(values) != len(self):
                raise IndexError(f"a mask of {len(values)} does not fit {len(self)} samples")
            return np.flatnonzero(values).astype(np.int64)
        outside = values[(values < 0) | (values >= len(self))]
        if outside.size:
            raise IndexError(f"sample ids must lie in [0, {len(self)}), got {outside[0]}")
        return values.astype(np.int64)


def concat(datasets: Sequence[Dataset], convention: Convention | None = None) -> Dataset:
    """Return the samples of all datasets, one after the other.

    The root becomes the common parent and is put before files and subjects, so that equal names
    under different roots stay apart. Poses of another convention than the one that is named are
    converted; raises DataError when the conventions differ and none is named.
    """
    if not datasets:
        raise ValueError("concat needs at least one dataset, got none")
    if convention is None:
        if len({dataset.convention for dataset in datasets}) > 1:
            roots = ", ".join(f"{dataset.root} ({dataset.convention})" for dataset in datasets)
            raise DataError(
                f"datasets must agree on the pose convention, or name the one to convert to, "
                f"got {roots}"
            )
        convention = datasets[0].convention
    datasets = [dataset.converted(convention) for dataset in datasets]
    root = Path(os.path.commonpath([dataset.root for dataset in datasets]))
    files: dict[str, int] = {}
    subjects: dict[str, int] = {}
    origins: dict[str, int] = {}
    extents, subject, origin = [], [], []
    for dataset in datasets:
        below = PurePosixPath(dataset.root.relative_to(root))
        extent = dataset.extent.copy()
        extent["file"] = _merge(files, below, dataset.files)[extent["file"]]
        extents.append(extent)
        subject.append(_merge(subjects, below, dataset.subjects)[dataset.subject])
        origin.append(_merged_origin(origins, below, dataset))
    digest = hashlib.sha256("\0".join(dataset.fingerprint for dataset in datasets).encode())
    are_packed = any(dataset.origin is not None for dataset in datasets)
    return Dataset(
        root=root,
        layout=_joined(dataset.layout for dataset in datasets),
        crop=_joined(dataset.crop for dataset in datasets),
        files=tuple(files),
        extent=np.concatenate(extents),
        pose=np.concatenate([dataset.pose for dataset in datasets]),
        face=np.concatenate([dataset.face for dataset in datasets]),
        box=np.concatenate([dataset.box for dataset in datasets]),
        subject=np.concatenate(subject),
        subjects=tuple(subjects),
        convention=convention,
        split=_joined(dataset.split or "" for dataset in datasets) or None,
        boxes=_joined(dataset.boxes for dataset in datasets),
        origin=np.concatenate(origin) if are_packed else None,
        origins=tuple(origins) if are_packed else (),
        packings=tuple(dict.fromkeys(p for dataset in datasets for p in dataset.packings)),
        fingerprint=digest.hexdigest(),
    )


def within_range(pose: npt.ArrayLike, limit: float = 99.0) -> npt.NDArray[np.bool_]:
    """Return which poses (N, 3) have no angle beyond ±`limit` degrees; NaN angles do not count."""
    angles = np.asarray(pose)
    inside = (np.abs(angles) <= limit) | np.isnan(angles)
    return np.asarray(inside.all(axis=-1))


def _joined(values: Iterable[str]) -> str:
    return "+".join(dict.fromkeys(filter(None, values)))


def _merge(
    numbers: dict[str, int], below: PurePosixPath, names: tuple[str, ...]
) -> npt.NDArray[np.int32]:
    """Number `names`, prefixed with a folder, among those already numbered; return the numbers."""
    prefix = "" if below == PurePosixPath() else f"{below}/"
    return number_names((prefix + name for name in names), numbers)


def _merged_origin(
    numbers: dict[str, int], below: PurePosixPath, dataset: Dataset
) -> npt.NDArray[Any]:
    """Return where the samples of a dataset come from: their own files, if they are not packed."""
    own, names = dataset.origin, dataset.origins
    if own is None:
        own, names = dataset.extent, dataset.files
    origin = np.empty(len(dataset), dtype=ORIGIN_DTYPE)
    origin["file"] = _merge(numbers, below, names)[own["file"]]
    origin["row"] = own["row"]
    return origin
