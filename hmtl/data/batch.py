"""A rendered batch."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hmtl.data.normalizing import normalize

_LABELS = ("pose", "permutation", "turns", "index", "valid", "puzzled")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """N samples rendered in V views. Nobody writes to its memory once it was handed out."""

    views: tuple[Tensor, ...]
    """V tensors uint8 (N, 3, S, S), channels_last."""
    pose: Tensor
    """float32 (N, 3): yaw, pitch, roll in degrees, as the images show it; NaN where unknown."""
    permutation: Tensor | None
    """int64 (N, T), with V > 1 (N, V, T): `permutation[cell] = tile`. None if nothing moves."""
    turns: Tensor | None
    """int64 like `permutation`: counter-clockwise quarter turns by cell. None if nothing turns."""
    index: Tensor
    """int64 (N,): the sample's row in the dataset, -1 for padding."""
    valid: Tensor
    """bool (N,): False for padding and for samples that could not be read."""
    puzzled: Tensor
    """bool (N,): whether the pretext task was applied to this sample."""

    @property
    def images(self) -> Tensor:
        """The first view."""
        return self.views[0]

    def __len__(self) -> int:
        return len(self.index)

    def normalized(self, out: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Return the first view as a network takes it; see `normalize`."""
        return normalize(self.images, out, dtype)

    def labels(self) -> dict[str, Tensor]:
        """Return what there is beside the images, by name."""
        found = {name: getattr(self, name) for name in _LABELS}
        return {name: label for name, label in found.items() if label is not None}

    def images_on(self, device: torch.device) -> dict[str, Any]:
        """Return the images on a device, by the name of their field; copies do not block."""
        return {"views": tuple(view.to(device, non_blocking=True) for view in self.views)}

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device; copies to a GPU do not block where memory is pinned."""
        # Towards the CPU nobody would know when the bytes are there.
        free = torch.device(device).type != "cpu"
        return replace(
            self,
            views=tuple(view.to(device, non_blocking=free) for view in self.views),
            **{name: label.to(device, non_blocking=free) for name, label in self.labels().items()},
        )

    def copy_into(self, other: "Batch") -> None:
        """Overwrite another batch with this one, such as the one that a captured CUDA graph reads.

        Raises ValueError, before anything is written, unless both have the same tensors.
        """
        own, others = self._shapes(), other._shapes()
        if own != others:
            raise ValueError(f"a batch of {own} cannot be copied into one of {others}")
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        for source, target in pairs:
            target.copy_(source, non_blocking=target.device.type != "cpu")

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory, once dropped, until what `stream` was given by then has ended.

        Needed for any stream but the one that was current when the batch came.
        """
        for tensor in self._tensors():
            tensor.record_stream(stream)

    def _tensors(self) -> list[Tensor]:
        return [*self.views, *self.labels().values()]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        views = {f"views[{number}]": tuple(view.shape) for number, view in enumerate(self.views)}
        return views | {name: tuple(label.shape) for name, label in self.labels().items()}
