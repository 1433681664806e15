"""What is to be trained for a table: run folders, and the commands that fill them."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hmtl.config import Config
from hmtl.data import Dataset, open_dataset
from hmtl.data.layouts.registry import LAYOUTS, absolute, find_layout
from hmtl.data.people import people_to_hold_out, split_off
from hmtl.errors import ConfigError, DataError
from hmtl.preset import Preset, Source, load_preset, parse_settings
from hmtl.reproduce.places import find_places
from hmtl.reproduce.tables import (
    TITLES,
    Scale,
    choose_rows,
    load_rows,
    most_subjects,
    reported,
    scale_settings,
)
from hmtl.tables import toml_value

_NOT_TO_SET = {"model.init": "its rows differ in it", "train.seed": "--seeds sets it"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What of a table is wanted, and where."""

    table: str
    data: Path
    """Folder or TOML file, as `find_places` takes it."""
    out: Path
    only: Sequence[str] = ()
    """Names of rows; all where there are none."""
    seeds: int = 1
    settings: Sequence[str] = ()
    """Changes to the settings of all runs: key=value."""
    scale: Scale = "full"
    devices: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run folder as it shall be."""

    preset: Preset
    seed: int
    folder: Path
    config: Config
    """The settings that the finished run has."""
    starts_from: "Run | None"
    """The pre-training whose weights it starts from."""
    training: Sequence[str] = ()
    """The words behind `hmtl` that train it; none where it was not asked for."""
    judging: Sequence[str] = ()
    """Those that evaluate it; none for pre-training."""
    judged_by: Mapping[str, str | None]
    """What its entries of results.json have beside the protocol."""
    samples: int = 0
    """What it learns from, those beyond its bins counted; 0 where that is not known."""

    @property
    def commands(self) -> list[Sequence[str]]:
        """What is run, in this order."""
        return [words for words in (self.training, self.judging) if words]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of the table, with a run for each seed."""

    preset: Preset
    chosen: bool
    """Whether it is to be trained, or only shown as far as it is there."""
    runs: Sequence[Run]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A table as it shall be."""

    asked: Asked
    title: str
    rows: Sequence[Row]

    def runs(self) -> Iterator[Run]:
        """Yield the runs of the chosen rows: all rows with the first seed, then with the next."""
        for seed in range(self.asked.seeds):
            yield from (row.runs[seed] for row in self.rows if row.chosen)

    def in_order(self) -> list[Run]:
        """Return the same with their pre-trainings, each before the first run that needs it."""
        pairs = ((run.starts_from, run) for run in self.runs())
        return list({run.folder: run for pair in pairs for run in pair if run}.values())

    def pretraining(self) -> list[Run]:
        """Return the pre-trainings of the chosen rows, each once."""
        return [run for run in self.in_order() if run.preset.judged_on is None]


def make_plan(asked: Asked) -> Plan:
    """Return the plan of a table; all that can be wrong with the data sets is told here.

    Raises ConfigError for names and settings, DataError for data sets that are missing or too
    small.
    """
    rows = load_rows(asked.table)
    chosen = choose_rows(rows, asked.only)
    for key in parse_settings(asked.settings):
        if key in _NOT_TO_SET:
            raise ConfigError(f"--set {key} is not for a table: {_NOT_TO_SET[key]}")
    _check_crop(asked.settings, chosen)
    places = find_places(asked.data, _needed_layouts(chosen))
    maker = _Maker(asked, places)
    return Plan(
        asked=asked,
        title=TITLES[asked.table],
        rows=[
            Row(
                preset=preset,
                chosen=preset in chosen,
                runs=[maker.row_run(preset, seed, preset in chosen) for seed in range(asked.seeds)],
            )
            for preset in rows
        ],
    )


def _check_crop(settings: Sequence[str], presets: Sequence[Preset]) -> None:
    """Raise ConfigError for a crop rule that no row's data set has."""
    crop = parse_settings(settings).get("data.crop", "")
    layouts = dict.fromkeys(_source(preset.trains_on).layout for preset in presets)
    known = [rule for layout in layouts for rule in LAYOUTS[layout].crops]
    if crop and crop not in known:
        raise ConfigError(f"config key 'data.crop' must be one of {known}, got {crop!r}")


def _needed_layouts(presets: Sequence[Preset]) -> list[str]:
    """Return the layouts that rows and their pre-training need, each once."""
    sources = [source for preset in presets for source in (preset.trains_on, preset.judged_on)]
    starts = {preset.starts_from for preset in presets if preset.starts_from}
    sources += [load_preset(name).trains_on for name in sorted(starts)]
    return list(dict.fromkeys(source.layout for source in sources if source is not None))


class _Maker:
    """Makes runs; each data set is opened once."""

    def __init__(self, asked: Asked, places: Mapping[str, Path]) -> None:
        self._asked, self._places = asked, places
        self._open: Callable[[Path, str, str], Dataset] = functools.cache(
            lambda place, split, crop: open_dataset(place, split=split or None, crop=crop or None)
        )

    def row_run(self, preset: Preset, seed: int, chosen: bool) -> Run:
        """Return the run of a row; where it is not chosen, without commands."""
        start = None
        if preset.starts_from:
            name = preset.starts_from
            folder = self._asked.out / name / f"seed{seed}"
            start = self._run("pretrain", load_preset(name), seed, folder, None, chosen)
        folder = self._asked.out / preset.name / f"seed{seed}"
        return self._run("train", preset, seed, folder, start, chosen)

    def _run(
        self,
        command: str,
        preset: Preset,
        seed: int,
        folder: Path,
        start: Run | None,
        chosen: bool,
    ) -> Run:
        source = _source(preset.trains_on)
        scaled = scale_settings(preset, self._asked.scale)
        settings = _fitting(self._asked.settings, source.layout)
        changes = {**scaled, **parse_settings(settings), "train.seed": seed}
        config = _config(preset, changes, start)
        judged_by = self._judged_by(preset, config)
        run = functools.partial(
            Run,
            preset=preset,
            seed=seed,
            folder=folder,
            config=config,
            starts_from=start,
            judged_by=judged_by,
        )
        if not chosen:
            return run()
        place = self._places[source.layout]
        subjects, samples = self._people(preset, config, place, source)
        words = [command, preset.name, "--data", str(place), *_split(source)]
        words += ["--subjects", str(subjects)] if subjects else []
        words += self._validation(preset)
        words += [f"--set={key}={_setting(value)}" for key, value in scaled.items()]
        words += [f"--set={setting}" for setting in settings]
        words += [f"--set=train.seed={seed}"]
        words += ["--init", config.model.init] if start else []
        words += ["--devices", str(self._asked.devices)] if self._asked.devices > 1 else []
        return run(
            training=[*words, "--out", str(folder), "--resume"],
            judging=self._judging(preset, folder),
            samples=samples,
        )

    def _people(
        self, preset: Preset, config: Config, place: Path, source: Source
    ) -> tuple[int, int]:
        """Return how many people to train on, 0 for all, and how many samples these have."""
        data = self._open(place, source.split, config.data.crop)
        wanted = most_subjects(preset, self._asked.scale)
        people = np.unique(data.subject)
        if source.subjects > len(people):
            raise DataError(
                f"{preset.name} needs {source.subjects} people of split {source.split!r},"
                f" {place} has {len(people)}"
            )
        subjects = wanted if wanted < len(people) or source.subjects else 0
        data = data.subset(np.isin(data.subject, people[: subjects or None]))
        if preset.config.train.objective != "pose" and config.probe.samples:
            try:
                data, _ = split_off(data, people_to_hold_out(data))
            except ValueError as error:
                raise DataError(str(error)) from error
        if len(data) < config.train.batch_size:
            raise ConfigError(
                f"{preset.name} has {len(data)} samples in {place}, fewer than a batch of"
                f" {config.train.batch_size}: --set train.batch_size makes it smaller"
            )
        return subjects, len(data)

    def _validation(self, preset: Preset) -> list[str]:
        """Return the words that have the test set evaluated after every epoch, for the curves.

        Not where it is larger than what is trained on: three people of ETH-XGaze beside one.
        """
        judged, trained = preset.judged_on, preset.trains_on
        is_large = judged is None or trained is None or judged.layout == trained.layout
        if is_large or self._asked.scale == "smoke":
            return []
        return ["--val", str(self._places[_source(judged).layout])]

    def _judged_by(self, preset: Preset, config: Config) -> dict[str, str | None]:
        """Return what entries of the row's results say of the data set, once it can be opened."""
        if preset.judged_on is None:
            return {}
        source, rule = preset.judged_on, config.data.crop
        place = self._places[source.layout]
        # As `hmtl eval` has it: a rule such as "landmarks" may fit what is trained on only.
        crop = rule if rule in find_layout(place)[0].crops else ""
        data = self._open(place, source.split, crop)
        return {
            "dataset": data.root.name,
            "split": data.split,
            "crop": data.crop,
            "boxes": data.boxes or None,
        }

    def _judging(self, preset: Preset, folder: Path) -> list[str]:
        if preset.judged_on is None:
            return []
        place = self._places[preset.judged_on.layout]
        words = ["eval", str(folder), "--data", str(place), *_split(preset.judged_on)]
        return words + [word for name in reported(preset) for word in ("--protocol", name)]


def _config(preset: Preset, changes: Mapping[str, Any], start: Run | None) -> Config:
    """Return the settings of a finished run: those that `hmtl train` fills in, too."""
    convention = LAYOUTS[_source(preset.trains_on).layout].convention
    values: dict[str, Any] = {"data.convention": preset.config.data.convention or convention}
    # In full, so that it does not matter from which folder the table is gone on with.
    init = {"model.init": str(absolute(start.folder))} if start else {}
    return preset.config.updated({**values, **changes, **init}, "the command line")


def _fitting(settings: Sequence[str], layout: str) -> list[str]:
    """Return the settings without a crop rule that the layout does not have.

    One for 300W-LP must not keep rows from starting from what ETH-XGaze has taught.
    """
    crops = LAYOUTS[layout].crops
    return [
        setting
        for setting in settings
        if parse_settings([setting]).get("data.crop", "") in ("", *crops)
    ]


def _source(source: Source | None) -> Source:
    assert source is not None
    return source


def _split(source: Source) -> list[str]:
    return ["--split", source.split] if source.split else []


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else toml_value(value)
