"""What is drawn for a sample: ranges and probabilities by stage, and the named presets."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from hmtl import _core
from hmtl.errors import ConfigError
from hmtl.tables import read_toml

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Ranges and probabilities of the stages, in their order. The defaults change nothing."""

    turn: float = 0.0
    """Probability that the whole image is turned by 0 … 3 quarters, for all views and the pose."""
    margin: Range = (1.0, 1.0)
    """Factor on the margin between a sample's `face` and its `box`, ≥ 0."""
    area: Range = (1.0, 1.0)
    """Share of the crop's area that is kept, in (0, 1]."""
    aspect: Range = (1.0, 1.0)
    """Width over height of what is kept, where the crop is 1; as far as it fits into the crop."""
    off_centre: float = 0.0
    """How far what is kept may lie towards the crop's border: 0 central, 1 anywhere inside."""
    mirror: float = 0.0
    """Probability of a left-right mirror; the pose is mirrored with the pixels."""
    color: float = 1.0
    """Probability of brightness, contrast, saturation and hue together."""
    brightness: Range = (1.0, 1.0)
    """Factor, ≥ 0."""
    contrast: Range = (1.0, 1.0)
    """Factor about grey level 128, ≥ 0."""
    saturation: Range = (1.0, 1.0)
    """Factor, ≥ 0."""
    hue: Range = (0.0, 0.0)
    """Rotation about the grey axis in degrees, from red towards yellow."""
    grey: float = 0.0
    """Probability of Rec. 601 luma in all channels."""
    blur: float = 0.0
    """Probability of a 5 × 5 binomial (Gaussian) blur."""
    down_scale: float = 0.0
    """Probability of resizing down and back."""
    blur_or_down_scale: float = 0.0
    """Probability of exactly one of the two, either as likely; not beside their own."""
    down_scale_to: Range = (1.0, 1.0)
    """Share of the side kept on the way, in (0, 1]."""
    noise: float = 0.0
    """Probability of noise, nearly Gaussian and of its own for each sample and channel."""
    noise_deviation: Range = (0.0, 0.0)
    """Its standard deviation as a share of the full range of 255, in [0, 1]."""
    cutout: float = 0.0
    """Probability of hiding a square behind the mean colour."""
    cutout_area: Range = (0.0, 0.0)
    """Share of the area hidden, in [0, 1]."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        for name in ("blur", "down_scale"):
            if self.blur_or_down_scale > 0 and (value := getattr(self, name)) > 0:
                raise ConfigError(
                    f"augmentation blur_or_down_scale is exactly one of the two: {name} must be 0"
                    f" beside it, got {value!r}"
                )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from TOML's values; `base` names the preset that they change, else `none`.

        Raises ConfigError for unknown stages and presets and for bad ranges.
        """
        base = values.get("base", "none")
        if not isinstance(base, str) or base not in PRESETS:
            raise ConfigError(f"augmentation base must be one of {sorted(PRESETS)}, got {base!r}")
        known = [field.name for field in fields(cls)]
        changes: dict[str, Any] = {}
        for key, value in values.items():
            if key == "base":
                continue
            if key not in known:
                raise ConfigError(
                    f"unknown augmentation key {key!r}, expected one of {['base', *known]}"
                )
            changes[key] = tuple(value) if isinstance(value, list) else value
        return cls(**{**PRESETS[base].as_dict(), **changes})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_core(self) -> _core.Augmentation:
        """Return the same for the compiled core."""
        core = _core.Augmentation()
        for field in fields(self):
            value = getattr(self, field.name)
            setattr(core, field.name, _core.Range(*value) if isinstance(value, tuple) else value)
        return core


_RANGES: dict[str, tuple[float, float]] = {
    "margin": (0.0, 100.0),
    "area": (1e-4, 1.0),
    "aspect": (0.1, 10.0),
    "brightness": (0.0, 4.0),
    "contrast": (0.0, 4.0),
    "saturation": (0.0, 4.0),
    "hue": (-180.0, 180.0),
    "down_scale_to": (1e-3, 1.0),
    "noise_deviation": (0.0, 1.0),
    "cutout_area": (0.0, 1.0),
}
"""Where both ends of a range must lie; the other stages have one number in [0, 1]."""


def _check(name: str, value: Any) -> None:
    is_range = name in _RANGES
    low, high = _RANGES.get(name, (0.0, 1.0))
    numbers = value if is_range else (value,)
    well_formed = isinstance(numbers, tuple) and len(numbers) == (2 if is_range else 1)
    if not well_formed or not all(_is_number(n) for n in numbers):
        kind = "a pair of numbers" if is_range else "a number"
        raise ConfigError(f"augmentation {name} must be {kind}, got {_shown(value)}")
    if not (low <= numbers[0] <= numbers[-1] <= high):
        order = ", the lower one first" if is_range else ""
        raise ConfigError(
            f"augmentation {name} must lie in [{low:g}, {high:g}]{order}, got {_shown(value)}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Return a value as it was written: TOML has no tuples."""
    return repr(list(value) if isinstance(value, tuple) else value)


# The margin of HopeNet's training crops is k in 0.2 … 0.4 where evaluation has 0.3.
_LEVEL1 = Augmentation(margin=(2 / 3, 4 / 3), area=(0.64, 1.0), contrast=(0.6, 1.4))

# Where the paper names a stage and no range, docs/adr/0018-augmentation-presets.md has the reason.
_XGAZE = Augmentation(area=(0.64, 1.0), hue=(-36.0, 36.0))

PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "level1": _LEVEL1,
    "level2": replace(
        _LEVEL1,
        blur=0.5,
        down_scale=0.5,
        down_scale_to=(1 / 3, 1 / 2),
        cutout=0.5,
        cutout_area=(0.02, 0.10),
    ),
    "xgaze": _XGAZE,
    "xgaze-heavy": replace(
        _XGAZE,
        area=(0.4, 1.0),
        brightness=(0.6, 1.4),
        contrast=(0.6, 1.4),
        noise=0.5,
        noise_deviation=(0.05, 0.05),
        cutout=0.5,
        cutout_area=(0.02, 0.10),
    ),
    "barlow": Augmentation(
        turn=1.0,
        area=(0.4, 1.0),
        aspect=(3 / 4, 4 / 3),
        off_centre=1.0,
        color=0.8,
        brightness=(0.6, 1.4),
        contrast=(0.6, 1.4),
        saturation=(0.8, 1.2),
        hue=(-36.0, 36.0),
        grey=0.3,
        blur_or_down_scale=0.2,
        down_scale_to=(1 / 3, 1 / 2),
        noise=1.0,
        noise_deviation=(0.05, 0.05),
        cutout=1.0,
        cutout_area=(0.02, 0.10),
    ),
}


def resolve_augmentation(augmentation: str | Path | Augmentation) -> Augmentation:
    """Return a preset by name, one from a TOML file, or the argument itself.

    Raises ConfigError for an unknown name, and for a file that cannot be read or is wrong.
    """
    if isinstance(augmentation, Augmentation):
        return augmentation
    if str(augmentation) in PRESETS:
        return PRESETS[str(augmentation)]
    path = Path(augmentation)
    if path.suffix != ".toml":
        raise ConfigError(
            f"unknown augmentation {str(augmentation)!r}, expected one of {sorted(PRESETS)}"
            " or a .toml file"
        )
    values = read_toml(path)
    try:
        return Augmentation.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{error} ({path})") from error
