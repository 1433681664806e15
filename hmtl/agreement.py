"""What the ranks of a run decide together at every step."""

import signal
from collections.abc import Callable

from hmtl.distributed import Ballot, is_main
from hmtl.saving import Saver

# What a rank may vote for; a signal's number is a vote to stop, and higher.
_GO_ON, _SAVE = 0, 1


class Agreement:
    """Whether to go on, to save or to stop: each rank has its say, and all do the same."""

    def __init__(self, stop: Callable[[], str], saver: Saver) -> None:
        """Take what names a signal that came to this rank, and what knows when to save."""
        self._stop, self._saver = stop, saver
        self._ballot = Ballot()
        self.stopped_by = ""
        """The signal because of which all ranks stop; "" while they go on."""

    def save_or_stop(self) -> bool:
        """Vote after a step, take note of a stop, and return whether a checkpoint is due."""
        outcome = self._ballot.cast(self._vote())
        self._note(outcome)
        return outcome == _SAVE

    def close_epoch(self) -> None:
        """Vote once more, and wait for the result: afterwards no vote is on its way."""
        if not self.stopped_by:
            self._note(self._ballot.settle(self._vote()))

    def _vote(self) -> int:
        if caught := self._stop():
            return signal.Signals[caught].value
        if not is_main() or not self._saver.is_due():
            return _GO_ON
        # The checkpoint may come a step later: one vote for it is enough.
        self._saver.begin_waiting()
        return _SAVE

    def _note(self, outcome: int) -> None:
        if outcome > _SAVE:
            self.stopped_by = signal.Signals(outcome).name
