"""What `hmtl train` and `hmtl pretrain` have in common: their options, and what is made of them."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmtl.config import Config
from hmtl.errors import ConfigError
from hmtl.preset import Preset, load_preset, parse_settings, preset_names

from . import options
from .dry_run import describe

if TYPE_CHECKING:
    from hmtl.data import Dataset

# What `--list` holds when it is given without a file.
_SHOW_PRESETS = ""
STOPPED_BY_SIGNAL = 75


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the command line asks for; the fields are those of `_OPTIONS`."""

    preset: str | None
    root: Path | None
    out: Path | None
    settings: tuple[str, ...]
    resume: bool
    allow_changes: bool
    init: str | None
    subjects: str | None
    layout: str | None
    split: str | None
    crop: str | None
    names: str | None
    boxes: Path | None
    devices: int
    tensorboard: bool
    dry_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a command line comes to, with all that it names opened."""

    preset: Preset
    config: Config
    data: "Dataset"
    validation: "Sequence[Dataset]"


_OPTIONS: Sequence[Callable[[Callable[..., None]], Callable[..., None]]] = (
    click.argument("preset", required=False),
    options.data(required=False),
    click.option("--out", metavar="RUN", type=options.PATH, help="The run folder to write."),
    options.settings,
    click.option("--resume", is_flag=True, help="Go on with the run in --out."),
    click.option("--allow-changes", is_flag=True, help="Let --resume change settings."),
    click.option(
        "--init", metavar="WEIGHTS", help="Backbone to start from: imagenet, a file or a run."
    ),
    click.option("--subjects", metavar="NAMES|N", help="Train on these subjects, or the first N."),
    options.layout,
    options.split,
    options.crop,
    click.option(
        "--list",
        "names",
        metavar="[FILE]",
        is_flag=False,
        flag_value=_SHOW_PRESETS,
        default=None,
        help="Train on the samples a file lists; without a file: list the presets.",
    ),
    options.boxes,
    options.devices,
    options.tensorboard,
    click.option(
        "--dry-run", is_flag=True, help="Show settings, network and data, and train nothing."
    ),
)


def run_options(prepare: Callable[..., Job]) -> Callable[..., None]:
    """Make a command of what prepares a run: give it the options, as `request`, and train."""
    names = [field.name for field in dataclasses.fields(Request)]

    @functools.wraps(prepare)
    def call(**values: Any) -> None:
        request = Request(**{name: values.pop(name) for name in names})
        prepared = functools.partial(prepare, request=request, **values)
        # What a dry run measures are not the steps of several processes.
        is_alone = request.dry_run or not _is_rank()
        code = _run(request, prepared()) if is_alone else _run_rank(request, prepared)
        click.get_current_context().exit(code)

    decorated: Callable[..., None] = call
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def choose(request: Request, command: str, objectives: Sequence[str]) -> tuple[Preset, Config]:
    """Return the preset and its config with what the command line changes.

    A call for the list of presets, those of the `objectives` that `hmtl <command>` trains, ends
    here. What the command line lacks is told before anything is opened.
    """
    if request.names == _SHOW_PRESETS and request.preset is None:
        _list_presets(objectives)
        raise click.exceptions.Exit
    if request.preset is None:
        raise click.UsageError(f"a PRESET is missing: `hmtl {command} --list` shows them")
    if request.names == _SHOW_PRESETS:
        raise click.UsageError("--list needs a FILE beside a PRESET")
    _refuse_devices(request.devices)
    preset = load_preset(request.preset)
    values = parse_settings(request.settings)
    named = {"data.crop": request.crop, "model.init": request.init}
    values |= {key: value for key, value in named.items() if value is not None}
    config = preset.config.updated(values, "the command line")
    _refuse_objective(preset, config.train.objective, objectives)
    if preset.starts_from and not config.model.init:
        raise ConfigError(
            f"preset {preset.name} starts from pre-trained weights: give --init the run of"
            f" `hmtl pretrain {preset.starts_from}`, or a file"
        )
    if request.root is None or (request.out is None and not request.dry_run):
        raise click.UsageError(f"--{'data' if request.root is None else 'out'} is missing")
    return preset, config


def _is_rank() -> bool:
    """Return whether a launcher started this process, as one of those on this machine."""
    return "LOCAL_RANK" in os.environ


def _refuse_devices(devices: int) -> None:
    others = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if _is_rank() and devices > 1 and others != str(devices):
        raise click.UsageError(
            f"--devices starts processes itself, got {devices} in one of {others} that another"
            " launcher started: leave it out"
        )


def _refuse_objective(preset: Preset, objective: str, objectives: Sequence[str]) -> None:
    if objective not in objectives:
        other = "train" if objective == "pose" else "pretrain"
        raise ConfigError(
            f"preset {preset.name} has train.objective {objective!r}, which `hmtl {other}` trains"
        )


def open_data(request: Request, config: Config) -> "Dataset":
    """Return the samples that the command line names."""
    from hmtl.data import open_dataset

    assert request.root is not None
    data = open_dataset(
        request.root,
        request.layout,
        split=request.split,
        crop=config.data.crop,
        boxes=request.boxes,
        names=request.names,
    )
    return data if request.subjects is None else options.select_subjects(data, request.subjects)


def _run(request: Request, job: Job) -> int:
    """Show the job or train it into --out, and return the exit code.

    With --devices the ranks are started here, where all that may be wrong with the command line
    and the data has been told, once.
    """
    if request.dry_run:
        describe(job.preset, job.config, job.data, job.validation)
        return 0
    from hmtl import engine

    assert request.out is not None
    if request.devices > 1 and not _is_rank():
        return _launch(request.devices, request.out)
    outcome = engine.train(
        job.config,
        data=job.data,
        validation=job.validation,
        out=request.out,
        resume=request.resume,
        allow_changes=request.allow_changes,
        tensorboard=request.tensorboard,
    )
    return STOPPED_BY_SIGNAL if outcome.stopped_by else 0


def _run_rank(request: Request, prepare: Callable[[], Job]) -> int:
    """Do the same in one of the processes of a launcher, which prepare it together.

    So what is wrong with the command line or the data is told by one of them, and all end with its
    exit code.
    """
    from hmtl.launch import end_with_launcher
    from hmtl.rendezvous import joined, losing_ranks, together

    end_with_launcher()

    def prepared() -> Job:
        try:
            return prepare()
        except click.UsageError as error:
            # Of the errors that the others get to know, the one with the same exit code.
            raise ConfigError(error.format_message()) from error

    with joined(), losing_ranks():
        return _run(request, together(prepared))


def _launch(devices: int, out: Path) -> int:
    """Call this command again in several processes, and return one exit code for all."""
    from hmtl.launch import launch
    from hmtl.runlog import LOG, read_log

    arguments = click.get_current_context().find_root().obj
    code = launch(arguments, devices, say=lambda line: click.echo(f"error: {line}", err=True))
    if code is not None:
        return code
    last = read_log(out / LOG)[-1] if (out / LOG).exists() else {}
    is_end = last.get("event") == "end"
    return STOPPED_BY_SIGNAL if is_end and last["reason"].startswith("SIG") else 1


def _list_presets(objectives: Sequence[str]) -> None:
    presets = [load_preset(name) for name in preset_names()]
    listed = [preset for preset in presets if preset.config.train.objective in objectives]
    widths = [
        max(len(text) for text in texts) for texts in zip(*map(_name_title, listed), strict=True)
    ]
    for preset in listed:
        cells = [text.ljust(width) for text, width in zip(_name_title(preset), widths, strict=True)]
        click.echo("  ".join([*cells, _reported(preset)]).rstrip())


def _name_title(preset: Preset) -> tuple[str, str]:
    return preset.name, preset.title


def _reported(preset: Preset) -> str:
    if preset.paper:
        return f"paper: {preset.paper['mean']:.2f}°"
    return f"paper: {preset.paper_full['mean']:.2f}° (full)" if preset.paper_full else ""
