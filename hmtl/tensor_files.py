"""Files of tensors: written atomically, read without executing anything that is in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hmtl.durable import atomic_path
from hmtl.errors import RunError

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors by name as safetensors, with texts beside them."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # save_file would make a file that only its owner may read.
        temporary.write_bytes(safetensors.torch.save(contiguous, {"format": "pt", **metadata}))


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
    if zipfile.is_zipfile(path) and (name := _compressed(path)):
        raise RunError(f"{path} is no file of torch's: {name} in it is compressed")
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


def compressed_member(archive: zipfile.ZipFile) -> str:
    """Return the name of a member that is compressed, or "".

    torch compresses nothing: such an archive would be one made to fill the memory.
    """
    return next((item.filename for item in archive.infolist() if item.compress_type), "")


def _compressed(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return compressed_member(archive)
    except zipfile.BadZipFile:
        return ""  # told by who loads it


def _flattened(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors below `value` with their names; a dict that holds itself ends there."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping) and id(value) not in seen:
        seen.add(id(value))
        for key, item in value.items():
            yield from _flattened(f"{name}.{key}" if name else f"{key}", item, seen)
