"""The paper's tables: their rows, what the paper reports for each, and the small scale."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hmtl.errors import ConfigError
from hmtl.preset import Preset, load_preset, preset_names

Scale = Literal["full", "smoke"]

TITLES = {
    "table1": "Table 1: branching points, on ETH-XGaze",
    "table2": "Table 2: auxiliary tasks and pre-training, on AFLW2000",
    "table3": "Table 3: auxiliary tasks and pre-training, on BIWI",
    "table4": "Table 4: Barlow Twins, on AFLW2000",
    "table5": "Table 5: puzzled inputs without pretext heads, on AFLW2000",
    "table6": "Table 6: few subjects, on ETH-XGaze",
}

# Steps of a moment on a CPU. One epoch ends with one checkpoint.
_SMOKE: Mapping[str, Any] = {
    "model.backbone": "resnet18",
    "data.size": 32,
    "train.batch_size": 8,
    "train.epochs": 1,
    "train.log_steps": 2,
    "train.keep_checkpoints": 1,
}
_SMOKE_PRETRAINING: Mapping[str, Any] = {
    "barlow.projector": [64, 64, 64],
    "probe.samples": 200,
    "probe.neighbours": 5,
}
# The published sets are too large for a moment. Pre-training leaves the last one to its probe.
_SMOKE_SUBJECTS = {"300w-lp": 50, "eth-xgaze": 3}


def load_rows(table: str) -> list[Preset]:
    """Return the rows of a table that are the paper's own, those without a pretext task first."""
    if table not in TITLES:
        raise ConfigError(f"unknown table {table!r}, expected one of {list(TITLES)}")
    presets = [load_preset(name) for name in preset_names() if name.startswith(f"{table}/")]
    return sorted(presets, key=lambda preset: preset.config.pretext.task != "none")


def row_name(preset: Preset) -> str:
    """Return the name of a row within its table."""
    return preset.name.rpartition("/")[2]


def choose_rows(rows: Sequence[Preset], only: Sequence[str]) -> list[Preset]:
    """Return the rows that are named, with or without their table, or all; ConfigError else."""
    names = {name: row for row in rows for name in (row_name(row), row.name)}
    unknown = next((name for name in only if name not in names), None)
    if unknown is not None:
        known = [row_name(row) for row in rows]
        raise ConfigError(f"unknown row {unknown!r}, expected one of {known}")
    wanted = [names[name] for name in only]
    return [row for row in rows if not only or row in wanted]


def reported(preset: Preset) -> dict[str, Mapping[str, float]]:
    """Return the paper's numbers of a row by the protocol that counts as they do."""
    assert preset.judged_on is not None
    if preset.judged_on.layout == "eth-xgaze":
        # Nobody leaves any of its samples out.
        return {"paper-full": preset.paper}
    numbers = {"hopenet": preset.paper, "paper-full": preset.paper_full}
    return {protocol: paper for protocol, paper in numbers.items() if paper}


def scale_settings(preset: Preset, scale: Scale) -> dict[str, Any]:
    """Return what a scale changes in a preset's settings."""
    if scale == "full":
        return {}
    settings = dict(_SMOKE)
    if preset.config.train.objective != "pose":
        settings |= _SMOKE_PRETRAINING
    if preset.config.model.init == "imagenet":
        # A first try must need no network, and be the same with and without one.
        settings["model.init"] = ""
    return settings


def most_subjects(preset: Preset, scale: Scale) -> int:
    """Return how many people a preset is trained on, the first ones; 0 for all."""
    assert preset.trains_on is not None
    if preset.trains_on.subjects or scale == "full":
        return preset.trains_on.subjects
    return _SMOKE_SUBJECTS[preset.trains_on.layout]
