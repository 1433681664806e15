"""What commands print: text with any file name in it, and how far a long job is."""

import io
import json
import logging
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmtl.errors import DataError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

ShowProgress = Callable[[str, int, int | None], None]
"""Takes what is being done, how much of it is done, and of how much where that is known."""

# What would break a line, steer the terminal, or cannot be encoded; JSON minds the last only.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
# Python keeps byte 0xNN of a file name that is not UTF-8 as the surrogate U+DCNN.
_ESCAPED_BYTES = range(0xDC80, 0xDD00)


def printable(text: str) -> str:
    """Return a text with what cannot be printed written out: "\\xff", "\\n"."""
    return _UNPRINTABLE.sub(_written_out, text)


def json_text(value: Any) -> str:
    """Return a value as JSON in ASCII, for any terminal; names that are not UTF-8 written out."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    text = _SURROGATES.sub(lambda match: "\\" + _written_out(match), text)
    return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)


def encodable(text: str) -> str:
    """Return a text with the letters that stdout cannot take written out: "\\xd7"."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_parts(parts: Sequence["RenderableType"]) -> None:
    """Print texts and tables, as wide as the terminal is and in letters that it knows."""
    from rich.console import Console

    text = io.StringIO()
    width = shutil.get_terminal_size().columns
    console = Console(file=text, width=width, highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part)
    for line in text.getvalue().splitlines():
        click.echo(encodable(line.rstrip()))


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Return a table without lines; all columns but the first are flush right and stay whole."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(
            heading,
            justify="right" if place else "left",
            overflow="fold",
            no_wrap=place > 0,
        )
    for row in rows:
        table.add_row(*row)
    return table


def write_file(path: Path, content: bytes) -> None:
    """Write what a command made; DataError where that cannot be."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _ESCAPED_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode("ascii")


class EchoHandler(logging.Handler):
    """Prints log messages on stderr, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message after its level."""
        click.echo(f"{record.levelname.lower()}: {printable(record.getMessage())}", err=True)


@contextmanager
def no_warnings(name: str) -> Iterator[None]:
    """Keep back the warnings of the modules below `name`."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def progress(seconds_between_lines: float = 10.0) -> Iterator[ShowProgress]:
    """Yield what shows progress on stderr: a bar on a terminal, a line now and then elsewhere."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _line_writer(seconds_between_lines)
        return

    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeColumn()
    with Progress(*columns, console=console, transient=True) as bar:

        def show(what: str, done: int, total: int | None) -> None:
            description = escape(printable(what))
            task = next(iter(bar.tasks), None)
            if task is not None and task.description != description:
                bar.remove_task(task.id)
                task = None
            if task is None:
                bar.add_task(description, total=total, completed=done)
            else:
                bar.update(task.id, total=total, completed=done)

        yield show


def _line_writer(seconds_between: float) -> ShowProgress:
    last = time.monotonic()

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if total is not None and now - last >= seconds_between:
            last = now
            click.echo(f"{printable(what)}: {done:,} of {total:,}", err=True)

    return show
