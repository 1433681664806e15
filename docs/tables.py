"""Write the tables of docs/loader.md that the code has: `python docs/tables.py`."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from hmtl.data.augmentation import _RANGES, PRESETS, Augmentation
from hmtl.show.ranges import field_docs

PAGE = Path(__file__).with_name("loader.md")


def augmentation_table() -> list[list[str]]:
    """Return every stage: name, default, limits, meaning."""
    docs = field_docs(Augmentation)
    rows = [["field", "default", "from, to", "meaning"], ["---"] * 4]
    for field in fields(Augmentation):
        low, high = _RANGES.get(field.name, (0.0, 1.0))
        limits = f"{low:g}, {high:g}"
        rows.append([f"`{field.name}`", _shown(field.default), limits, docs[field.name]])
    return rows


def preset_table() -> list[list[str]]:
    """Return what each preset sets, of the fields that any of them sets."""
    unchanged = Augmentation()
    rows = [["", *(f"`{name}`" for name in PRESETS)], ["---"] * (len(PRESETS) + 1)]
    for field in fields(Augmentation):
        values = [getattr(preset, field.name) for preset in PRESETS.values()]
        default = getattr(unchanged, field.name)
        cells = ["" if value == default else _shown(value) for value in values]
        if any(cells):
            rows.append([f"`{field.name}`", *cells])
    return rows


TABLES = {"augmentation": augmentation_table, "preset": preset_table}


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    for name, table in TABLES.items():
        lines = "".join(f"| {' | '.join(row)} |\n" for row in table())
        start, end = f"<!-- {name}-table -->\n", f"<!-- /{name}-table -->"
        place = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        assert len(place.findall(text)) == 1, name
        text = place.sub(lambda _, new=start + lines + end: new, text)
    return text


def _shown(value: Any) -> str:
    return ", ".join(
        f"{number:.3g}" for number in (value if isinstance(value, tuple) else (value,))
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
