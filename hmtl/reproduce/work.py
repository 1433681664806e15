"""Carrying a plan out: what is not done yet is done, and the table is written after every row."""

import fcntl
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torchvision

from hmtl.assemble import initialise
from hmtl.durable import write_text
from hmtl.engine import StopSignal
from hmtl.errors import ConfigError, RunError
from hmtl.evaluate import RESULTS
from hmtl.launch import FAILED, MISUSED, STOPPED
from hmtl.reproduce.document import command_line, make_document
from hmtl.reproduce.outcome import look_at
from hmtl.reproduce.page import render_page
from hmtl.reproduce.plan import Plan, Run
from hmtl.reproduce.process import run_command
from hmtl.runlog import locked

_LOOK_S = 0.2


def check_imagenet(plan: Plan) -> None:
    """Fetch the ImageNet weights that the plan needs, or raise the error that says how."""
    configs = [run.config for run in plan.runs() if not look_at(run).is_trained]
    for config in {c.model.backbone: c for c in configs if c.model.init == "imagenet"}.values():
        initialise(torchvision.models.get_model(config.model.backbone), config)


class Work:
    """A plan that is being carried out."""

    def __init__(
        self, plan: Plan, *, say: Callable[[str], None], stdout: int | None = None
    ) -> None:
        """`say` is given lines about the progress; commands write to the descriptor `stdout`."""
        self._plan, self._say, self._stdout = plan, say, stdout
        self._stopped_by = ""
        self.failures: dict[Path, str] = {}
        """What went wrong with run folders."""

    def carry_out(self) -> int:
        """Do what is not done, and return 0, 1 where a run failed, or 75 after a signal.

        Raises ConfigError where a command finds the settings wrong.
        """
        with StopSignal() as stop:
            for run in self._plan.runs():
                self._complete(run, stop)
                self.write()
                if self._is_stopped(stop):
                    self._say(f"stopped by {self._stopped_by}: the same command goes on")
                    return STOPPED
        return FAILED if self.failures else 0

    def found(self) -> dict[str, Any]:
        """Return the table as it is now."""
        return make_document(self._plan, self.failures)

    def write(self) -> None:
        """Write the table as JSON and as a page."""
        found = self.found()
        place, table = self._plan.asked.out, self._plan.asked.table
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        # Names that are not UTF-8 hold surrogates.
        page = render_page(self._plan, found).encode("utf-8", "backslashreplace").decode()
        place.mkdir(parents=True, exist_ok=True)
        # Another process may be at other rows of the same table.
        with (place / f".{table}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_text(place / f"{table}.json", text)
            write_text(place / f"{table}.html", page)

    def _is_stopped(self, stop: StopSignal) -> bool:
        """Return whether to stop: because this process was told to, or what it had started."""
        self._stopped_by = self._stopped_by or stop()
        return bool(self._stopped_by)

    def _complete(self, run: Run, stop: StopSignal) -> None:
        """Train a run, after what it starts from, and evaluate it, as far as that is not done."""
        if not self._train(run, stop) or look_at(run).is_done:
            return
        if self._do(run, run.judging, stop) and not look_at(run).is_done:
            self.failures[run.folder] = f"{run.folder / RESULTS} has not all that was asked for"

    def _train(self, run: Run, stop: StopSignal) -> bool:
        """Train a run that is not trained, and return whether it is."""
        if run.folder in self.failures:
            return False
        if look_at(run).is_trained:
            return True
        start = run.starts_from
        if start is not None and not self._train(start, stop):
            if start.folder in self.failures:
                error = self.failures[start.folder]
                self.failures[run.folder] = f"its pre-training {start.folder} failed: {error}"
            return False
        return self._do(run, run.training, stop)

    def _do(self, run: Run, words: Sequence[str], stop: StopSignal) -> bool:
        """Run a command for a run folder, and return whether it did its work."""
        self._wait_for(run, stop)
        if self._is_stopped(stop):
            return False
        self._say(f"$ {command_line(words)}")
        ended = run_command(words, stop=stop, tell=self._say, stdout=self._stdout)
        if ended.code == STOPPED:
            self._stopped_by = stop() or "a signal"
        elif ended.code == MISUSED:
            # The other rows have the same settings.
            raise ConfigError(ended.error)
        elif ended.code and not self._is_stopped(stop):
            self.failures[run.folder] = ended.error
        return ended.code == 0

    def _wait_for(self, run: Run, stop: StopSignal) -> None:
        """Wait until nobody else trains in a run's folder: another table's pre-training may."""
        told = False
        while run.folder.exists() and not stop():
            try:
                with locked(run.folder):
                    return
            except RunError as error:
                if not told:
                    self._say(f"waiting: {error}")
                told = True
                time.sleep(_LOOK_S)
