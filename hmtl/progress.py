"""What a training run says while it runs: a live bar on a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from hmtl.meter import Figures


class _Bar(Progress):
    """A progress bar with a line of figures below it."""

    figures = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.figures)


class Reporter:
    """Shows the step, the losses, images/s and how long steps waited for data."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._bar: _Bar | None = None
        if self._console.is_terminal:
            self._bar = _Bar(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("", start=False, epoch=0, visible=False)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Show one line of text that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def begin(self, steps: int, done: int) -> None:
        """Tell how many steps the run has in all and how many are behind it."""
        if self._bar:
            self._bar.update(self._task, total=steps, completed=done, visible=True)
            self._bar.start_task(self._task)

    def step(self, step: int, epoch: int) -> None:
        """Move the bar; called after every step, so it asks nothing of the device."""
        if self._bar:
            self._bar.update(self._task, completed=step, epoch=epoch + 1)

    def figures(self, step: int, figures: Figures, rate: float) -> None:
        """Show the figures of a log line and the learning rate."""
        text = f"{_format(figures)}, lr {rate:.2g}"
        if self._bar:
            self._bar.figures = text
        else:
            self.say(f"step {step}: {text}")

    def epoch(
        self, done: int, epochs: int, figures: Figures, entries: Sequence[Mapping[str, Any]]
    ) -> None:
        """Show a finished epoch and what the protocols say."""
        self.say(f"epoch {done}/{epochs}: {_format(figures)}")
        for entry in entries:
            errors = ", ".join(
                f"{name} {value:.2f}°" for name, value in entry["mae"].items() if value is not None
            )
            self.say(f"  {entry['dataset']}, {entry['protocol']}: MAE {errors}")


def _format(figures: Figures) -> str:
    losses = " ".join(f"{name} {value:.3f}" for name, value in figures.losses.items())
    return f"{losses}, {figures.images_per_s:.0f} images/s, wait {100 * figures.wait_share:.0f} %"
