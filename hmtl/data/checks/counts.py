"""How many samples there are, and how many there should be."""

import json
from pathlib import Path

from hmtl.data.checks.findings import Findings

RENDERING = "synth.json"
"""The file in which `hmtl.synth` says what it renders into a folder."""


def rendered_count(location: Path, layout: str, findings: Findings) -> int | None:
    """Return how many images were rendered into `location`, or the folder above; None if none were.

    A rendering of another layout does not count, one that is not finished is an error.
    """
    for folder in (location, location.parent):
        path = folder / RENDERING
        if not path.is_file():
            continue
        try:
            record = json.loads(path.read_bytes())
            if record["layout"] != layout:
                return None
            count, finished = int(record["count"]), bool(record["finished"])
        except (ArithmeticError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            findings.error("count", f"cannot read {path}: {error}", RENDERING)
            return None
        if not finished:
            message = f"rendering was interrupted, call `hmtl data synth` again: {path}"
            findings.error("count", message, RENDERING)
        return count
    return None


def check_rendered(location: Path, n: int, rendered: int, findings: Findings) -> None:
    """Find another number of samples than was rendered."""
    if n != rendered:
        findings.error("count", f"{n:,} of {rendered:,} rendered samples are in {location}")


def check_published(
    where: str, n: int, published: int, findings: Findings, *, complete: bool
) -> None:
    """Note another number of samples than was published; where all must be there, it is wrong."""
    if n != published:
        message = f"{n:,} of {published:,} published samples are in {where}"
        (findings.error if complete else findings.note)("count", message)
