"""All that is looked at, in the order in which it is told."""

from collections.abc import Iterator

from hmtl.doctor import machine, packages, trial
from hmtl.doctor.finding import Finding


def examine() -> Iterator[Finding]:
    """Yield what is found about this machine and this installation of hmtl, as it is found.

    Renders small pictures with every engine, which takes seconds; nothing is fetched, and nothing
    written but for temporary files.
    """
    yield from machine.machine()
    yield from trial.core()
    yield from machine.gpus()
    yield from trial.engines()
    yield from packages.extras()
    yield from packages.files()
