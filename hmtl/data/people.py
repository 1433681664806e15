"""Which people a data set shows, and datasets without some of them."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.dataset import Dataset
from hmtl.data.layouts.xgaze import VAL_FILES

PAPERS_SUBJECTS = frozenset(PurePosixPath(name).stem for name in VAL_FILES)
"""The people of ETH-XGaze that the paper validates on."""


def people_to_hold_out(dataset: Dataset, share: float = 0.1) -> npt.NDArray[np.int32]:
    """Return the subjects to judge a network by that has not seen them, as rows of `subjects`.

    They are the paper's, as far as the dataset has them, else the last `share` of all by name, at
    least one.
    """
    present = sorted(np.unique(dataset.subject).tolist(), key=dataset.subjects.__getitem__)
    chosen = [number for number in present if dataset.subjects[number] in PAPERS_SUBJECTS]
    if not chosen:
        chosen = present[-max(1, int(share * len(present))) :]
    return np.array(chosen, dtype=np.int32)


def split_off(dataset: Dataset, subjects: npt.NDArray[np.integer[Any]]) -> tuple[Dataset, Dataset]:
    """Return the dataset without these subjects (rows of `subjects`), and theirs alone.

    Raises ValueError where nobody would be left.
    """
    theirs = np.isin(dataset.subject, subjects)
    if theirs.all():
        people = len(np.unique(dataset.subject))
        raise ValueError(f"nobody of the {people} people of {dataset.root} is left to learn from")
    return dataset.subset(~theirs), dataset.subset(theirs)
