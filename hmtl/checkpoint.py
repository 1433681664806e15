"""Checkpoints (everything needed to resume) and weights (the plain network), written atomically."""

import json
import logging
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hmtl.config import Config
from hmtl.durable import atomic_path
from hmtl.errors import RunError
from hmtl.tensor_files import compressed_member, load_torch, write_tensors

_logger = logging.getLogger(__name__)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint: nested dicts, lists, numbers, strings and tensors."""
    with atomic_path(path) as temporary:
        write(temporary, state)


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint as it goes, for callers that see to its place and the disk."""
    # torch's own files hide what the system said ("unexpected pos 768 vs 662" for a full disk).
    with path.open("wb") as file:
        torch.save(dict(state), file)


def load(path: Path) -> dict[str, Any]:
    """Return a checkpoint with its tensors on the CPU; nothing in the file is executed.

    RunError says that the file is no checkpoint, is not whole, or has a byte that was not written.
    """
    problem = _damage(path)
    if problem:
        raise RunError(f"{path} is damaged: {problem}")
    state = load_torch(path)
    if not isinstance(state, dict):
        raise RunError(f"{path} is no checkpoint: it holds a {type(state).__name__}")
    return state


def _damage(path: Path) -> str:
    """Return what is wrong with the archive that a checkpoint is, or ""; reads all of it.

    torch writes a CRC-32 for each member, but does not look at it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if name := compressed_member(archive):
                return f"{name} is compressed"
            torn = archive.testzip()
    except FileNotFoundError:
        raise
    # A damaged archive can raise almost anything.
    except Exception as error:
        return _first_line(error)
    return f"the checksum of {torn} is wrong" if torn else ""


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
    """Writes checkpoints beside the training, one at a time.

    Each write has a thread of its own that ends with it: OpenMP counts the helpers of every living
    thread, and once they are more than there are cores, those of the training fall asleep between
    two operations (a third of a CPU's images/s).
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def submit(self, write: Callable[[], None]) -> None:
        """Start a write; waits for the one before and raises its error."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raise the error of a write that has failed; does not wait."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    @property
    def busy(self) -> bool:
        """Whether a write is still going on."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Wait until everything is on the disk; raises the error of a failed write."""
        if self._thread is not None:
            self._thread.join()
        self._thread, error = None, self._error
        self._error = None
        if error is not None:
            raise error

    def close(self) -> None:
        """Finish the pending write; its error is logged, as another one may be on its way."""
        try:
            self.wait()
        except Exception as error:
            _logger.error("checkpoint not written: %s", error)

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            self._error = error


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The plain network as a file holds it."""

    path: Path
    tensors: Mapping[str, Tensor]
    config: Config
    step: int


def save_weights(path: Path, weights: Mapping[str, Tensor], config: Config, step: int) -> None:
    """Write the plain network's weights as safetensors, with the config and the step inside."""
    metadata = {"config": json.dumps(config.as_dict()), "step": str(step)}
    write_tensors(path, weights, metadata)


def weights_step(path: Path) -> int:
    """Return the step whose weights `save_weights` wrote, from the file's header alone."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return int((file.metadata() or {}).get("step", 0))
    except (safetensors.SafetensorError, ValueError) as error:
        raise RunError(f"{path} is damaged: {_first_line(error)}") from error


def load_weights(path: Path) -> Weights:
    """Return the weights that `save_weights` wrote, on the CPU."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist: no epoch of the run has left it") from error
    except safetensors.SafetensorError as error:
        raise RunError(f"{path} is not a safetensors file: {_first_line(error)}") from error
    if "config" not in metadata:
        raise RunError(f"{path} holds no config: it was not written by a run of hmtl")
    try:
        tables, step = dict(json.loads(metadata["config"])), int(metadata.get("step", 0))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} holds a config that is not one: {error}") from error
    config = Config.from_dict(tables, str(path))
    return Weights(path=path, tensors=tensors, config=config, step=step)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
