"""Rows of a dataset to pixels and labels: what is rendered, and the queue that renders it ahead."""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from hmtl import _core
from hmtl.data.arguments import check_choice, real_number, whole_number
from hmtl.data.augmentation import Augmentation
from hmtl.data.batch import Batch
from hmtl.data.buffers import BufferPool, Pixels
from hmtl.data.dataset import Dataset
from hmtl.data.packing.record import Fit, check_covered
from hmtl.errors import ConfigError
from hmtl.pose import in_plane_turn

PADDING = -1
"""Index of a row that only fills up a rank's last batch."""

Pretext = Literal["none", "puzzle", "rotation", "puzzle-rotation"]
Decode = Literal["planes", "rgb"]

# Numbers of the core's enumerations.
_PRETEXTS = {"none": 0, "puzzle": 1, "rotation": 2, "puzzle-rotation": 3}
_FITS = {"short-side": 0, "stretch": 1}
_MAX_GRID = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderOptions:
    """All that shapes the pixels and labels of a sample, beside seed, epoch and sample."""

    size: int
    """Side of the square output, px."""
    augmentation: Augmentation
    pretext: Pretext
    grid: int
    """Tiles per side; 1 where the pretext task is none."""
    views: int
    fit: Fit
    decode: Decode
    puzzled_fraction: float
    exif: Literal["refuse", "ignore"]
    max_pixels: int

    def __post_init__(self) -> None:
        check_choice("pretext", self.pretext, _PRETEXTS)
        check_choice("fit", self.fit, _FITS)
        check_choice("decode", self.decode, ("planes", "rgb"))
        check_choice("exif", self.exif, ("refuse", "ignore"))
        self._make_whole("size", 8, 4096)
        self._make_whole("views", 1, 64)
        self._make_whole("max_pixels", 1, 2**40)
        fraction = real_number("puzzled_fraction", self.puzzled_fraction, 0.0, 1.0)
        object.__setattr__(self, "puzzled_fraction", fraction)
        if self.pretext == "none":
            object.__setattr__(self, "grid", 1)
            return
        self._make_whole("grid", 2, _MAX_GRID)
        if -(-self.size // self.grid) * (self.grid - 1) >= self.size:
            raise ConfigError(
                f"grid {self.grid} is too fine for size {self.size}: tiles would be cut off"
            )

    def _make_whole(self, name: str, low: int, high: int) -> None:
        object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))

    @property
    def has_permutation(self) -> bool:
        return self.pretext in ("puzzle", "puzzle-rotation")

    @property
    def has_turns(self) -> bool:
        return self.pretext in ("rotation", "puzzle-rotation")

    def draw_settings(self) -> _core.DrawSettings:
        return _core.DrawSettings(
            augmentation=self.augmentation.to_core(),
            fit=_FITS[self.fit],
            pretext=_PRETEXTS[self.pretext],
            grid=self.grid,
            size=self.size,
            puzzled_fraction=self.puzzled_fraction,
        )

    def render_settings(self) -> _core.RenderSettings:
        return _core.RenderSettings(
            size=self.size,
            grid=self.grid,
            planes=self.decode == "planes",
            ignore_exif=self.exif == "ignore",
            max_pixels=self.max_pixels,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        values = asdict(self)
        values["augmentation"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values["augmentation"].items()
        }
        return values


@dataclass(slots=True, eq=False)
class Pending:
    """A batch on its way. Threads write to its arrays until it is finished."""

    ticket: int
    index: npt.NDArray[np.int64]
    """(N,) rows of the dataset; padding comes last."""
    images: list[Pixels]
    """V arrays (N, S, S, 3)."""
    puzzled: npt.NDArray[np.bool_]
    permutation: npt.NDArray[np.int64]
    """(N, V, T), like `turns`."""
    turns: npt.NDArray[np.int64]
    pose: npt.NDArray[np.float32]

    def copy_row(self, row: int, other: "Pending") -> None:
        """Take over the one row of another finished batch."""
        self.index[row] = other.index[0]
        for view, other_view in zip(self.images, other.images, strict=True):
            view[row] = other_view[0]
        for name in ("puzzled", "permutation", "turns", "pose"):
            getattr(self, name)[row] = getattr(other, name)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What became of a batch."""

    bad: list[tuple[int, str]]
    """Rows that could not be rendered, and why."""
    warnings: int
    """Of the decoder."""
    seconds: dict[str, float]
    """By stage, of all threads together."""


class Renderer:
    """Renders rows of a dataset on threads of the compiled core, first come, first served."""

    def __init__(
        self,
        dataset: Dataset,
        options: RenderOptions,
        *,
        seed: int,
        threads: int,
        buffers: BufferPool,
    ) -> None:
        check_covered(dataset.packings, margin=options.augmentation.margin[1], fit=options.fit)
        self._dataset = dataset
        self._options = options
        self._seed = seed
        self._buffers = buffers
        self._draw_settings = options.draw_settings()
        self._render_settings = options.render_settings()
        # As bytes: names on disk need not be UTF-8.
        paths = [os.fsencode(path) for path in dataset.paths()]
        self._core = _core.BatchRenderer(paths, threads)

    def draw(self, rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[Any]:
        """Return the params (N, V) of these rows."""
        return _core.draw_params(
            settings=self._draw_settings,
            seed=self._seed,
            epoch=epoch,
            samples=rows,
            views=self._options.views,
            face=self._dataset.face[rows],
            box=self._dataset.box[rows],
        )

    def start(self, index: npt.NDArray[np.int64], epoch: int) -> Pending:
        """Begin to render these rows; where `index` is PADDING, rows stay black."""
        images = [self._buffers.take()[: len(index)] for _ in range(self._options.views)]
        return self._start(index, epoch, images, urgent=False)

    def start_row(self, row: int, epoch: int) -> Pending:
        """Begin to render one row, before all that was started earlier."""
        size = self._options.size
        images = [np.empty((1, size, size, 3), np.uint8) for _ in range(self._options.views)]
        return self._start(np.array([row], dtype=np.int64), epoch, images, urgent=True)

    def _start(
        self, index: npt.NDArray[np.int64], epoch: int, images: list[Pixels], *, urgent: bool
    ) -> Pending:
        real, count = np.count_nonzero(index != PADDING), len(index)
        rows = index[:real]
        views, tiles = self._options.views, self._options.grid**2
        params = self.draw(rows, epoch)
        pending = Pending(
            ticket=-1,
            index=index,
            images=images,
            puzzled=np.zeros(count, dtype=np.bool_),
            permutation=np.zeros((count, views, tiles), dtype=np.int64),
            turns=np.zeros((count, views, tiles), dtype=np.int64),
            pose=np.full((count, 3), np.nan, dtype=np.float32),
        )
        pending.puzzled[:real] = params["puzzled"][:, 0] != 0
        pending.pose[:real] = self._turned_pose(rows, params["turn"][:, 0])
        for view in pending.images:
            view[real:] = 0
        pending.ticket = self._core.submit(
            extent=self._dataset.extent[rows],
            params=params,
            images=[view[:real] for view in pending.images],
            permutation=pending.permutation[:real],
            turns=pending.turns[:real],
            pose=pending.pose[:real],
            settings=self._render_settings,
            urgent=urgent,
        )
        return pending

    def _turned_pose(
        self, rows: npt.NDArray[np.int64], quarters: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        """Return the poses (N, 3) of rows after counter-clockwise turns of the whole image."""
        poses = self._dataset.pose[rows]
        turned = quarters != 0
        if turned.any():
            clockwise = -90.0 * quarters[turned]
            poses[turned] = in_plane_turn(poses[turned], clockwise, self._dataset.convention)
        return poses

    def finish(self, pending: Pending) -> Finished:
        """Wait for a batch; whatever ends the wait early, as Ctrl-C does, gives the batch up."""
        try:
            bad, warnings, seconds = self._core.wait(pending.ticket)
        except BaseException:
            self.cancel(pending)
            raise
        return Finished(bad=bad, warnings=warnings, seconds=seconds)

    def is_whole(self, pending: Pending) -> bool:
        """Return whether `finish` would not wait, and find no row that could not be rendered."""
        return self._core.is_whole(pending.ticket)

    def cancel(self, pending: Pending) -> None:
        """Give a batch up, without waiting; its memory is kept as long as threads write to it."""
        self._core.cancel(pending.ticket)

    def close(self) -> None:
        """Join the threads."""
        self._core.close()

    def to_batch(self, pending: Pending, valid: npt.NDArray[np.bool_]) -> Batch:
        """Return a finished batch as tensors; rows that are not valid are black."""
        if not valid.all():
            for view in pending.images:
                view[~valid] = 0

        def labels(numbers: npt.NDArray[np.int64]) -> torch.Tensor:
            tensor = torch.from_numpy(numbers)
            return tensor if self._options.views > 1 else tensor[:, 0]

        return Batch(
            views=tuple(torch.from_numpy(view).permute(0, 3, 1, 2) for view in pending.images),
            pose=torch.from_numpy(pending.pose),
            permutation=labels(pending.permutation) if self._options.has_permutation else None,
            turns=labels(pending.turns) if self._options.has_turns else None,
            index=torch.from_numpy(pending.index),
            valid=torch.from_numpy(valid),
            puzzled=torch.from_numpy(pending.puzzled & valid),
        )
