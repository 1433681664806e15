"""The engine `cuda`: threads of the core decode, a device does all that comes after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hmtl import _core
from hmtl.data.buffers import Pixels
from hmtl.data.dataset import Dataset
from hmtl.data.device_render import DeviceRenderer, Sources
from hmtl.data.drawing import Drawing, real_rows
from hmtl.data.engine import Finished
from hmtl.data.options import RenderOptions
from hmtl.pose import mirror

Allocate = Callable[[int], Pixels]
"""Returns so many bytes, from which a device can copy."""


@dataclass(slots=True, eq=False)
class Decoding:
    """A batch on its way. Threads write to its pixels and sources until it is finished."""

    ticket: int
    index: npt.NDArray[np.int64]
    """(N,) rows of the dataset; padding comes last."""
    params: npt.NDArray[Any]
    """(N, V)."""
    pixels: Pixels
    """(bytes,) what the samples' crops need, in slots one behind the other."""
    sources: Sources
    """(N,) DECODED_SOURCE; once it is finished, `pixels` of the sources are offsets."""
    pose: npt.NDArray[np.float32]

    def copy_row(self, row: int, other: "Decoding") -> None:
        """Take over the one row of another finished batch, into memory with room for it."""
        self.sources[row] = other.sources[0]
        self.sources["pixels"][row] += np.uint64(len(self.pixels))
        # Not pinned: the copy to a GPU waits, which bad files are rare enough for.
        self.pixels = np.concatenate([self.pixels, other.pixels])
        for name in ("index", "params", "pose"):
            getattr(self, name)[row] = getattr(other, name)[0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedBatch:
    """A finished batch without its images, which a device is to make of what was decoded."""

    pixels: Tensor
    """uint8 (bytes,), pinned where a GPU takes them."""
    sources: Sources
    """(N,) DECODED_SOURCE, offsets in `pixels`."""
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
        pixels = self.pixels.to(device, non_blocking=True)
        rendered = self.render(pixels, self.sources, self.params, self.valid)

        def label(numbers: Tensor) -> Tensor:
            return numbers if self.options.views > 1 else numbers[:, 0]

        return {
            "views": rendered.views,
            "permutation": label(rendered.permutation) if self.options.has_permutation else None,
            "turns": label(rendered.turns) if self.options.has_turns else None,
        }


class DecodingRenderer:
    """Does what `Renderer` does, up to pixels that a device renders."""

    def __init__(
        self,
        dataset: Dataset,
        options: RenderOptions,
        core: _core.BatchRenderer,
        *,
        seed: int,
        device: torch.device,
        allocate: Allocate,
    ) -> None:
        self._dataset = dataset
        self._options = options
        self._drawing = Drawing(dataset, options, seed)
        self._core = core
        self._settings = options.render_settings()
        self._allocate = allocate
        self._device = DeviceRenderer(size=options.size, grid=options.grid, device=device)

    def draw(self, rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[Any]:
        """Return the params (N, V) of these rows."""
        return self._drawing.params(rows, epoch)

    def start(self, index: npt.NDArray[np.int64], epoch: int) -> Decoding:
        """Begin to decode these rows; where `index` is PADDING, rows become black."""
        return self._start(index, epoch, urgent=False)

    def start_row(self, row: int, epoch: int) -> Decoding:
        """Begin to decode one row, before all that was started earlier."""
        return self._start(np.array([row], dtype=np.int64), epoch, urgent=True)

    def _start(self, index: npt.NDArray[np.int64], epoch: int, *, urgent: bool) -> Decoding:
        rows = real_rows(index)
        extent, real = self._dataset.extent[rows], len(rows)
        drawn = self._drawing.params(rows, epoch)
        sizes = _core.slot_bytes(extent=extent, params=drawn, settings=self._settings)
        slots = np.concatenate([[0], np.cumsum(sizes)])
        params = np.zeros((len(index), self._options.views), drawn.dtype)
        params[:real] = drawn
        pose = np.full((len(index), 3), np.nan, dtype=np.float32)
        turned = self._drawing.turned_poses(rows, drawn)
        pose[:real] = np.where(drawn["mirror"][:, :1] != 0, mirror(turned), turned)
        decoding = Decoding(
            ticket=-1,
            index=index,
            params=params,
            pixels=self._allocate(int(slots[-1])),
            sources=np.zeros(len(index), _core.DECODED_SOURCE),
            pose=pose,
        )
        decoding.ticket = self._core.submit_decoding(
            extent=extent,
            params=drawn,
            slots=slots,
            pixels=decoding.pixels,
            sources=decoding.sources[:real],
            settings=self._settings,
            urgent=urgent,
        )
        return decoding

    def finish(self, pending: Decoding) -> Finished:
        """Wait for a batch; whatever ends the wait early, as Ctrl-C does, gives the batch up."""
        try:
            bad, warnings, seconds = self._core.wait(pending.ticket)
        except BaseException:
            self.cancel(pending)
            raise
        held = pending.sources["height"] > 0
        pending.sources["pixels"][held] -= np.uint64(pending.pixels.ctypes.data)
        by_core = len(real_rows(pending.index))
        return Finished(bad=bad, warnings=warnings, seconds=seconds, decoded_by_core=by_core)

    def is_whole(self, pending: Decoding) -> bool:
        """Return whether `finish` would not wait, and find no row that could not be decoded."""
        return self._core.is_whole(pending.ticket)

    def cancel(self, pending: Decoding) -> None:
        """Give a batch up, without waiting; its memory is kept as long as threads write to it."""
        self._core.cancel(pending.ticket)

    def close(self) -> None:
        """Join the threads."""
        self._core.close()

    def to_batch(self, pending: Decoding, valid: npt.NDArray[np.bool_]) -> DecodedBatch:
        """Return a finished batch, to be rendered; rows that are not valid become black."""
        return DecodedBatch(
            pixels=torch.from_numpy(pending.pixels),
            sources=pending.sources,
            params=pending.params,
            valid=valid,
            pose=pending.pose,
            index=pending.index,
            options=self._options,
            render=self._device.render,
        )
