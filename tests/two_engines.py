"""Loaders of the engine "native" and of another side by side."""

from typing import Any

import numpy as np

from hmtl.data import Batch, Dataset, Loader

OPTIONS: dict[str, Any] = {"batch_size": 5, "size": 48, "drop_last": False, "seed": 3}


def pair(dataset: Dataset, engine: str, **options: Any) -> tuple[Loader, Loader]:
    """Return a native loader and one of another engine, of the same settings."""
    settings = OPTIONS | options
    native = Loader(dataset, decode="rgb", **settings)
    return native, Loader(dataset, engine=engine, **settings)


def assert_same(one: Batch, other: Batch) -> None:
    """Check that batches are equal bit for bit, pixels and all."""
    labels, others = one.labels(), other.labels()
    assert labels.keys() == others.keys()
    for name, label in labels.items():
        assert np.array_equal(label, others[name], equal_nan=name == "pose"), name
    for view, other_view in zip(one.views, other.views, strict=True):
        assert view.stride() == other_view.stride()
        assert view.equal(other_view)


def assert_equal_epochs(native: Loader, other: Loader) -> int:
    """Check that a pass of both is the same; return how many rows the core did not decode."""
    before = other.stats()
    batches = 0
    for one, theirs in zip(native, other, strict=True):
        assert_same(one, theirs)
        batches += 1
    assert batches == len(native)
    after = other.stats()
    rows = after["samples"] - before["samples"]
    return rows - (after["decoded_by_core"] - before["decoded_by_core"])
