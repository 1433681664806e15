"""What shapes the pixels and labels of a sample."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hmtl import _core
from hmtl.data.arguments import check_choice, real_number, whole_number
from hmtl.data.augmentation import Augmentation
from hmtl.data.packing.record import Fit
from hmtl.errors import ConfigError

Pretext = Literal["none", "puzzle", "rotation", "puzzle-rotation"]
Decode = Literal["planes", "rgb"]

# Numbers of the core's enumerations.
_PRETEXTS = {"none": 0, "puzzle": 1, "rotation": 2, "puzzle-rotation": 3}
_FITS = {"short-side": 0, "stretch": 1}
_MAX_GRID = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderOptions:
    """All that shapes the pixels and labels of a sample, beside seed, epoch and sample."""

    size: int
    """Side of the square output, px."""
    augmentation: Augmentation
    pretext: Pretext
    grid: int
    """Tiles per side; 1 where the pretext task is none."""
    views: int
    fit: Fit
    decode: Decode
    puzzled_fraction: float
    exif: Literal["refuse", "ignore"]
    max_pixels: int

    def __post_init__(self) -> None:
        check_choice("pretext", self.pretext, _PRETEXTS)
        check_choice("fit", self.fit, _FITS)
        check_choice("decode", self.decode, ("planes", "rgb"))
        check_choice("exif", self.exif, ("refuse", "ignore"))
        self._make_whole("size", 8, 4096)
        self._make_whole("views", 1, 64)
        self._make_whole("max_pixels", 1, 2**40)
        fraction = real_number("puzzled_fraction", self.puzzled_fraction, 0.0, 1.0)
        object.__setattr__(self, "puzzled_fraction", fraction)
        if self.pretext == "none":
            object.__setattr__(self, "grid", 1)
            return
        self._make_whole("grid", 2, _MAX_GRID)
        if -(-self.size // self.grid) * (self.grid - 1) >= self.size:
            raise ConfigError(
                f"grid {self.grid} is too fine for size {self.size}: tiles would be cut off"
            )

    def _make_whole(self, name: str, low: int, high: int) -> None:
        object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))

    @property
    def has_permutation(self) -> bool:
        return self.pretext in ("puzzle", "puzzle-rotation")

    @property
    def has_turns(self) -> bool:
        return self.pretext in ("rotation", "puzzle-rotation")

    def draw_settings(self) -> _core.DrawSettings:
        return _core.DrawSettings(
            augmentation=self.augmentation.to_core(),
            fit=_FITS[self.fit],
            pretext=_PRETEXTS[self.pretext],
            grid=self.grid,
            size=self.size,
            puzzled_fraction=self.puzzled_fraction,
        )

    def render_settings(self) -> _core.RenderSettings:
        return _core.RenderSettings(
            size=self.size,
            grid=self.grid,
            planes=self.decode == "planes",
            ignore_exif=self.exif == "ignore",
            max_pixels=self.max_pixels,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        values = asdict(self)
        values["augmentation"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values["augmentation"].items()
        }
        return values
