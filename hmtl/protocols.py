"""Named rules of evaluation: which samples count, and what a difference of angles is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hmtl.data.dataset import within_range
from hmtl.errors import ConfigError, DataError
from hmtl.metrics import Difference, summarize
from hmtl.pose import Convention


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One way to count, so that a number says what it means."""

    name: str
    """The name in results and on the command line."""
    reduced: bool
    """Leave out samples with an angle beyond ±99 degrees."""
    difference: Difference
    """How a prediction and a label are compared; see `hmtl.metrics`."""
    description: str
    """One line for tables and help."""


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="hopenet",
            reduced=True,
            difference="plain",
            description="without samples beyond ±99°, plain differences (the paper's reduced rows)",
        ),
        Protocol(
            name="paper-full",
            reduced=False,
            difference="plain",
            description="all samples, plain differences even for labels beyond ±180°",
        ),
        Protocol(
            name="wrapped",
            reduced=False,
            difference="wrapped",
            description="all samples, differences wrapped to 180°",
        ),
        Protocol(
            name="sixdrepnet",
            reduced=True,
            difference="lenient",
            description="without samples beyond ±99°, differences modulo 180° (6DRepNet's numbers)",
        ),
    )
}
DEFAULT_PROTOCOLS = ("hopenet", "paper-full")


def find_protocol(name: str) -> Protocol:
    """Return the protocol called `name`; ConfigError names the known ones."""
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}, expected one of {list(PROTOCOLS)}")
    return PROTOCOLS[name]


def evaluate(
    protocol: str,
    predicted: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    dataset: str,
    crop: str,
    convention: Convention = "euler",
    split: str | None = None,
    boxes: str = "",
    valid: npt.ArrayLike | None = None,
) -> dict[str, object]:
    """Return the entry of results.json: plain numbers in degrees and counts.

    Poses are (N, 3) in degrees, both of `convention`. `valid` (N,) is False for samples that could
    not be read; they are left out under every protocol. "skipped" counts all that were left out,
    "invalid" the unreadable ones among them; "split" and "boxes" are there where the data set has
    splits and a choice of boxes.
    """
    rule = find_protocol(protocol)
    predicted, target = np.asarray(predicted), np.asarray(target)
    readable = np.ones(len(target), bool) if valid is None else np.asarray(valid, dtype=bool)
    kept = readable & within_range(target) if rule.reduced else readable
    if not kept.any():
        raise DataError(
            f"protocol {protocol!r} leaves none of the {len(target)} samples of {dataset}"
        )
    return {
        "protocol": rule.name,
        "dataset": dataset,
        "n": int(kept.sum()),
        "skipped": int((~kept).sum()),
        "invalid": int((~readable).sum()),
        "crop": crop,
        "convention": convention,
        **({"split": split} if split else {}),
        **({"boxes": boxes} if boxes else {}),
        **summarize(predicted[kept], target[kept], rule.difference, convention),
    }
