"""Something to be reached: at least, at most, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """A figure and its limits, of which there is at least one."""

    name: str
    found: float | None
    """None where it was not measured."""
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        if self.least is None and self.most is None:
            raise ValueError(f"a goal must have a limit, got none for {self.name!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; `reached` is None where nothing was measured."""
        limits = {"least": self.least, "most": self.most}
        return {
            "goal": self.name,
            "found": None if self.found is None else round(self.found, 4),
            **{name: limit for name, limit in limits.items() if limit is not None},
            "reached": self._reached(),
        }

    def _reached(self) -> bool | None:
        if self.found is None:
            return None
        is_enough = self.least is None or self.found >= self.least
        return is_enough and (self.most is None or self.found <= self.most)


def line(goal: Mapping[str, Any]) -> str:
    """Return what is printed of a goal's plain values."""
    verdict = {True: "reached", False: "MISSED", None: "not measured"}[goal["reached"]]
    signs = {"least": "≥", "most": "≤"}
    limits = [f"{sign} {goal[limit]:,}" for limit, sign in signs.items() if limit in goal]
    return f"{verdict}: {goal['goal']}: {goal['found']} ({', '.join(limits)})"
