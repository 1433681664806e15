"""Small data sets for the loader, and what a pass over one gives."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from fixtures_data import write_300w_lp

from hmtl.data import Batch, Dataset, Loader, open_dataset

COUNT = 23

Row = tuple[bytes, ...]


def write_small(folder: Path, count: int = COUNT) -> Dataset:
    """Write a data set of 90 px pictures below a folder."""
    return open_dataset(write_300w_lp(folder / "small", count=count, subjects=5, size=90))


def damage(dataset: Dataset, rows: Iterable[int]) -> None:
    """Let the files of these rows lose their first bytes."""
    for row in rows:
        with Path(dataset.paths()[row]).open("r+b") as file:
            file.write(bytes(20))


def rows_of(batch: Batch) -> list[tuple[int, Row]]:
    """Return of each row the sample and the bytes of every field."""
    fields = [*batch.views, batch.pose, batch.permutation, batch.turns, batch.puzzled]
    present = [field for field in fields if field is not None]
    return [
        (sample, tuple(field[row].numpy().tobytes() for field in present))
        for row, sample in enumerate(batch.index.tolist())
    ]


def rows_by_sample(loader: Loader) -> dict[int, Row]:
    """One pass as {sample: its bytes in every field}."""
    return {sample: row for batch in loader for sample, row in rows_of(batch)}


def digest(batch: Batch) -> str:
    """Return a hash of everything in a batch."""
    whole = hashlib.sha256()
    for sample, row in rows_of(batch):
        whole.update(str(sample).encode() + b"".join(row))
    whole.update(batch.valid.numpy().tobytes())
    return whole.hexdigest()
