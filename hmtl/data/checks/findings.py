"""What a check finds: errors, which must be mended, and notes, which must be known."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hmtl.data.layouts.layout import Problem

_NAMED = 3


class Findings:
    """Errors and notes in the order they were found, each once."""

    def __init__(self) -> None:
        # The keys of a dict are a set that keeps its order.
        self._errors: dict[Problem, None] = {}
        self._notes: dict[Problem, None] = {}

    @property
    def errors(self) -> list[Problem]:
        """What cannot be read or is wrong."""
        return list(self._errors)

    @property
    def notes(self) -> list[Problem]:
        """What is unusual or not there."""
        return list(self._notes)

    def error(self, kind: str, message: str, path: str = "") -> None:
        """Add an error; `path` is the file, below the root, of an error of one file."""
        self._errors[Problem(kind=kind, path=path, message=message)] = None

    def note(self, kind: str, message: str, path: str = "") -> None:
        """Add a note."""
        self._notes[Problem(kind=kind, path=path, message=message)] = None

    def note_many(self, kind: str, said: str, files: Sequence[str]) -> None:
        """Add a note about many files, which names the first."""
        named = ", ".join([*files[:_NAMED], *(["…"] if len(files) > _NAMED else [])])
        problem = Problem(kind=kind, path="", message=f"{said}: {named}", files=tuple(files))
        self._notes[problem] = None

    def add(self, problem: Problem, *, is_error: bool) -> None:
        """Add what a layout tells."""
        (self._errors if is_error else self._notes)[problem] = None


def counts_by_kind(
    errors: Iterable[Problem], notes: Iterable[Problem]
) -> dict[str, dict[str, int]]:
    """Return how many errors and notes there are of each kind."""
    found = Counter(problem.kind for problem in errors), Counter(problem.kind for problem in notes)
    kinds = dict.fromkeys([*found[0], *found[1]])
    return {kind: {"errors": found[0][kind], "notes": found[1][kind]} for kind in kinds}
