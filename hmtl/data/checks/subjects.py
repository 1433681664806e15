"""People who must not be in two places: two splits, or two data sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hmtl.data.checks.findings import Findings
from hmtl.data.columns import Columns


def check_splits(root: Path, parts: Mapping[str, Columns], findings: Findings) -> None:
    """Find subjects of which two splits, named by the keys, have different files.

    A split that is a part of another one, as `val` is of `train`, has the same files.
    """
    seen: dict[str, tuple[str, frozenset[str]]] = {}
    for split, columns in parts.items():
        for subject, files in _files_of_subjects(columns).items():
            first_split, first_files = seen.setdefault(subject, (split, files))
            if first_files != files:
                places = f"{min(first_files)} ({first_split}) and {min(files)} ({split})"
                message = f"subject {subject!r} is in more than one split, {places}: {root}"
                findings.error("subject", message)


def check_against(samples: Columns, others: Sequence[str], other: Path, findings: Findings) -> None:
    """Find subjects that another data set has too; `others` are the names of its subjects."""
    present = {samples.subjects[number] for number in np.unique(samples.subject)}
    for subject in sorted(present.intersection(others)):
        findings.error("subject", f"subject {subject!r} is in {other} too")


def _files_of_subjects(columns: Columns) -> dict[str, frozenset[str]]:
    pairs = np.unique(np.stack([columns.subject, columns.extent["file"]], axis=1), axis=0)
    files: dict[str, set[str]] = {}
    for subject, file in pairs.tolist():
        files.setdefault(columns.subjects[subject], set()).add(columns.files[file])
    return {subject: frozenset(names) for subject, names in files.items()}
