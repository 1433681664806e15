"""What a packed data set says of itself: from what it was made, and how."""

import json
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Literal, Self

from hmtl.errors import ConfigError
from hmtl.pose import Convention

VERSION = 1
"""Goes up when the same samples are packed into other bytes."""

LEVEL2_MARGIN = 4 / 3
"""The largest factor on the margin between `face` and `box` that `level1` and `level2` draw."""

ImageCodec = Literal["jpeg", "raw"]
Fit = Literal["short-side", "stretch"]

# A margin that went through text may have lost its last digits.
_MARGIN_SLACK = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """From what a packed data set was made, and how; the same in every shard and in the index."""

    source: str
    """The name of the source's folder."""
    layout: str
    crop: str
    split: str | None
    boxes: str
    convention: Convention
    fingerprint: str
    """Of the source; see `Dataset.fingerprint`."""
    count: int
    """How many samples the source has; those that could not be read are not packed."""
    codec: ImageCodec
    quality: int | None
    """JPEG's, 1 to 100; None where pixels are stored as they are."""
    size: int
    """The longest side of a stored crop, in px."""
    margin: float
    """Crops with up to this factor on the margin between `face` and `box` were kept whole."""
    fit: Fit
    """What of such a crop was kept: its centred square, or all of it."""
    version: int = VERSION

    def to_json(self) -> str:
        """Return one line of ASCII."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return what `to_json` wrote; ValueError for anything else."""
        values = json.loads(text)
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            raise ValueError(f"expected an object with {sorted(known)}")
        packing = cls(**values)
        if packing.version != VERSION:
            raise ValueError(f"version {packing.version!r}, expected {VERSION}")
        packing._check()
        return packing

    def _check(self) -> None:
        for name in ("source", "layout", "crop", "boxes", "fingerprint"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a text, got {getattr(self, name)!r}")
        for name, choices in (
            ("convention", Convention),
            ("codec", ImageCodec),
            ("fit", Fit),
        ):
            if getattr(self, name) not in typing.get_args(choices):
                raise ValueError(f"{name} must be one of {typing.get_args(choices)}")
        numbers = (self.count, self.size, self.margin, self.quality or 0)
        if not all(isinstance(n, int | float) and 0 <= n < 2**53 for n in numbers):
            raise ValueError(f"numbers must not be negative, got {numbers}")
        if not isinstance(self.split, str | None):
            raise ValueError(f"split must be a text or nothing, got {self.split!r}")

    def summary(self) -> str:
        """Return the same in a line for people."""
        quality = "" if self.quality is None else f" of quality {self.quality}"
        split = f", split {self.split}" if self.split else ""
        return (
            f"packed from {self.source} ({self.layout}{split}, crop rule {self.crop}): "
            f"{self.codec}{quality}, at most {self.size} px, "
            f"margins up to {self.margin:.4g} ({self.fit})"
        )


def check_covered(packings: Iterable[Packing], *, margin: float, fit: str) -> None:
    """Raise ConfigError where crops with this factor on the margin were not packed whole.

    What lies outside a packed crop is lost, and would be rendered black.
    """
    for packing in packings:
        wanted = f"{packing.source} was packed for margins up to {packing.margin:.4g}"
        if margin > packing.margin + _MARGIN_SLACK:
            raise ConfigError(
                f"margin factors up to {margin:.4g} need pixels that are not there: {wanted} "
                f"(`hmtl data pack --margin` keeps more)"
            )
        if fit == "stretch" and packing.fit != "stretch":
            raise ConfigError(
                f"fit='stretch' needs pixels that are not there: {wanted} and fit='short-side' "
                f"(`hmtl data pack --fit stretch` keeps them)"
            )
