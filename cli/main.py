"""The `hmtl` command: finds the subcommand, turns errors into one line and an exit code."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from hmtl import __version__
from hmtl.errors import ConfigError, DataError, RunError, ToldElsewhereError

from .console import EchoHandler, printable

# name: (module.command in hmtl.cli, help); the modules are imported only when called.
COMMANDS = {
    "demo": ("demo.demo", "Run the whole method on rendered heads, on the CPU, in minutes."),
    "train": ("train.train", "Train one row of the paper's tables."),
    "pretrain": ("pretrain.pretrain", "Learn a backbone to start from, without labels."),
    "eval": ("eval.evaluate", "Evaluate a run on a data set, under named protocols."),
    "reproduce": ("reproduce.reproduce", "Train a table of the paper, beside the paper's numbers."),
    "predict": ("predict.predict", "Give the poses of faces on images and videos, and draw them."),
    "export": ("export.export", "Write a run's network for other programs: ONNX, torch, tensors."),
    "import": ("importing.import_weights", "Take over a backbone that others trained, for --init."),
    "data": ("data.data", "Verify, look at, index, convert and render data sets."),
    "bench": ("bench.bench", "Show where the time goes, with your own data and settings."),
    "doctor": ("doctor.doctor", "Show what is built in, what is missing and how to get it."),
}

DONE, FAILED, MISUSED = 0, 1, 2
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command by name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(".")
        command: click.Command = getattr(importlib.import_module(f"hmtl.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hmtl")
def hmtl() -> None:
    """Train fine-grained head-pose estimators with self-supervision.

    Start with: hmtl demo --out demo
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; an error becomes one line on stderr."""
    try:
        # The arguments go along for commands that start themselves again, in several processes.
        given = sys.argv[1:] if arguments is None else list(arguments)
        result: Any = hmtl.main(args=given, obj=given, prog_name="hmtl", standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return MISUSED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        code = _exit_code(error)
        if isinstance(error, ToldElsewhereError):
            return FAILED if code is None else code
        if code is None or os.environ.get("HMTL_DEBUG") == "1":
            raise
        if not (isinstance(error, click.ClickException) and _is_told_by_another_rank()):
            click.echo(f"error: {_one_line(error)}", err=True)
        return code


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    logging.getLogger("hmtl").addHandler(EchoHandler())
    code = run()
    if _is_joined():
        # After an error the group of ranks stands, and its threads may abort who takes itself down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _is_joined() -> bool:
    """Return whether this process is still a member of a group of ranks."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _is_told_by_another_rank() -> bool:
    """Return whether a launcher started this process, and another one here with the same words."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _exit_code(error: Exception) -> int | None:
    """Return the code for an error the user can act on, None for a fault of the program."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    if isinstance(error, ToldElsewhereError):
        return _exit_code(error.error)
    if isinstance(error, ConfigError):
        return MISUSED
    core = sys.modules.get("hmtl._core")
    decode_errors = (core.DecodeError,) if core else ()
    return FAILED if isinstance(error, (DataError, RunError, OSError, *decode_errors)) else None


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.strerror}: {os.fsdecode(error.filename)}"
    return printable(" ".join(text.split("\n")))
