"""The stages from decoded pixels to finished images on a GPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hmtl import _core
from hmtl.data.devices import checked_device, refuse_capture
from hmtl.data.engine import Sources
from hmtl.data.kernels import require_kernels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rendered:
    """What the kernels make of N samples in V views."""

    views: tuple[Tensor, ...]
    """V tensors uint8 (N, 3, S, S), channels_last."""
    permutation: Tensor
    """int64 (N, V, T), like `turns`; 0 in rows that are not valid."""
    turns: Tensor


def whole_pictures(count: int, height: int, width: int) -> Sources:
    """Return the sources of pictures that lie one behind the other: uint8 (N, H, W, 3)."""
    sources = np.zeros(count, _core.DECODED_SOURCE)
    sources["pixels"] = np.arange(count) * (height * width * 3)
    sources["stride"] = width * 3
    sources["height"] = sources["full_height"] = height
    sources["width"] = sources["full_width"] = width
    sources["denominator"] = 1
    return sources


class DeviceRenderer:
    """Crops, augments and puzzles pixels that are on a device, as params say.

    The bytes are those of the core's stages. On a GPU all is queued on the caller's present stream,
    and nothing is waited for. On the CPU the same kernels run one thread after the other, which is
    for tests: some milliseconds a view.
    """

    def __init__(self, *, size: int, grid: int, device: str | torch.device) -> None:
        """Raise ConfigError where there is no such device, or the kernels for it were not built."""
        self._size = size
        self._grid = grid
        self._device = checked_device(device)
        if self._device.type == "cuda":
            require_kernels()

    def render(
        self,
        pixels: Tensor,
        sources: Sources,
        params: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_] | None = None,
        elsewhere: npt.NDArray[np.bool_] | None = None,
    ) -> Rendered:
        """Render pictures that lie in `pixels`, uint8 of any shape without gaps, on the device.

        `sources` (N,) are DECODED_SOURCE whose `pixels` count bytes from the beginning of the
        tensor, `params` (N, V) what `Loader.draw` gives; rows that are not `valid` (N,) become
        black. The `pixels` of sources that are `elsewhere` (N,) are addresses on the device, whose
        memory must stay until the stream is through with it. Raises ValueError for pictures
        outside the tensor and for what cannot be rendered, RuntimeError while a CUDA graph is
        captured.
        """
        count, views = params.shape
        valid = np.ones(count, np.bool_) if valid is None else valid
        here = valid if elsewhere is None else valid & ~elsewhere
        plan = _core.DevicePlan(
            sources=self._addresses(pixels, sources, here),
            params=params,
            valid=valid,
            size=self._size,
            grid=self._grid,
        )
        images = [
            torch.empty((count, self._size, self._size, 3), dtype=torch.uint8, device=self._device)
            for _ in range(views)
        ]
        permutation, turns = (
            torch.empty((count, views, self._grid**2), dtype=torch.int64, device=self._device)
            for _ in range(2)
        )
        if self._device.type == "cpu":
            plan.render_on_host(
                images=[view.numpy() for view in images],
                permutation=permutation.numpy(),
                turns=turns.numpy(),
            )
        elif count > 0:
            self._launch(plan, images, permutation, turns)
        return Rendered(
            views=tuple(view.permute(0, 3, 1, 2) for view in images),
            permutation=permutation,
            turns=turns,
        )

    def _addresses(self, pixels: Tensor, sources: Sources, here: npt.NDArray[np.bool_]) -> Sources:
        """Return the sources with addresses in the place of offsets in the tensor."""
        if pixels.dtype != torch.uint8 or not pixels.is_contiguous():
            raise ValueError(f"pixels must be uint8 without gaps, got {pixels.dtype}")
        if pixels.device != self._device:
            raise ValueError(f"pixels must be on {self._device}, got {pixels.device}")
        held = sources[here]
        begin = held["pixels"].astype(np.int64)
        end = begin + (held["height"] - 1) * held["stride"] + 3 * held["width"]
        if (held["stride"] < 3 * held["width"]).any() or (begin < 0).any():
            raise ValueError("rows of a picture must not overlap")
        if (end > pixels.numel()).any():
            raise ValueError(
                f"a picture ends at byte {end.max()} of pixels that have {pixels.numel()}"
            )
        found = sources.copy()
        found["pixels"][here] += np.uint64(pixels.data_ptr())
        return found

    def _launch(
        self, plan: _core.DevicePlan, images: list[Tensor], permutation: Tensor, turns: Tensor
    ) -> None:
        refuse_capture()
        with torch.cuda.device(self._device):
            # The allocator gives it to nobody else before the stream is through with it.
            memory = torch.empty(plan.bytes, dtype=torch.uint8, device=self._device)
            jobs = torch.from_numpy(plan.jobs).pin_memory()
            memory[: len(jobs)].copy_(jobs, non_blocking=True)
            require_kernels().render(
                plan=plan,
                memory=memory,
                images=images,
                permutation=permutation,
                turns=turns,
                stream=torch.cuda.current_stream().cuda_stream,
            )
