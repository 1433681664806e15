"""How large everything is: for a GPU, or as little as shows on a CPU that the program works."""

from dataclasses import dataclass
from typing import Any

FULL, SMOKE = "full", "smoke"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Sizes and times of all parts."""

    name: str
    device: str
    images: int
    """Files that are written, and rows of the HDF5 files."""
    rows: int
    """Least samples of an epoch, whose beginning no loader can make ahead: files repeat."""
    batch_sizes: tuple[int, ...]
    """From the smallest to the largest, on which most goals stand."""
    ring: int
    """Batches that are ready for the feeds without a loader."""
    blocks: int
    block_s: float
    """Least time of a block of steps."""
    warm_up: int
    """Steps of each side before anything is timed."""
    training_s: float
    """After which a training begins no other round of blocks, but for the first two."""
    settings: dict[str, Any]
    """Of the presets, dotted."""
    compiles: bool
    size: int
    """Side of the images, px."""
    loader_s: float
    """Time of one measurement of a loader."""
    torch_threads: int
    """Of torch's operators on the CPU; 0 for its own choice."""


# Steps cost the same where the network has learnt nothing from noise.
_NEVER_BROKEN = 1_000_000

GPU = Scale(
    name=FULL,
    device="cuda",
    images=1024,
    rows=51_200,
    batch_sizes=(64, 256),
    ring=8,
    blocks=6,
    block_s=0.5,
    warm_up=8,
    training_s=100.0,
    settings={
        "train.device": "cuda",
        "train.amp": "bf16",
        "train.bad_steps": _NEVER_BROKEN,
    },
    compiles=True,
    size=224,
    loader_s=2.0,
    torch_threads=0,
)
TINY = Scale(
    name=SMOKE,
    device="cpu",
    images=6,
    rows=16,
    batch_sizes=(2,),
    ring=2,
    blocks=1,
    block_s=0.0,
    warm_up=0,
    training_s=600.0,
    settings={
        "train.device": "cpu",
        "train.optimizer": "sgd",
        # Most of a step of so few pictures is the gradients of the weights.
        "train.freeze_backbone": True,
        "train.bad_steps": _NEVER_BROKEN,
        "model.backbone": "resnet18",
        "pretext.branch_point": 4,
        "data.size": 32,
        "data.num_threads": 1,
        "data.prefetch": 1,
        "barlow.projector": [16, 16],
    },
    # Compiling takes a minute and tells nothing of a CPU.
    compiles=False,
    size=32,
    loader_s=0.0,
    # Several would wait for one another on a machine that has other things to do.
    torch_threads=1,
)
