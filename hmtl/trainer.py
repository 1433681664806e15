"""One process's part of a training run: the loop over epochs and steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hmtl.agreement import Agreement
from hmtl.assemble import learning_rate, training_loader
from hmtl.config import Config
from hmtl.data import Batch, Dataset
from hmtl.distributed import agreed, broadcast_buffers, is_main, world_size
from hmtl.errors import ConfigError, RunError
from hmtl.learner import Learner
from hmtl.meter import LossMeter
from hmtl.objectives.build import Validate
from hmtl.objectives.objective import Objective
from hmtl.progress import Reporter
from hmtl.provenance import versions
from hmtl.randomness import random_states, restore_random_state, seed_rank
from hmtl.rendezvous import losing_ranks, of_all_ranks, told_once
from hmtl.run_checkpoints import LAST
from hmtl.runlog import Entry, RunLog
from hmtl.saving import Saver


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a training run ended."""

    step: int
    """Updates done."""
    epoch: int
    """Epochs finished."""
    stopped_by: str
    """The signal that asked for an early end, all work saved; "" for a finished run."""


class Trainer:
    """What learns, its loader, and where they stand."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        *,
        objective: Objective,
        validate: Validate,
        out: Path,
        device: torch.device,
        log: RunLog,
        show: Reporter,
        stop: Callable[[], str],
        baseline: bool,
    ) -> None:
        """Take an objective on `device` with random weights, and build what trains it on `data`.

        `validate` is called after every epoch, with `baseline` before the first update as well;
        `stop` names a signal that came. Where several processes train together, each has a
        trainer, and that of rank 0 writes the files.
        """
        self.config, self.out, self.device = config, out, device
        self.log, self.show = log, show
        self.objective, self.validate, self.baseline = objective, validate, baseline
        self.learner = Learner(config, objective, device)
        self.meter = LossMeter(device, bad_steps=self.learner.patience)
        self.step = self.epoch = self.done = 0
        self.loader = training_loader(config, data, device)
        self.saver = Saver(out, config)
        self.agreement = Agreement(stop, self.saver)
        self.best: float | None = None

    def close(self) -> None:
        """Finish the pending checkpoint and end the loader's threads."""
        self.saver.close()
        self.loader.close()

    def begin(self, state: dict[str, Any] | None, *, allow_changes: bool = False) -> None:
        """Stand where a checkpoint's state was taken, or at the start.

        `allow_changes` lets the epoch begin anew where the loader cannot go on in the middle of it.
        """
        seed_rank(self.config.train.seed)
        if state is None:
            self.objective.initialise(self.config)
        else:
            self._restore(state, allow_changes=allow_changes)

    def run(self, facts: Mapping[str, Any]) -> Outcome:
        """Train to the end or a signal; `facts` are the fields of the `start` line."""
        with self.log.telling_failures(lambda: self.step), losing_ranks():
            return self._run(facts)

    def _run(self, facts: Mapping[str, Any]) -> Outcome:
        self._announce(facts)
        if self.baseline and self.step == 0:
            self.show.errors(self._validate())
        for epoch in range(self.epoch, self.config.train.epochs):
            self._run_epoch(epoch)
            if self.agreement.stopped_by:
                self._save(at_once=True)
                break
            self._end_epoch()
        self.saver.wait()
        outcome = self._conclude()
        # Whoever starts the processes may end all of them as soon as one of them has left.
        agreed(True)
        return outcome

    def _run_epoch(self, epoch: int) -> None:
        """Train one epoch, or what is left of it, up to a signal."""
        self.epoch = epoch
        self.loader.set_epoch(epoch)
        self.objective.train()
        self.meter.begin_epoch()
        # Counted apart from the step: a resumed run may have other batches than before.
        self.done = self.loader.state_dict()["samples"] // self.config.train.batch_size
        batches = iter(self.loader)
        while not self._told_to_stop() and self.advance(batches):
            pass
        self.agreement.close_epoch()

    def _told_to_stop(self) -> bool:
        """Save if the ranks agree on that, and return whether they agree to stop."""
        if self.agreement.save_or_stop():
            self._save()
        return bool(self.agreement.stopped_by)

    def advance(self, batches: Iterator[Batch]) -> bool:
        """Do one step of the epoch with the next of the batches; False where there is none left."""
        with self.meter.waiting():
            batch = next(batches, None)
        if batch is None:
            return False
        self._update(batch)
        self._after_update()
        return True

    def _update(self, batch: Batch) -> None:
        """Do one update and count it. Nothing here waits for the device."""
        steps = len(self.loader)
        rate = learning_rate(self.config, self.epoch * steps + self.done, steps)
        losses, good = self.learner.update(batch, rate)
        self.step += 1
        self.done += 1
        self.meter.add(losses, good, self.step, len(batch) * world_size())

    def _after_update(self) -> None:
        """Show, log and save where it is time for it."""
        self.saver.check()
        settings = self.config.train
        self.show.step(self.step, self.epoch)
        if self.step % settings.log_steps == 0:
            self._stop_if_broken()
            figures = self.meter.window()
            rate = self.learner.rate
            self.log.write("step", self.step, epoch=self.epoch, lr=rate, **figures.flat())
            self.show.figures(self.step, figures, rate)
        if settings.checkpoint_steps and self.step % settings.checkpoint_steps == 0:
            self._save()

    def _end_epoch(self) -> None:
        """Log the epoch, evaluate, and save the checkpoint and the weights."""
        self._stop_if_broken()
        figures = self.meter.epoch()
        self.log.write("epoch", self.step, epoch=self.epoch, **figures.flat())
        entries = self._validate()
        self.epoch += 1
        self.show.epoch(self.epoch, self.config.train.epochs, figures, entries)
        is_best = agreed(is_main() and self._is_best(entries))
        must = is_best or self.epoch == self.config.train.epochs
        # Epochs shorter than a write are not slowed down to its pace.
        if agreed(is_main() and (must or not self.saver.busy)):
            self._save(with_weights=True, best=is_best, at_once=must)

    def _is_best(self, entries: Sequence[Entry]) -> bool:
        """Return whether this epoch's error on the first data set is the smallest so far."""
        error = entries[0]["mae"]["mean"] if entries else None
        if error is None or (self.best is not None and error >= self.best):
            return False
        self.best = error
        return True

    def _validate(self) -> list[Entry]:
        """Judge the network as it is, and log that."""
        broadcast_buffers(self.objective)
        entries = self.validate()
        for entry in entries:
            self.log.write("eval", self.step, epoch=self.epoch, **entry)
        return entries

    def _stop_if_broken(self) -> None:
        """Raise RunError if too many updates in a row were not finite; waits for the device."""
        step = self.meter.broken_since()
        if step is None:
            return
        self.saver.wait()
        what = f"losses or gradients are not finite from step {step} on in {self.out}"
        last = self.saver.describe_last()
        raise told_once(RunError(f"{what}, for too many steps in a row: {last}"))

    def _save(
        self, *, with_weights: bool = False, best: bool = False, at_once: bool = False
    ) -> None:
        """Take the state as it is now and write it beside the training; all ranks take part.

        Right after a skipped update nothing is written unless `at_once`: it may be the weights
        that have gone wrong, and the checkpoint before has better ones.
        """
        self._stop_if_broken()
        if self.meter.in_a_row() and not at_once:
            self.saver.put_off()
            return
        state = self._state()
        if not is_main():
            return
        weights = self.objective.weights() if with_weights else None
        stalled = self.saver.save(state, weights, best=best)
        self.log.write("save", self.step, epoch=self.epoch, save_s=round(stalled, 3), best=best)

    def _state(self) -> dict[str, Any]:
        return {
            **self.learner.state_dict(),
            "rng": random_states(self.device),
            "loader": self.loader.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "best": self.best,
            "threads": torch.get_num_threads(),
            "config": self.config.as_dict(),
            "versions": versions(),
        }

    def _restore(self, state: dict[str, Any], *, allow_changes: bool) -> None:
        try:
            self.learner.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"the checkpoint of step {state['step']} of {self.out} does not fit the network or"
                " the optimizer of these settings: --init starts a new run from its weights"
            ) from error
        self.step, self.epoch = state["step"], state["epoch"]
        self.best = state["best"]
        self.saver.resumed(self.step)
        try:
            self.loader.load_state_dict(state["loader"])
        except ConfigError as error:
            if not allow_changes:
                raise ConfigError(
                    f"{error}, in {self.out / LAST}: --allow-changes begins epoch"
                    f" {self.epoch + 1} anew"
                ) from error
            self.show.say(f"{error}: epoch {self.epoch + 1} starts anew")
            self.loader.set_epoch(self.epoch)
        before, ranks = len(state["rng"]), world_size()
        if before != ranks:
            self.show.say(
                f"{self.out} goes on with {ranks} ranks instead of {before}: the samples and their"
                " order stay the same, dropout and the rounding of sums do not"
            )
        restore_random_state(state["rng"], self.device, seed=self.config.train.seed, step=self.step)

    def _announce(self, facts: Mapping[str, Any]) -> None:
        """Write the start line, and say what is trained on what."""
        engine = self.loader.stats()["engine"]
        self.log.write("start", self.step, epoch=self.epoch, engine=engine, **facts)
        left_out = facts["data"]["out_of_range"]
        self.show.say(
            f"{self.objective.describe()}: {facts['data']['samples']} samples"
            f"{f' ({left_out} left out beyond ±99°)' if left_out else ''}, {facts['device']}, "
            f"{facts['threads']} threads, from step {self.step}"
        )
        epochs = self.config.train.epochs
        self.show.begin(steps=epochs * len(self.loader), done=self.step, epochs=epochs)

    def _conclude(self) -> Outcome:
        """Write the end line, list the bad samples, and say how it ended."""
        bad = of_all_ranks(self.loader.stats()["bad"])
        stopped_by = self.agreement.stopped_by
        self.log.write("end", self.step, reason=stopped_by or "finished", bad=bad)
        if bad:
            self.show.say(f"{len(bad)} bad samples were replaced:")
        for entry in bad:
            self.show.say(f"  {entry['reason']}")
        how = f"stopped by {stopped_by}" if stopped_by else "finished"
        self.show.say(f"{how} at step {self.step}: {self.out}")
        return Outcome(step=self.step, epoch=self.epoch, stopped_by=stopped_by)
