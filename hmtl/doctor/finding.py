"""What an examination finds, one thing at a time."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "broken"]

REPORT = "please report this, with the lines above"
"""The remedy for what should not be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that hmtl needs or can use, and how it is here."""

    part: str
    """What it belongs to: core, GPU, engines, …"""
    name: str
    state: State
    """missing: hmtl works without it; broken: something does not do what it should."""
    text: str
    """What was found."""
    remedy: str = ""
    """How to get what is missing, or what to do about what is broken."""
