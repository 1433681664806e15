"""What a run says of itself: versions, device, data."""

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchvision

from hmtl import __version__
from hmtl.assemble import choose_precision
from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.distributed import world_size
from hmtl.evaluate import dataset_name


def versions() -> dict[str, str]:
    """Return the versions of what computes the numbers."""
    return {
        "hmtl": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "numpy": np.__version__,
    }


def start_fields(
    config: Config,
    data: Dataset,
    *,
    out_of_range: int,
    validation: Sequence[Dataset],
    device: torch.device,
) -> dict[str, Any]:
    """Return what a run's `start` line tells beside the step.

    `data` are the samples trained on, `out_of_range` how many more were left out.
    """
    precision = choose_precision(config.train.amp, device) or torch.float32
    on_gpu = device.type == "cuda"
    return {
        "config": config.digest(),
        "versions": versions(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "ranks": world_size(),
        "precision": str(precision).removeprefix("torch."),
        "data": {
            "name": dataset_name(data),
            "layout": data.layout,
            "samples": len(data),
            "out_of_range": out_of_range,
            "subjects": len(np.unique(data.subject)),
            "split": data.split,
            "crop": data.crop,
            "boxes": data.boxes,
            "fingerprint": data.fingerprint,
        },
        "validation": [dataset_name(dataset) for dataset in validation],
    }
