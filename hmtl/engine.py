"""Training as a call: a config and datasets in, a run folder out."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from rich.console import Console

from hmtl.assemble import BEST_WEIGHTS, WEIGHTS, choose_device, usable_samples
from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.distributed import is_main, world_size
from hmtl.durable import discard_leftovers, write_text
from hmtl.errors import ConfigError
from hmtl.memory import keep_freed_memory
from hmtl.objectives.build import build_objective, build_validation
from hmtl.progress import Reporter
from hmtl.provenance import start_fields
from hmtl.rendezvous import from_main, joined, losing_ranks, together
from hmtl.run_checkpoints import BEST, LAST, RunCheckpoints
from hmtl.runlog import LOG, RunLog, locked
from hmtl.tensorboard import Board, require_writer
from hmtl.trainer import Outcome, Trainer

CONFIG = "config.toml"

# cuBLAS reads it at the first matrix product of the process, which may be before a run that has to
# be deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def train(
    config: Config,
    *,
    data: Dataset,
    out: Path,
    validation: Sequence[Dataset] = (),
    resume: bool = False,
    allow_changes: bool = False,
    tensorboard: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """Train a network into the run folder `out`, or go on with the run that is there.

    `validation` is evaluated after every epoch; in pre-training the features are probed on it,
    before the first update as well. `tensorboard` shows the log there, too. ConfigError says what
    of the call is wrong, RunError what went wrong with the run.
    """
    if tensorboard:
        require_writer()
    config, data = with_convention(config, data)
    with joined(), losing_ranks(), contextlib.ExitStack() as held:
        show = held.enter_context(reporter or Reporter() if is_main() else _silent())
        state = from_main(
            lambda: _take_over(
                held, out, config, resume=resume, allow_changes=allow_changes, show=show
            )
        )
        if state and state["epoch"] >= config.train.epochs:
            show.say(f"{out} has finished its {state['epoch']} epochs: nothing to do")
            return Outcome(step=state["step"], epoch=state["epoch"], stopped_by="")
        device = _set_torch_up(held, config, state["threads"] if state else None)
        usable = together(lambda: usable_samples(config, data))
        stop = held.enter_context(StopSignal())
        log = held.enter_context(_log(out, tensorboard=tensorboard))

        def prepared() -> Trainer:
            objective = build_objective(config, device)
            trainer = Trainer(
                config,
                usable,
                objective=objective,
                validate=build_validation(objective, validation, config, learnt=usable),
                baseline=config.train.objective != "pose",
                out=out,
                device=device,
                log=log,
                show=show,
                stop=stop,
            )
            held.enter_context(contextlib.closing(trainer))
            trainer.begin(state, allow_changes=allow_changes)
            return trainer

        trainer = together(prepared)
        left_out = len(data) - len(usable)
        facts = start_fields(
            config, usable, out_of_range=left_out, validation=validation, device=device
        )
        return trainer.run(facts)


def _set_torch_up(held: contextlib.ExitStack, config: Config, threads: int | None) -> torch.device:
    """Return this rank's device; random state, kernels and threads are as before after `held`."""
    device = together(lambda: choose_device(config.train.device))
    if device.type == "cuda":
        held.enter_context(torch.cuda.device(device))
    held.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
    held.enter_context(numerics(config.train.deterministic, threads))
    return device


def _silent() -> Reporter:
    return Reporter(Console(quiet=True))


@contextlib.contextmanager
def _log(out: Path, *, tensorboard: bool) -> Iterator[RunLog]:
    """Open the log of the run; what ranks beside the first one write goes nowhere."""
    board = Board(out) if tensorboard and is_main() else None
    path = out / LOG if is_main() else Path(os.devnull)
    with board or contextlib.nullcontext(), RunLog(path, also=board) as log:
        yield log


def _take_over(
    held: contextlib.ExitStack,
    out: Path,
    config: Config,
    *,
    resume: bool,
    allow_changes: bool,
    show: Reporter,
) -> dict[str, Any] | None:
    """Lock the run folder, return the state to go on from, and write the config into it."""
    held.enter_context(locked(out))
    state = _previous(out, config, resume=resume, allow_changes=allow_changes, show=show)
    if resume and state is None:
        show.say(f"no checkpoint in {out}: starting at step 0")
    if state is None or state["epoch"] < config.train.epochs:
        write_text(out / CONFIG, config.to_toml())
    return state


def with_convention(config: Config, data: Dataset) -> tuple[Config, Dataset]:
    """Return the config that names what poses are learnt as, and the data as such.

    It is kept with the run: a network's numbers mean nothing without it.
    """
    convention = config.data.convention or data.convention
    return config.updated({"data.convention": convention}), data.converted(convention)


class StopSignal:
    """Notes SIGTERM and SIGUSR1, so that a run can stop at a step of its choice."""

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self._caught = ""
        self._handlers: dict[int, Any] = {}

    def __call__(self) -> str:
        """Return the name of the signal that came, or ""."""
        return self._caught

    def __enter__(self) -> Self:
        # Only the main thread may change how a process answers signals.
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A launcher sends SIGTERM to what is left of a run once the first process has ended.
        if world_size() > 1:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._caught = signal.Signals(number).name


def _previous(
    out: Path, config: Config, *, resume: bool, allow_changes: bool, show: Reporter
) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, None to start; refuse what was not asked for."""
    if not resume:
        found = sorted(path.name for path in out.iterdir() if path.name != ".lock")
        if found:
            raise ConfigError(
                f"--out must be an empty folder, or a run to --resume, got {out} with {found[0]}"
            )
        return None
    discard_leftovers(*(out / name for name in (LAST, BEST, WEIGHTS, BEST_WEIGHTS, CONFIG)))
    state = RunCheckpoints(out, keep=config.train.keep_checkpoints).newest(show.say)
    if state is None:
        return None
    changes = Config.from_dict(state["config"], str(out / LAST)).differences(config)
    if changes and not allow_changes:
        named = ", ".join(f"{key} from {old!r} to {new!r}" for key, (old, new) in changes.items())
        raise ConfigError(f"--resume of {out} changes {named}: --allow-changes permits it")
    return state


@contextlib.contextmanager
def numerics(deterministic: bool, threads: int | None = None) -> Iterator[None]:
    """Choose kernels for speed, or bit-reproducible ones with the number of threads of before.

    The process keeps memory that was freed from then on; the kernels are put back at the end.
    """
    keep_freed_memory()
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    if deterministic:
        torch.set_num_threads(threads or before[0])
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = before[1]
        torch.set_num_threads(before[0])
