"""Packed samples whose bytes cannot be told from changed ones."""

import numpy as np

from hmtl.data.checks.findings import Findings
from hmtl.data.checks.samples import name_of
from hmtl.data.columns import Columns


def check_checksums(samples: Columns, findings: Findings) -> None:
    """Note packed samples without a CRC-32: changed bytes that can be decoded stay unknown."""
    if samples.origin is None:
        return
    without = np.flatnonzero(samples.extent["crc"] == 0).tolist()
    if without:
        said = f"{len(without):,} of {len(samples.extent):,} samples have no checksum (crc32)"
        findings.note_many("checksum", said, [name_of(samples, row) for row in without])
