"""The settings of a run: frozen dataclasses, their TOML form and the packaged presets.

The defaults are those of the paper's section 4.2, so that a preset names only what differs.
"""

import dataclasses
import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from hmtl.errors import ConfigError

PRESETS = Path(__file__).parent / "presets"


def _ranged(default: float, minimum: float, maximum: float = math.inf) -> Any:
    """Return a dataclass field whose value must lie in [minimum, maximum]."""
    return field(default=default, metadata={"range": (minimum, maximum)})


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network that remains at evaluation."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet50"
    """torchvision's ResNet shared by all tasks."""
    head: Literal["hopenet", "regression"] = "hopenet"
    """Bins with expectation, or three plain outputs."""
    bin_width: Literal[1, 3] = 3
    """Width of a bin of the hopenet head, degrees."""
    decode: Literal["left", "centre"] = "left"
    """The angle that stands for a bin: its left edge, as HopeNet has it, or its centre."""
    dropout: float = _ranged(0.5, 0.0, 0.99)
    """Dropout before the pose head."""
    init: str = ""
    """Weights to start from: "" for random, "imagenet", or a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretextConfig:
    """The auxiliary self-supervised task."""

    task: Literal["none", "puzzle", "rotation", "puzzle-rotation"] = "none"
    """What is done to the tiles of an input and asked of the network."""
    grid: int = _ranged(3, 2, 8)
    """Tiles per side."""
    branch_point: Literal[1, 2, 3, 4] = 3
    """The last backbone stage that pretext and pose share."""
    dropout: float = _ranged(0.2, 0.0, 0.99)
    """Dropout before the pretext classifiers."""
    weight: float = _ranged(50.0, 0.0)
    """Factor of the pretext losses in the total."""
    puzzled_fraction: float = _ranged(1.0, 0.0, 1.0)
    """Probability that a sample is puzzled at all."""
    heads: bool = True
    """False feeds the puzzled inputs without asking about them (Table 5's "w/o SSHs")."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """How the losses of pose and pretext task make one."""

    alpha: float = _ranged(2.0, 0.0)
    """Weight of the regression beside the cross entropy of the hopenet head."""
    regression: Literal["rmse", "mse"] = "rmse"
    """Loss of the decoded angles, degrees."""
    weighting: Literal["fixed", "uncertainty", "geometric-mean"] = "fixed"
    """How the tasks are weighted against each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What the loader does with the samples."""

    size: int = _ranged(224, 8, 4096)
    """Side of the square network input, px."""
    augmentation: str = "level1"
    """Name of an augmentation, or a TOML file of one."""
    crop: str = ""
    """Crop rule of the data sets; "" for the layout's default."""
    fit: Literal["short-side", "stretch"] = "short-side"
    """How a box that is not square becomes the square input at evaluation."""
    decode: Literal["planes", "rgb"] = "planes"
    """Resample JPEG's own colour planes (faster) or decoded RGB."""
    convention: Literal["", "euler", "direction"] = ""
    """What poses are learnt as: Euler angles or facing directions; "" for the data set's own."""
    on_error: Literal["raise", "substitute"] = "raise"
    """What one bad sample does to the run."""
    num_threads: int = _ranged(0, 0, 1024)
    """Threads of the loader; 0 for one per core."""
    prefetch: int = _ranged(3, 1, 1024)
    """Batches made ahead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The course of training."""

    batch_size: int = _ranged(64, 1)
    """Samples per update."""
    epochs: int = _ranged(110, 1)
    """Passes over the data."""
    lr: float = _ranged(0.001, 0.0)
    """Learning rate after warm-up."""
    milestones: tuple[int, ...] = (20, 100)
    """Epochs after which the learning rate is multiplied by gamma."""
    gamma: float = _ranged(0.1, 0.0)
    """Factor of the learning rate at a milestone."""
    warmup_epochs: float = _ranged(0.0, 0.0)
    """Epochs over which the learning rate rises linearly to lr."""
    weight_decay: float = _ranged(0.0, 0.0)
    """Decoupled weight decay."""
    optimizer: Literal["adabelief", "adamw", "sgd"] = "adabelief"
    """The rule of the updates."""
    eps: float = _ranged(1e-14, 1e-30)
    """Keeps AdaBelief from dividing by 0."""
    rectify: bool = True
    """AdaBelief's first five updates are momentum SGD, as in the package the paper used."""
    seed: int = _ranged(0, 0, 2**63 - 1)
    """Seed of the initial weights, the order, the augmentation and dropout."""
    deterministic: bool = False
    """Choose bit-reproducible kernels and pin the number of torch threads."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Mixed precision; auto: bf16 on a GPU that has it, fp16 on another, off on the CPU."""
    device: str = "auto"
    """Torch device; auto: the GPU where there is one."""
    checkpoint_steps: int = _ranged(0, 0)
    """Write a checkpoint every so many steps too; 0 for never."""
    checkpoint_minutes: float = _ranged(10.0, 0.0)
    """Write a checkpoint after so many minutes without one; 0 for never."""
    log_steps: int = _ranged(50, 1)
    """Steps between two log lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    pretext: PretextConfig = field(default_factory=PretextConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], source: str = "the config") -> Self:
        """Return the checked config of nested tables; `source` is named in errors."""
        sections = get_type_hints(cls)
        _refuse_unknown(tables, sections, "", source)
        parts = {}
        for name, section in sections.items():
            table = tables.get(name, {})
            if not isinstance(table, Mapping):
                raise ConfigError(f"config key '{name}' must be a table, got {table!r} in {source}")
            parts[name] = _section(section, name, table, source)
        config = cls(**parts)
        _check_milestones(config.train.milestones, source)
        return config

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return nested tables of plain values, as JSON and TOML have them."""
        plain: dict[str, dict[str, Any]] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    def to_toml(self) -> str:
        """Return the config as TOML text that `from_dict` takes back."""
        return "\n".join(
            f"[{section}]\n"
            + "".join(f"{key} = {_scalar(value)}\n" for key, value in table.items())
            for section, table in self.as_dict().items()
        )

    def digest(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of all settings."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()[:16]

    def updated(self, values: Mapping[str, Any], source: str = "the config") -> Self:
        """Return a config in which dotted keys have other values."""
        tables = self.as_dict()
        for key, value in values.items():
            section, _, name = key.partition(".")
            if section not in tables:
                raise _unknown(key, [f"{s}.{k}" for s, table in tables.items() for k in table])
            tables[section][name] = value
        return self.from_dict(tables, source)

    def differences(self, other: "Config") -> dict[str, tuple[Any, Any]]:
        """Return the dotted keys that differ, with the values here and there."""
        mine, theirs = self.as_dict(), other.as_dict()
        return {
            f"{section}.{key}": (value, theirs[section][key])
            for section, table in mine.items()
            for key, value in table.items()
            if value != theirs[section][key]
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A config under a name, with what the paper reports for it."""

    name: str
    title: str
    config: Config
    paper: Mapping[str, float]
    """MAE of yaw, pitch, roll and mean, degrees; on the reduced AFLW2000 where there is one."""
    paper_full: Mapping[str, float]
    """The same on all of AFLW2000."""


def preset_names() -> list[str]:
    """Return the names of the packaged presets, sorted."""
    return sorted(
        path.relative_to(PRESETS).with_suffix("").as_posix() for path in PRESETS.rglob("*.toml")
    )


def load_preset(name: str) -> Preset:
    """Return a packaged preset by name, or the preset in a TOML file by path."""
    if name in preset_names():
        path = PRESETS / f"{name}.toml"
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ConfigError(
            f"unknown preset {name!r}, expected a TOML file or one of {preset_names()}"
        )
    tables = _read_toml(path)
    title = str(tables.pop("title", name))
    paper, paper_full = tables.pop("paper", {}), tables.pop("paper_full", {})
    config = Config.from_dict(tables, str(path))
    return Preset(name=name, title=title, config=config, paper=paper, paper_full=paper_full)


def read_config(path: Path) -> Config:
    """Return the config in a TOML file, such as a run's `config.toml`."""
    return Config.from_dict(_read_toml(path), str(path))


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return dotted keys and values of `key=value` texts; a value that is no TOML is a string."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"a setting must be key=value, got {setting!r}")
        values[key.strip()] = _parse_value(text.strip())
    return values


def _parse_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _scalar(value: Any) -> str:
    # JSON leaves DEL as it is, TOML does not allow it.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _unknown(key: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"unknown config key {key!r}, expected one of {sorted(known)}")


def _refuse_unknown(
    table: Mapping[str, Any], known: Iterable[str], prefix: str, source: str
) -> None:
    names = set(known)
    for key in table:
        if key not in names:
            error = _unknown(prefix + key, (prefix + name for name in names))
            raise ConfigError(f"{error} in {source}")


def _section(section: Any, name: str, table: Mapping[str, Any], source: str) -> Any:
    """Return one section's dataclass with every value of `table` checked."""
    hints = get_type_hints(section)
    _refuse_unknown(table, hints, f"{name}.", source)
    ranges = {item.name: item.metadata.get("range") for item in dataclasses.fields(section)}
    values = {}
    for key, value in table.items():
        rule = _broken_rule(value, hints[key], ranges[key])
        if rule:
            raise ConfigError(
                f"config key '{name}.{key}' must be {rule}, got {value!r} in {source}"
            )
        values[key] = _converted(value, hints[key])
    return section(**values)


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "a string"),
}


def _broken_rule(value: Any, hint: Any, limits: tuple[float, float] | None) -> str:
    """Return the rule that a value breaks, or ""."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        known = any(value == choice and type(value) is type(choice) for choice in choices)
        return "" if known else f"one of {list(choices)}"
    if get_origin(hint) is tuple:
        whole = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        return "" if whole else "a list of whole numbers"
    accepted, rule = _KINDS[hint]
    # bool is an int to Python, but a mistake here.
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        return rule
    return _broken_limit(value, *limits) if limits else ""


def _broken_limit(value: Any, low: float, high: float) -> str:
    if math.isfinite(value) and low <= value <= high:
        return ""
    return f"in [{low}, {high}]" if high < math.inf else f"a number of at least {low}"


def _converted(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return tuple(value)
    return float(value) if hint is float else value


def _check_milestones(steps: Sequence[int], source: str) -> None:
    if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
        raise ConfigError(
            f"config key 'train.milestones' must rise from 1 up, got {list(steps)} in {source}"
        )
