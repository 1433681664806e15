"""Tensors out of files that others made: nothing in such a file is ever executed."""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hmtl.errors import RunError

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file by name, on the CPU.

    Names of nested dicts are joined by dots: `model.conv1.weight`. Whatever else such a file holds
    is passed over. RunError names a file that is neither, or that would have to run code.
    """
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise RunError(f"{path} is not a safetensors file: {error}") from error
    return dict(_flattened("", load_torch(path), set()))


def load_torch(path: Path) -> Any:
    """Return what a torch file holds, tensors on the CPU; RunError if it would have to run code."""
    try:
        with warnings.catch_warnings():
            # A pickle of another protocol is read, or refused with the error below.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        if found is None:
            raise RunError(f"{path} is not a torch file of tensors") from error
        raise RunError(
            f"{path} holds a {found[1]}, and loading that could run code: refused; where you trust"
            " the file, save its tensors alone: torch.save(torch.load(FILE, weights_only=False)"
            "[KEY], 'tensors.pth')"
        ) from error
    except OSError:
        raise
    except Exception as error:
        # Bytes that are no archive can raise almost anything, and what it says does not help
        # ("KeyError: 101").
        raise RunError(f"{path} is not a torch file of tensors") from error


def _flattened(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors below `value` with their names; a dict that holds itself ends there."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping) and id(value) not in seen:
        seen.add(id(value))
        for key, item in value.items():
            yield from _flattened(f"{name}.{key}" if name else f"{key}", item, seen)
