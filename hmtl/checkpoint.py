"""Checkpoints (everything needed to resume) and weights (the plain network), written atomically."""

import contextlib
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hmtl.config import Config
from hmtl.errors import RunError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file takes the place of `path` once it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: nested dicts, lists, numbers, strings and tensors."""
    with atomic_path(path) as temporary:
        torch.save(dict(state), temporary)


def load(path: Path) -> dict[str, Any]:
    """Return a checkpoint with its tensors on the CPU; nothing in the file is executed."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise RunError(f"{path} is not a readable checkpoint: {_first_line(error)}") from error
    return state


def snapshot(value: Any) -> Any:
    """Return a copy of nested containers whose tensors lie on the CPU and stay as they are now."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(snapshot(item) for item in value)
    return value


class Writer:
    """Writes checkpoints on a thread of its own, one at a time, while training goes on."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def submit(self, write: Callable[[], None]) -> None:
        """Start a write; waits for the one before and raises its error."""
        self.wait()
        self._pending = self._thread.submit(write)

    @property
    def busy(self) -> bool:
        """Whether a write is still going on."""
        return self._pending is not None and not self._pending.done()

    def wait(self) -> None:
        """Wait until everything is on the disk; raises the error of a failed write."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Finish the pending write and end the thread."""
        self._thread.shutdown(wait=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The plain network as a file holds it."""

    tensors: Mapping[str, Tensor]
    config: Config
    step: int


def save_weights(path: Path, weights: Mapping[str, Tensor], config: Config, step: int) -> None:
    """Write the plain network's weights as safetensors, with the config and the step inside."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    metadata = {"format": "pt", "config": json.dumps(config.as_dict()), "step": str(step)}
    with atomic_path(path) as temporary:
        # save_file would make a file that only its owner may read.
        temporary.write_bytes(safetensors.torch.save(tensors, metadata=metadata))


def load_weights(path: Path) -> Weights:
    """Return the weights that `save_weights` wrote, on the CPU."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist: the run has no finished epoch") from error
    except safetensors.SafetensorError as error:
        raise RunError(f"{path} is not a safetensors file: {_first_line(error)}") from error
    if "config" not in metadata:
        raise RunError(f"{path} holds no config: it was not written by a run of hmtl")
    config = Config.from_dict(json.loads(metadata["config"]), str(path))
    return Weights(tensors=tensors, config=config, step=int(metadata.get("step", 0)))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
