"""The ranges and probabilities of an augmentation as a TOML file that the loader takes."""

import ast
import inspect
import json
import textwrap
from dataclasses import asdict
from typing import Any

from hmtl.data.augmentation import PRESETS, Augmentation


def augmentation_toml(augmentation: Augmentation) -> str:
    """Return every stage with its meaning, whether it does something or not."""
    explained = field_docs(Augmentation)
    values = asdict(augmentation)
    return "\n".join(f"# {explained[name]}\n{_line(name, values[name])}" for name in values)


def presets_toml() -> str:
    """Return every preset as a table of what it changes."""
    unchanged = asdict(Augmentation())
    tables = []
    for name, preset in PRESETS.items():
        changed = {key: value for key, value in asdict(preset).items() if value != unchanged[key]}
        tables.append("\n".join([f"[{name}]", *(_line(key, changed[key]) for key in changed)]))
    return "\n\n".join(tables)


def field_docs(cls: type) -> dict[str, str]:
    """Return the text below each field of a dataclass, in one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(field.target, ast.Name)
            docs[field.target.id] = " ".join(ast.literal_eval(below.value).split())
    return docs


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value)}"
