"""Barlow Twins as others write it: torchvision's transforms in workers, a plain loop."""

from itertools import islice
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.gpu.blocks import run_stretch
from benchmarks.gpu.scale import Scale
from benchmarks.loader.torchvision_side import open_torchvision
from benchmarks.loader.work import Labelled, Running, Work
from benchmarks.timing import rounded
from hmtl.data import Dataset
from hmtl.data.augmentation import resolve_augmentation

_REDUNDANCY_WEIGHT = 0.0051
_WARM_UP = 2
# Batches that a worker of a DataLoader makes ahead.
_AHEAD = 2
# Workers hand out their batches in bursts.
_STRETCHES = 4


class Twins(nn.Module):
    """A ResNet, a projector of three layers, and the loss of their cross-correlation."""

    def __init__(self, backbone: str, width: int) -> None:
        super().__init__()
        self.backbone = getattr(torchvision.models, backbone)(weights=None)
        features = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()
        self.projector = nn.Sequential(
            nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width, bias=False),
        )  # fmt: skip
        self.normalise = nn.BatchNorm1d(width, affine=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the loss of two views, float (N, 3, S, S)."""
        one, two = (self.normalise(self.projector(self.backbone(v))) for v in (first, second))
        correlation = one.float().T @ two.float() / len(one)
        on_diagonal = (correlation.diagonal() - 1).square().sum()
        off_diagonal = correlation.square().sum() - correlation.diagonal().square().sum()
        loss: Tensor = on_diagonal + _REDUNDANCY_WEIGHT * off_diagonal
        return loss


def measure(dataset: Dataset, scale: Scale, threads: int) -> dict[str, Any]:
    """Return views/s of the peer's loop on real files, in bf16 and channels_last on a GPU."""
    device = torch.device(scale.device)
    batch_size = scale.batch_sizes[0]
    smoke = not scale.compiles
    model = Twins("resnet18" if smoke else "resnet50", 16 if smoke else 2048)
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    augmentation = resolve_augmentation("barlow")
    work = Work(augmentation=augmentation, size=scale.size, views=2, floats=True)
    batches = open_torchvision(dataset, work, Running(batch_size=batch_size, threads=threads))

    def step(views: tuple[Tensor, ...]) -> None:
        views = tuple(
            view.to(device, non_blocking=True, memory_format=torch.channels_last) for view in views
        )
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(*views)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    iterator, seen = iter(batches), []
    # Kernels are chosen, and what the workers make ahead is used up.
    for batch in islice(iterator, _WARM_UP + _AHEAD * threads):
        step(batch.views)

    def use(batch: Labelled) -> None:
        step(batch.views)
        seen.append(len(batch.pose))

    seconds = run_stretch(iterator, use, _STRETCHES * scale.loader_s, device)
    return {
        "batch_size": batch_size,
        "workers": threads,
        "views_per_s": rounded(2 * sum(seen) / seconds),
    }
