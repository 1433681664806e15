"""Tables of settings, as TOML has them, checked against the fields of dataclasses."""

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hmtl.errors import ConfigError


def ranged(default: float, minimum: float, maximum: float = math.inf) -> Any:
    """Return a dataclass field whose value must lie in [minimum, maximum]."""
    return field(default=default, metadata={"range": (minimum, maximum)})


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; ConfigError where it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def toml_value(value: Any) -> str:
    """Return a number, string, truth value or list of those as TOML."""
    # JSON leaves DEL as it is, TOML does not allow it.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def unknown_key(key: str, known: Iterable[str]) -> ConfigError:
    """Return the error that names a key and the known ones."""
    return ConfigError(f"unknown config key {key!r}, expected one of {sorted(known)}")


def refuse_unknown(
    table: Mapping[str, Any], known: Iterable[str], prefix: str, source: str
) -> None:
    """Raise ConfigError for a key of `table` that is not known; `prefix` comes before its name."""
    names = set(known)
    for key in table:
        if key not in names:
            error = unknown_key(prefix + key, (prefix + name for name in names))
            raise ConfigError(f"{error} in {source}")


def read_section(section: Any, name: str, table: Mapping[str, Any], source: str) -> Any:
    """Return one section's dataclass with every value of `table` checked."""
    hints = get_type_hints(section)
    refuse_unknown(table, hints, f"{name}.", source)
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
