"""Rows of a dataset to decoded pictures, of which a device makes images and labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hmtl import _core
from hmtl.data.by_engine import ByEngine
from hmtl.data.dataset import Dataset
from hmtl.data.device_render import DeviceRenderer
from hmtl.data.drawing import real_rows
from hmtl.data.engine import Engine, Finished, Pictures, Work
from hmtl.data.options import RenderOptions
from hmtl.pose import mirror


@dataclass(slots=True, eq=False)
class Decoding:
    """A batch on its way. Threads write to its pictures until it is finished."""

    ticket: Any
    """What the engine calls it."""
    index: npt.NDArray[np.int64]
    """(N,) rows of the dataset; padding comes last."""
    params: npt.NDArray[Any]
    """(N, V)."""
    pictures: Pictures
    """Of the rows in front of the padding; once finished, with offsets in its pixels."""
    pose: npt.NDArray[np.float32]

    def copy_row(self, row: int, other: "Decoding") -> None:
        """Take over the one row of another finished batch, into memory with room for it."""
        mine, theirs = self.pictures, other.pictures
        mine.sources[row] = theirs.sources[0]
        mine.sources["pixels"][row] += np.uint64(len(mine.pixels))
        mine.elsewhere[row] = False
        # Not pinned: the copy to a GPU waits, which bad files are rare enough for.
        mine.pixels = np.concatenate([mine.pixels, theirs.pixels])
        for name in ("index", "params", "pose"):
            getattr(self, name)[row] = getattr(other, name)[0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedBatch:
    """A finished batch without its images, which a device is to make of what was decoded."""

    pictures: Pictures
    """(N,)."""
    params: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]
    pose: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]
    options: RenderOptions
    render: Callable[..., Any]
    """`DeviceRenderer.render` of the device."""

    def labels(self) -> dict[str, Tensor]:
        """Return what there is beside the images and what they show, by name."""
        puzzled = (self.params["puzzled"][:, 0] != 0) & self.valid
        return {
            "pose": torch.from_numpy(self.pose),
            "index": torch.from_numpy(self.index),
            "valid": torch.from_numpy(self.valid),
            "puzzled": torch.from_numpy(puzzled),
        }

    def images_on(self, device: torch.device) -> dict[str, Any]:
        """Return the images and what they show; on a GPU by work on the present stream."""
        pictures = self.pictures
        # Pinned where a GPU takes them.
        pixels = torch.from_numpy(pictures.pixels).to(device, non_blocking=True)
        rendered = self.render(
            pixels, pictures.sources, self.params, self.valid, pictures.elsewhere
        )

        def label(numbers: Tensor) -> Tensor:
            return numbers if self.options.views > 1 else numbers[:, 0]

        return {
            "views": rendered.views,
            "permutation": label(rendered.permutation) if self.options.has_permutation else None,
            "turns": label(rendered.turns) if self.options.has_turns else None,
        }


class DecodingRenderer(ByEngine[Decoding]):
    """Does what `Renderer` does, up to pixels that a device renders."""

    def __init__(
        self,
        dataset: Dataset,
        options: RenderOptions,
        engine: Engine[Any],
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        """Take an engine whose targets are Pictures."""
        super().__init__(dataset, options, engine, seed=seed)
        self._device = DeviceRenderer(size=options.size, grid=options.grid, device=device)

    def start(self, index: npt.NDArray[np.int64], epoch: int) -> Decoding:
        """Begin to decode these rows; where `index` is PADDING, rows become black."""
        return self._start(index, epoch, urgent=False)

    def start_row(self, row: int, epoch: int) -> Decoding:
        """Begin to decode one row, before all that was started earlier."""
        return self._start(np.array([row], dtype=np.int64), epoch, urgent=True)

    def _start(self, index: npt.NDArray[np.int64], epoch: int, *, urgent: bool) -> Decoding:
        rows, count = real_rows(index), len(index)
        drawn = self._drawing.params(rows, epoch)
        decoding = Decoding(
            ticket=-1,
            index=index,
            params=np.zeros((count, self._options.views), drawn.dtype),
            pictures=Pictures(
                sources=np.zeros(len(rows), _core.DECODED_SOURCE),
                pixels=np.empty(0, np.uint8),
                elsewhere=np.zeros(len(rows), np.bool_),
            ),
            pose=np.full((count, 3), np.nan, dtype=np.float32),
        )
        decoding.params[: len(rows)] = drawn
        turned = self._drawing.turned_poses(rows, drawn)
        decoding.pose[: len(rows)] = np.where(drawn["mirror"][:, :1] != 0, mirror(turned), turned)
        work = Work(extent=self._dataset.extent[rows], params=drawn, target=decoding.pictures)
        decoding.ticket = self._engine.start(work, urgent=urgent)
        return decoding

    def finish(self, pending: Decoding) -> Finished:
        """Wait for a batch; whatever ends the wait early, as Ctrl-C does, gives the batch up."""
        finished = super().finish(pending)
        pictures = pending.pictures
        here = (pictures.sources["height"] > 0) & ~pictures.elsewhere
        pictures.sources["pixels"][here] -= np.uint64(pictures.pixels.ctypes.data)
        return finished

    def to_batch(self, pending: Decoding, valid: npt.NDArray[np.bool_]) -> DecodedBatch:
        """Return a finished batch, to be rendered; rows that are not valid become black."""
        pictures = replace(
            pending.pictures,
            sources=_padded(pending.pictures.sources, len(pending.index)),
            elsewhere=_padded(pending.pictures.elsewhere, len(pending.index)),
        )
        return DecodedBatch(
            pictures=pictures,
            params=pending.params,
            valid=valid,
            pose=pending.pose,
            index=pending.index,
            options=self._options,
            render=self._device.render,
        )


def _padded(rows: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Return rows, and zeros behind them."""
    found = np.zeros(count, rows.dtype)
    found[: len(rows)] = rows
    return found
