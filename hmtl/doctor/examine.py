"""All that is looked at, in the order in which it is told."""

from collections.abc import Callable, Iterator

from hmtl.doctor import machine, packages, trial
from hmtl.doctor.finding import REPORT, Finding

_EXAMINERS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    (machine.MACHINE, machine.machine),
    (trial.CORE, trial.core),
    (machine.GPU, machine.gpus),
    (trial.ENGINES, trial.engines),
    (packages.EXTRAS, packages.extras),
    (packages.FILES, packages.files),
)


def examine() -> Iterator[Finding]:
    """Yield what is found about this machine and this installation of hmtl, as it is found.

    Renders small pictures with every engine, which takes seconds; nothing is fetched, and nothing
    written but for temporary files. What cannot be examined is broken, and the rest is looked at.
    """
    for part, examiner in _EXAMINERS:
        try:
            yield from examiner()
        # A machine on which something is wrong can raise anything.
        except Exception as error:
            text = f"ended by {type(error).__name__}: {' '.join(str(error).split())}"
            yield Finding(part=part, name="examination", state="broken", text=text, remedy=REPORT)
