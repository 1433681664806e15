"""A report as one HTML page that needs nothing beside itself."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under a header; the first column names the row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading with a table, a picture, a note, or several of them."""

    heading: str
    table: Table | None = None
    png: bytes | None = None
    note: str = ""

    @property
    def picture(self) -> str:
        """The picture in base64, "" where there is none."""
        return base64.b64encode(self.png).decode() if self.png else ""


def render_report(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the page's HTML; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("report.html.j2")
    return template.render(title=title, lead=lead, sections=sections)
