"""The packaged presets, configs in files, and settings as a command line has them."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmtl.config import Config
from hmtl.errors import ConfigError
from hmtl.tables import ranged, read_section, read_toml

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The samples that the paper trains or judges a row on."""

    layout: str = ""
    """Layout of the published data set."""
    split: str = ""
    """Published split of it; "" where it has none."""
    subjects: int = ranged(0, 0)
    """How many of its people, the first ones; 0 for all."""


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
    starts_from: str
    """The pre-training preset whose weights it starts from; "" where it needs none."""
    trains_on: Source | None
    """What the paper trains it on; None for a preset that is not the paper's."""
    judged_on: Source | None
    """What the paper's numbers are errors on; None where it has none, as of pre-training."""


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
    tables = read_toml(path)
    title = str(tables.pop("title", name))
    paper, paper_full = tables.pop("paper", {}), tables.pop("paper_full", {})
    starts_from = str(tables.pop("starts_from", ""))
    trains_on, judged_on = (_read_source(tables, key, path) for key in ("trains_on", "judged_on"))
    config = Config.from_dict(tables, str(path))
    return Preset(
        name=name,
        title=title,
        config=config,
        paper=paper,
        paper_full=paper_full,
        starts_from=starts_from,
        trains_on=trains_on,
        judged_on=judged_on,
    )


def read_config(path: Path) -> Config:
    """Return the config in a TOML file, such as a run's `config.toml`."""
    return Config.from_dict(read_toml(path), str(path))


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return dotted keys and values of `key=value` texts; a value that is no TOML is a string."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"a setting must be key=value, got {setting!r}")
        values[key.strip()] = _parse_value(text.strip())
    return values


def _read_source(tables: dict[str, Any], key: str, path: Path) -> Source | None:
    """Take a source out of a preset's tables; None where there is none."""
    table = tables.pop(key, None)
    if table is None:
        return None
    if not isinstance(table, dict) or not table.get("layout"):
        raise ConfigError(f"'{key}' must be a table that names a layout, got {table!r} in {path}")
    source: Source = read_section(Source, key, table, str(path))
    return source


def _parse_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text
