"""What is said of a failure that ends nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from hmtl.errors import ConfigError

MISSING, FAILED = "missing", "failed"
"""Keys in the place of figures: not there on this machine, or there and at fault."""


def said(error: Exception) -> str:
    """Return an error's first line, with its kind unless it is made to be read."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, ConfigError) else f"{type(error).__name__}: {first}"


def failures(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of keys to each failure in nested figures, and what was said of it."""
    for key, value in found.items():
        if key == FAILED:
            yield (), value
        elif isinstance(value, Mapping):
            yield from (((key, *path), why) for path, why in failures(value))
