"""The data layer: open a dataset, iterate over it with a Loader."""

import importlib
from typing import TYPE_CHECKING, Any

from hmtl._core import DecodeError
from hmtl.data.augmentation import Augmentation
from hmtl.data.dataset import Dataset, concat
from hmtl.data.opening import open_dataset

if TYPE_CHECKING:
    from hmtl.data.batch import Batch
    from hmtl.data.loader import Loader
    from hmtl.data.normalizing import normalize

__all__ = [
    "Augmentation",
    "Batch",
    "Dataset",
    "DecodeError",
    "Loader",
    "concat",
    "normalize",
    "open_dataset",
]

# Imported when they are asked for: torch takes seconds, and a data set is opened without it.
_NEED_TORCH = {
    "Batch": "hmtl.data.batch",
    "Loader": "hmtl.data.loader",
    "normalize": "hmtl.data.normalizing",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_NEED_TORCH[name]), name)
