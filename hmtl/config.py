"""The settings of a run: frozen dataclasses and their TOML form.

The defaults are those of the paper's section 4.2, so that a preset names only what differs.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_type_hints

from hmtl.errors import ConfigError
from hmtl.tables import ranged, read_section, refuse_unknown, toml_value, unknown_key


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network that remains at evaluation."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet50"
    """torchvision's ResNet shared by all tasks."""
    head: Literal["hopenet", "regression", "sixd"] = "hopenet"
    """Bins with expectation, three plain outputs, or a rotation in six numbers."""
    bin_width: Literal[1, 3] = 3
    """Width of a bin of the hopenet head, degrees."""
    decode: Literal["left", "centre"] = "left"
    """The angle that stands for a bin: its left edge, as HopeNet has it, or its centre."""
    dropout: float = ranged(0.5, 0.0, 0.99)
    """Dropout before the pose head."""
    init: str = ""
    """Weights to start from: "" for random, "imagenet", or a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretextConfig:
    """The auxiliary self-supervised task, or that of pre-training."""

    task: Literal["none", "puzzle", "rotation", "puzzle-rotation"] = "none"
    """What is done to the tiles of an input and asked of the network."""
    grid: int = ranged(3, 2, 8)
    """Tiles per side."""
    branch_point: Literal[1, 2, 3, 4] = 3
    """The last backbone stage that pretext and pose share."""
    dropout: float = ranged(0.2, 0.0, 0.99)
    """Dropout before the pretext classifiers."""
    weight: float = ranged(50.0, 0.0)
    """Factor of the pretext losses in the total."""
    puzzled_fraction: float = ranged(1.0, 0.0, 1.0)
    """Probability that a sample is puzzled at all."""
    heads: bool = True
    """False feeds the puzzled inputs without asking about them (Table 5's "w/o SSHs")."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """How the losses of pose and pretext task make one."""

    alpha: float = ranged(2.0, 0.0)
    """Weight of the regression beside the cross entropy of the hopenet head."""
    regression: Literal["rmse", "mse"] = "rmse"
    """Loss of the decoded angles, degrees."""
    weighting: Literal["fixed", "uncertainty", "geometric-mean"] = "fixed"
    """How the tasks are weighted against each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What the loader does with the samples."""

    size: int = ranged(224, 8, 4096)
    """Side of the square network input, px."""
    augmentation: str = "level1"
    """Name of an augmentation, or a TOML file of one."""
    crop: str = ""
    """Crop rule of the data sets; "" for the layout's default."""
    fit: Literal["short-side", "stretch"] = "short-side"
    """How a box that is not square becomes the square input at evaluation."""
    engine: Literal["native", "cuda", "dali"] = "native"
    """What renders: the core alone; cuda: a GPU, from what the core decodes; dali: the core or a
    GPU, from what NVIDIA DALI decodes. The last two need decode = "rgb"."""
    decode: Literal["planes", "rgb"] = "planes"
    """Resample JPEG's own colour planes (faster) or decoded RGB."""
    convention: Literal["", "euler", "direction"] = ""
    """What poses are learnt as: Euler angles or facing directions; "" for the data set's own."""
    on_error: Literal["raise", "substitute"] = "raise"
    """What one bad sample does to the run."""
    num_threads: int = ranged(0, 0, 1024)
    """Threads of the loader; 0 for one per core."""
    prefetch: int = ranged(3, 1, 1024)
    """Batches made ahead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The course of training."""

    objective: Literal["pose", "pretext", "barlow"] = "pose"
    """What is learnt: the pose, with the pretext task beside it; or, to start from, the pretext
    task alone, or features that two views of an image have in common."""
    freeze_backbone: bool = False
    """Linear evaluation: the backbone keeps its weights and its batch-norm statistics."""
    batch_size: int = ranged(64, 1)
    """Samples per update."""
    epochs: int = ranged(110, 1)
    """Passes over the data."""
    lr: float = ranged(0.001, 0.0)
    """Learning rate after warm-up."""
    schedule: Literal["step", "cosine"] = "step"
    """After warm-up: constant between milestones, or half a cosine over all epochs."""
    lr_final: float = ranged(0.0, 0.0, 1.0)
    """Part of lr that the cosine ends at."""
    milestones: tuple[int, ...] = (20, 100)
    """Epochs after which the learning rate is multiplied by gamma."""
    gamma: float = ranged(0.1, 0.0)
    """Factor of the learning rate at a milestone."""
    warmup_epochs: float = ranged(0.0, 0.0)
    """Epochs over which the learning rate rises linearly to lr."""
    weight_decay: float = ranged(0.0, 0.0)
    """Weight decay: decoupled, but for sgd and lars, which add it to the gradient."""
    optimizer: Literal["adabelief", "adamw", "lars", "sgd"] = "adabelief"
    """The rule of the updates."""
    momentum: float = ranged(0.9, 0.0, 0.999)
    """Part of its step that sgd and lars repeat."""
    bias_lr_ratio: float = ranged(1.0, 0.0)
    """Rate of lars for biases and normalisation, as a part of lr (0.024 in Barlow Twins' code)."""
    eps: float = ranged(1e-14, 1e-30)
    """Keeps AdaBelief from dividing by 0."""
    rectify: bool = True
    """AdaBelief's first five updates are momentum SGD, as in the package the paper used."""
    seed: int = ranged(0, 0, 2**63 - 1)
    """Seed of the initial weights, the order, the augmentation and dropout."""
    deterministic: bool = False
    """Choose bit-reproducible kernels and pin the number of torch threads."""
    compile: bool = False
    """Compile the network with torch.compile; takes a minute at the start and a C++ compiler."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Mixed precision; auto: bf16 on a GPU that has it, fp16 on another, off on the CPU."""
    sync_batchnorm: bool = False
    """Normalise by the samples of all ranks instead of each rank's own; on GPUs only."""
    device: str = "auto"
    """Torch device; auto: the GPU where there is one."""
    checkpoint_steps: int = ranged(0, 0)
    """Write a checkpoint every so many steps too; 0 for never."""
    checkpoint_minutes: float = ranged(10.0, 0.0)
    """Write a checkpoint after so many minutes without one; 0 for never."""
    keep_checkpoints: int = ranged(2, 1)
    """Newest checkpoints that are kept; the best one is kept beside them."""
    bad_steps: int = ranged(10, 1)
    """Updates in a row with a loss or gradient that is not finite that end the run."""
    log_steps: int = ranged(50, 1)
    """Steps between two log lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BarlowConfig:
    """Barlow Twins pre-training."""

    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the layers behind the backbone, of which the loss takes the last."""
    redundancy_weight: float = ranged(0.0051, 0.0)
    """Weight of the correlations between different features."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """What tells during pre-training how much the features know of the pose."""

    samples: int = ranged(5000, 0)
    """Most samples that the regressions are fitted to, and most that they are judged by; 0 for
    none."""
    neighbours: int = ranged(20, 1)
    """Samples whose mean pose a regression by nearest neighbours takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    pretext: PretextConfig = field(default_factory=PretextConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    barlow: BarlowConfig = field(default_factory=BarlowConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], source: str = "the config") -> Self:
        """Return the checked config of nested tables; `source` is named in errors."""
        sections = get_type_hints(cls)
        refuse_unknown(tables, sections, "", source)
        parts = {}
        for name, section in sections.items():
            table = tables.get(name, {})
            if not isinstance(table, Mapping):
                raise ConfigError(f"config key '{name}' must be a table, got {table!r} in {source}")
            parts[name] = read_section(section, name, table, source)
        config = cls(**parts)
        _check_decode(config.data, source)
        _check_milestones(config.train.milestones, source)
        _check_projector(config.barlow.projector, source)
        return config

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return nested tables of plain values, as JSON and TOML have them."""
        plain: dict[str, dict[str, Any]] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    def to_toml(self) -> str:
        """Return the config as TOML text that `from_dict` takes back."""
        return "\n".join(
            f"[{section}]\n"
            + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
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
                raise unknown_key(key, [f"{s}.{k}" for s, table in tables.items() for k in table])
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


def _check_decode(data: DataConfig, source: str) -> None:
    if data.engine != "native" and data.decode != "rgb":
        raise ConfigError(
            f"config key 'data.decode' must be 'rgb' where 'data.engine' is {data.engine!r}, got"
            f" {data.decode!r} in {source}"
        )


def _check_milestones(steps: Sequence[int], source: str) -> None:
    if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
        raise ConfigError(
            f"config key 'train.milestones' must rise from 1 up, got {list(steps)} in {source}"
        )


def _check_projector(widths: Sequence[int], source: str) -> None:
    if not widths or min(widths) < 1:
        raise ConfigError(
            f"config key 'barlow.projector' must have widths of at least 1, got {list(widths)}"
            f" in {source}"
        )
