"""Values of arguments: the checks that name the argument, the value and the rule."""

import operator
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np

from hmtl.errors import ConfigError


def check_choice(name: str, value: object, choices: Any) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} must be one of {list(choices)}, got {value!r}")


def yes_or_no(name: str, value: object) -> bool:
    """Return a plain bool; raise ConfigError unless it is one, of Python or NumPy."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def real_number(name: str, value: object, low: float, high: float) -> float:
    """Return a plain float; raise ConfigError unless it is a number in [`low`, `high`]."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not low <= number <= high:
        raise ConfigError(f"{name} must be in [{low}, {high}], got {number}")
    return number


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Return a plain int; raise ConfigError unless it is whole and in [`low`, `high`]."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    number = operator.index(value)
    if not low <= number <= high:
        raise ConfigError(f"{name} must be in [{low}, {high}], got {number}")
    return number
