"""A trainer that leaves no run behind, to be measured."""

import io
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from rich.console import Console

from hmtl.assemble import choose_device, usable_samples
from hmtl.config import Config
from hmtl.data import Batch, Dataset, Loader
from hmtl.engine import numerics, with_convention
from hmtl.objectives.build import build_objective
from hmtl.progress import Reporter
from hmtl.runlog import LOG, RunLog
from hmtl.trainer import Trainer


@contextmanager
def trial(config: Config, data: Dataset) -> Iterator[Trainer]:
    """Yield a trainer with initial weights on `data`, made as `engine.train` makes it.

    It logs and reports as in a run, to where nobody sees it, and writes no checkpoints.
    """
    config, data = with_convention(config, data)
    config = config.updated({"train.checkpoint_steps": 0, "train.checkpoint_minutes": 0.0})
    device = choose_device(config.train.device)
    with (
        tempfile.TemporaryDirectory(prefix="hmtl-") as folder,
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        numerics(config.train.deterministic),
        RunLog(Path(folder) / LOG) as log,
        Reporter(Console(file=io.StringIO())) as show,
    ):
        torch.manual_seed(config.train.seed)
        trainer = Trainer(
            config,
            usable_samples(config, data),
            objective=build_objective(config, device),
            validate=list,
            baseline=False,
            out=Path(folder),
            device=device,
            log=log,
            show=show,
            stop=lambda: "",
        )
        with closing(trainer):
            trainer.objective.initialise(trainer.config)
            trainer.objective.train()
            yield trainer


def endless(loader: Loader) -> Iterator[Batch]:
    """Yield a loader's batches, epoch after epoch."""
    return itertools.chain.from_iterable(iter(loader) for _ in itertools.count())


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
