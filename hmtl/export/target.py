"""What can be asked of an export, and whether it can be had. Imports no torch."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from hmtl.errors import ConfigError

Format = Literal["onnx", "pt2", "safetensors"]
Input = Literal["uint8", "float"]

FORMATS: tuple[Format, ...] = get_args(Format)
INPUTS: tuple[Input, ...] = get_args(Input)
# torch's translations are written in it: newer ones are converted to, older ones cannot be had.
OLDEST_OPSET = 18

_PACKAGES: dict[Format, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript", "onnxruntime")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The file that is asked for."""

    path: Path
    format: Format
    input: Input
    """Bytes as `Batch.images` has them, or floats as `Batch.normalized()` gives them."""
    opset: int = OLDEST_OPSET
    """Version of ONNX's operators."""

    @classmethod
    def choose(
        cls,
        path: Path,
        *,
        format: Format | None = None,
        input: Input | None = None,
        opset: int | None = None,
    ) -> Self:
        """Return the target with what is None filled in: the format follows the suffix.

        ConfigError says what contradicts what, or where `path` cannot be a file.
        """
        chosen = _format(path, format)
        if chosen == "safetensors" and input is not None:
            raise ConfigError(f"--input must be left out for safetensors, got {input!r}")
        if chosen != "onnx" and opset is not None:
            raise ConfigError(f"--opset must be left out for {chosen}, got {opset}")
        if opset is not None and opset < OLDEST_OPSET:
            raise ConfigError(f"--opset must be at least {OLDEST_OPSET}, got {opset}")
        if path.is_dir():
            raise ConfigError(f"OUT must be a file, got the folder {path}")
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"OUT must be in a folder that exists, got {path}")
        # Weights alone are the plain network's, which takes floats.
        plain: Input = "float" if chosen == "safetensors" else "uint8"
        return cls(path=path, format=chosen, input=input or plain, opset=opset or OLDEST_OPSET)


def require_packages(format: Format) -> None:
    """Raise ConfigError unless all that writes this format, and reads it back, is installed."""
    missing = [name for name in _PACKAGES.get(format, ()) if not importlib.util.find_spec(name)]
    if missing:
        names = ", ".join(missing)
        raise ConfigError(f"format {format!r} needs {names}: pip install 'hmtl[export]'")


def _format(path: Path, given: Format | None) -> Format:
    named = next((name for name in FORMATS if path.suffix == f".{name}"), None)
    if given is None and named is None:
        suffixes = ", ".join(f".{name}" for name in FORMATS)
        raise ConfigError(f"OUT must end in one of {suffixes}, or --format be given, got {path}")
    if given is not None and path.suffix not in ("", f".{given}"):
        raise ConfigError(f"OUT must end in .{given} for --format {given}, got {path}")
    chosen = given or named
    assert chosen is not None
    return chosen
