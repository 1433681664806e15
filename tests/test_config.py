"""Settings: presets, TOML, the values that are refused."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmtl.config import Config
from hmtl.errors import ConfigError
from hmtl.preset import load_preset, parse_settings, preset_names, read_config

PAPER_PRESETS = [name for name in preset_names() if name.startswith("table")]


def test_the_defaults_are_the_papers_section_4_2() -> None:
    config = Config()
    assert (config.model.backbone, config.model.head, config.model.dropout) == (
        "resnet50",
        "hopenet",
        0.5,
    )
    assert (config.train.epochs, config.train.milestones, config.train.gamma) == (
        110,
        (20, 100),
        0.1,
    )
    assert (config.train.batch_size, config.train.lr, config.loss.alpha) == (64, 0.001, 2.0)
    assert (config.pretext.weight, config.pretext.dropout) == (50.0, 0.2)
    assert config.pretext.branch_point == 3


def test_a_config_survives_toml_and_plain_tables() -> None:
    config = Config().updated({"train.milestones": [1, 2], "model.init": 'a "quoted" ü\x7f\n'})
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config
    assert Config.from_dict(config.as_dict()) == config


def test_every_packaged_preset_loads() -> None:
    assert set(PAPER_PRESETS) < set(preset_names())
    for name in preset_names():
        assert load_preset(name).title


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_toml(text: str) -> None:
    config = Config().updated({"model.init": text})
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


@pytest.mark.parametrize("name", PAPER_PRESETS)
def test_every_preset_is_valid_and_says_what_the_paper_reports(name: str) -> None:
    preset = load_preset(name)
    is_gaze = name.startswith(("table1", "table6"))
    angles = ("yaw", "pitch") if is_gaze else ("yaw", "pitch", "roll")
    assert preset.paper or preset.paper_full
    for reported in filter(None, (preset.paper, preset.paper_full)):
        assert set(reported) == {*angles, "mean"}
        mean = sum(reported[angle] for angle in angles) / len(angles)
        assert reported["mean"] == pytest.approx(mean, abs=0.06)
    augmentation = preset.config.data.augmentation
    if is_gaze:
        assert augmentation == ("xgaze" if name.startswith("table1") else "xgaze-heavy")
    else:
        is_level1 = name.startswith("table2") and "aug1" in name
        assert augmentation == ("level1" if is_level1 else "level2")
    assert name.split("/")[1].startswith("sl") == (preset.config.pretext.task == "none")


def test_the_rows_of_the_papers_tables_have_presets() -> None:
    tables: dict[str, list[str]] = {}
    for name in PAPER_PRESETS:
        table, row = name.split("/")
        tables.setdefault(table, []).append(row)
    tasks = ("puzzle", "puzzle-rotation", "rotation")
    flags = [f"hmtl-{task}2-flag{flag}" for task in tasks for flag in (1, 2, 3, 4)]
    assert sorted(tables["table1"]) == sorted([*flags, "sl"])
    assert {table: len(rows) for table, rows in tables.items()} == {
        "table1": 13,
        "table2": 17,
        "table3": 7,
        "table4": 11,
        "table5": 3,
        "table6": 12,
    }
    # HMTL: one for each reported row, two for the row on which bins of 1 degree are tried as well.
    assert sorted(tables["table4"]) == [
        "barlow",
        "barlow-puzzle3",
        "hmtl-puzzle3",
        "sl",
        "sl-barlow",
        "sl-barlow-puzzle3",
        "sl-linear-barlow",
        "sl-linear-barlow-puzzle3",
        "sl-linear-puzzle2",
        "sl-linear-puzzle3",
        "sl-linear-rotation2",
    ]


@pytest.mark.parametrize("name", PAPER_PRESETS)
def test_a_preset_that_starts_from_weights_says_so_in_its_name(name: str) -> None:
    preset = load_preset(name)
    config = preset.config
    starts = [word for word in ("from", "linear", "barlow") if word in name.replace("/", "-")]
    assert bool(preset.starts_from) == bool(starts)
    assert (config.model.init == "imagenet") == name.endswith("imagenet")
    if preset.starts_from:
        source = load_preset(preset.starts_from)
        assert source.config.train.objective in ("pretext", "barlow")
        assert name.endswith(preset.starts_from.removeprefix("pretrain/"))
    assert config.train.freeze_backbone == ("linear" in name)
    is_fine_tuning = bool(preset.starts_from or config.model.init) and "linear" not in name
    assert config.train.warmup_epochs == (5.0 if is_fine_tuning else 0.0)


def test_pretraining_is_the_papers() -> None:
    for name, task, grid in (
        ("rotation2", "rotation", 2),
        ("puzzle2", "puzzle", 2),
        ("puzzle3", "puzzle", 3),
    ):
        config = load_preset(f"pretrain/{name}").config
        assert (config.train.objective, config.pretext.task, config.pretext.grid) == (
            "pretext",
            task,
            grid,
        )
        assert (config.train.epochs, config.train.milestones, config.train.lr) == (
            64,
            (30, 40),
            0.001,
        )
        assert (config.data.augmentation, config.pretext.branch_point) == ("xgaze", 4)
    for name, task in (("barlow", "none"), ("barlow-puzzle3", "puzzle")):
        config = load_preset(f"pretrain/{name}").config
        assert (config.train.objective, config.pretext.task) == ("barlow", task)
        assert (config.train.epochs, config.train.batch_size, config.train.lr) == (64, 64, 0.001)
        assert (config.train.schedule, config.train.optimizer) == ("cosine", "adabelief")
        assert (config.data.augmentation, config.pretext.grid) == ("barlow", 3)
        assert config.barlow.projector == (2048, 2048, 2048)
    original = load_preset("pretrain/barlow-original").config
    assert original.barlow.projector == (8192, 8192, 8192)
    assert original.train.optimizer == "lars"


def test_the_arms_of_table_5_differ_in_the_pretext_task_alone() -> None:
    arms = [
        load_preset(f"table5/{name}").config
        for name in ("sl", "hmtl-puzzle3", "hmtl-puzzle3-without-heads")
    ]
    shared = [dataclasses.replace(arm, pretext=Config().pretext) for arm in arms]
    assert shared[0] == shared[1] == shared[2]
    assert [arm.pretext.heads for arm in arms] == [True, True, False]


def test_a_preset_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[model]\nbackbone = "resnet18"\n')
    assert load_preset(str(path)).config.model.backbone == "resnet18"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.lr=1e-4", 1e-4),
        ("train.milestones=[3, 5]", [3, 5]),
        ("train.deterministic=true", True),
        ("model.backbone=resnet18", "resnet18"),
        ('model.backbone="resnet18"', "resnet18"),
        ("model.init=a=b.pth", "a=b.pth"),
        ("model.init=", ""),
        ("model.init=1\ntrain.lr = 3", "1\ntrain.lr = 3"),
    ],
)
def test_values_of_settings_are_toml_or_bare_words(text: str, value: object) -> None:
    assert list(parse_settings([text]).values()) == [value]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.batchsize=3", r"unknown config key 'data.batchsize', expected one of \['data.aug"),
        ("speed=3", r"unknown config key 'speed', expected one of \['barlow.pro"),
        ("train.lr=-1", "'train.lr' must be a number of at least 0.0, got -1 in the command line"),
        ("train.lr=nan", "'train.lr' must be a number of at least 0.0, got nan"),
        ("train.epochs=2.5", "'train.epochs' must be a whole number, got 2.5"),
        ("train.epochs=true", "'train.epochs' must be a whole number, got True"),
        ("train.deterministic=1", "'train.deterministic' must be true or false, got 1"),
        ("train.milestones=[5, 3]", r"'train.milestones' must rise from 1 up, got \[5, 3\]"),
        ("train.milestones=[1.5]", "'train.milestones' must be a list of whole numbers"),
        ("model.backbone=vgg", "'model.backbone' must be one of .*'resnet50'.*, got 'vgg'"),
        ("model.bin_width=2", r"'model.bin_width' must be one of \[1, 3\], got 2"),
        ("model.bin_width=true", r"'model.bin_width' must be one of \[1, 3\], got True"),
        ("pretext.grid=1", r"'pretext.grid' must be in \[2, 8\], got 1"),
        ("pretext.puzzled_fraction=1.5", "'pretext.puzzled_fraction' must be in"),
        ("data.crop=3", "'data.crop' must be a string, got 3"),
        ("train", "a setting must be key=value, got 'train'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Config().updated(parse_settings([setting]), "the command line")
    assert "\n" not in str(caught.value)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[train]\nlr = 'fast'\n")
    with pytest.raises(ConfigError, match=r"must be a number, got 'fast' in .*config\.toml"):
        read_config(path)
    path.write_text("train =")
    with pytest.raises(ConfigError, match=r"config\.toml is not valid TOML"):
        read_config(path)
    path.write_text("train = 3")
    with pytest.raises(ConfigError, match=r"'train' must be a table, got 3 in .*config\.toml"):
        read_config(path)
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="unknown preset 'table9/x', expected a TOML file or"):
        load_preset("table9/x")


def test_differences_name_the_keys_and_both_values() -> None:
    changed = Config().updated({"train.lr": 0.1, "data.size": 64})
    assert Config().differences(changed) == {"train.lr": (0.001, 0.1), "data.size": (224, 64)}
    assert Config().digest() != changed.digest()
