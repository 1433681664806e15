"""Runs of the real command in processes that can be killed."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import weights

PATIENCE_S = 240


class Run:
    """A run folder, and the processes that train in it one after the other."""

    def __init__(self, out: Path, command: Sequence[str], settings: Mapping[str, object]) -> None:
        """Take the words behind `hmtl`, without settings and without --out."""
        self.out = out
        self._read_bytes = 0
        self._entries: list[dict[str, Any]] = []
        values = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        self._arguments = [*command, *values, "--out", str(out), "--resume"]

    def start(self, shell: str = "") -> subprocess.Popen[str]:
        """Start the command with --resume; `shell` is done before it in its process."""
        command = [sys.executable, "-P", "-m", "hmtl", *self._arguments]
        return subprocess.Popen(
            ["bash", "-c", f"{shell} exec {shlex.join(command)}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self) -> str:
        """Train to the end and return what was said."""
        process = self.start()
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        return said

    def log(self) -> list[dict[str, Any]]:
        """Return all whole lines of the log, those that were done again too."""
        path = self.out / "log.jsonl"
        size = path.stat().st_size if path.exists() else 0
        # Looked at as often as possible: reading it each time would slow down who writes.
        if size != self._read_bytes:
            text = path.read_bytes()
            self._read_bytes = len(text)
            self._entries = [json.loads(line) for line in text.split(b"\n")[:-1]]
        return self._entries

    def starts(self) -> list[int]:
        return [entry["step"] for entry in self.log() if entry["event"] == "start"]

    def reached(self) -> int:
        """Return the step that the present process has logged last; -1 before its first line."""
        steps = [-1]
        for entry in self.log():
            steps = [entry["step"]] if entry["event"] == "start" else [*steps, entry["step"]]
        return steps[-1]

    def weights(self, name: str = "weights.safetensors") -> dict[str, torch.Tensor]:
        return weights(self.out, name)

    def names(self) -> set[str]:
        return {path.relative_to(self.out).as_posix() for path in self.out.rglob("*")}


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Look as often as possible, so that what comes next happens at once."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"ended too early: {process.stdout and process.stdout.read()}")
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> str:
    """Send a signal, and return what the process said until it ended."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE_S)
    return said
