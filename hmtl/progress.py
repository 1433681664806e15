"""What a training run says while it runs: a live display on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.text import Text

from hmtl.meter import Figures

_REFRESHES_PER_S = 4.0
_GAP = "  "
_WIDEST_BAR = 60


class _Display:
    """A bar, and below it as many of the parts on a line as the terminal is wide."""

    def __init__(self) -> None:
        self.epoch = self.epochs = self.step = self.steps = 0
        self.first = 0
        self.began = time.monotonic()
        self.figures: list[str] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.steps:
            return
        # Terminals wrap a line that is exactly as wide as they are.
        width = max(1, options.max_width - 1)
        yield ProgressBar(total=self.steps, completed=self.step, width=min(width, _WIDEST_BAR))
        yield Segment.line()
        for line in _flow([*self.place(), *self.figures, self.left()], width):
            yield Text(line, no_wrap=True, overflow="crop")

    def place(self) -> list[str]:
        return [f"epoch {self.epoch + 1}/{self.epochs}", f"step {self.step}/{self.steps}"]

    def left(self) -> str:
        """Return the time to the end at this process's pace so far, evaluations included."""
        done = self.step - self.first
        if done <= 0:
            return "ETA –"
        seconds = (time.monotonic() - self.began) / done * (self.steps - self.step)
        return f"ETA {_clock(seconds)}"


class Reporter:
    """Shows epoch, step, losses, rate, images/s, the share of waiting and the time to the end.

    A terminal of any width gets a display of its own below the lines that stay; without one the
    same comes as a line for each log line.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._display = _Display()
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(
                self._display,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_S,
                vertical_overflow="crop",
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show one line of text that stays; letters that the output cannot take are written out."""
        shown = text.encode(self._console.encoding, "backslashreplace").decode(
            self._console.encoding
        )
        self._console.print(shown, markup=False, emoji=False, soft_wrap=True)

    def begin(self, *, steps: int, done: int, epochs: int) -> None:
        """Tell how many steps and epochs the run has in all, and how many steps are behind it."""
        display = self._display
        display.steps, display.step, display.first, display.epochs = steps, done, done, epochs
        display.began = time.monotonic()

    def step(self, step: int, epoch: int) -> None:
        """Count a step; called after every one, so it asks nothing of the device."""
        self._display.step, self._display.epoch = step, epoch

    def figures(self, step: int, figures: Figures, rate: float) -> None:
        """Show the figures of a log line and the learning rate."""
        self._display.step = step
        self._display.figures = [*_losses(figures), f"lr {rate:.2g}", *_pace(figures)]
        if not self._live:
            display = self._display
            self.say(", ".join([*display.place(), *display.figures, display.left()]))

    def epoch(
        self, done: int, epochs: int, figures: Figures, entries: Sequence[Mapping[str, Any]]
    ) -> None:
        """Show a finished epoch and what the protocols say."""
        self.say(f"epoch {done}/{epochs}: {', '.join([*_losses(figures), *_pace(figures)])}")
        self.errors(entries)

    def errors(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Show what the protocols say."""
        for entry in entries:
            errors = ", ".join(
                f"{name} {value:.2f}°" for name, value in entry["mae"].items() if value is not None
            )
            self.say(f"  {entry['dataset']}, {entry['protocol']}: MAE {errors}")


def _losses(figures: Figures) -> list[str]:
    losses = [f"{name} {_number(value)}" for name, value in figures.losses.items()]
    return [*losses, f"{figures.skipped} skipped"] if figures.skipped else losses


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000.0 else f"{value:.4g}"


def _pace(figures: Figures) -> list[str]:
    return [f"{figures.images_per_s:.0f} images/s", f"wait {100 * figures.wait_share:.0f} %"]


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"


def _flow(parts: Sequence[str], width: int) -> Iterator[str]:
    """Yield lines of as many parts as fit into the width; what is wider alone is cut later."""
    line = ""
    for part in parts:
        longer = f"{line}{_GAP}{part}" if line else part
        if line and len(longer) > width:
            yield line
            longer = part
        line = longer
    if line:
        yield line
