"""`hmtl reproduce` before anything is trained: what is planned, and what is refused."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from sets import render_sets
from torchvision.models import resnet18

from hmtl.cli.main import run
from hmtl.errors import ConfigError
from hmtl.preset import load_preset, preset_names
from hmtl.reproduce.places import find_places
from hmtl.reproduce.plan import Asked, Plan, make_plan
from hmtl.reproduce.tables import TITLES, row_name


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_sets(tmp_path_factory.mktemp("sets"))


def planned(sets: Path, table: str, **asked: object) -> Plan:
    values = {"data": sets, "out": Path("out"), "scale": "smoke"} | asked
    return make_plan(Asked(table=table, **values))  # type: ignore[arg-type]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run a command that must fail with `code`, and return its one line on stderr."""
    assert run(["reproduce", *map(str, arguments)]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("table", "rows", "data", "split", "judged", "judged_split", "pretraining"),
    [
        ("table1", 13, "gaze", "fit", "gaze", "val", []),
        ("table2", 17, "300W_LP", "", "AFLW", "", ["puzzle2", "rotation2"]),
        ("table3", 7, "300W_LP", "", "kinect", "", ["rotation2"]),
        (
            "table4",
            11,
            "300W_LP",
            "",
            "AFLW",
            "",
            ["barlow", "barlow-puzzle3", "puzzle2", "puzzle3", "rotation2"],
        ),
        ("table5", 3, "300W_LP", "", "AFLW", "", []),
        ("table6", 12, "gaze", "fit", "gaze", "val", []),
    ],
)
def test_a_table_is_planned_with_its_data_and_its_pretraining(
    sets: Path,
    table: str,
    rows: int,
    data: str,
    split: str,
    judged: str,
    judged_split: str,
    pretraining: list[str],
) -> None:
    plan = planned(sets, table)
    runs = list(plan.runs())
    assert len(runs) == len(plan.rows) == rows
    assert {run.folder.as_posix() for run in plan.pretraining()} == {
        f"out/pretrain/{name}/seed0" for name in pretraining
    }
    for planned_run in plan.pretraining():
        words = list(planned_run.training)
        assert words[:2] == ["pretrain", planned_run.preset.name]
        assert (option(words, "--data"), option(words, "--split")) == (f"{sets}/gaze", "train")
        assert not planned_run.judging
    for planned_run in runs:
        words, judging = list(planned_run.training), list(planned_run.judging)
        name = row_name(planned_run.preset)
        assert words[:2] == ["train", f"{table}/{name}"]
        assert (option(words, "--data"), option(words, "--split")) == (f"{sets}/{data}", split)
        people = {"table1": "1", "table6": name[-1]}.get(table, "")
        assert option(words, "--subjects") == people
        assert option(words, "--out") == f"out/{table}/{name}/seed0" == judging[1]
        assert (option(judging, "--data"), option(judging, "--split")) == (
            f"{sets}/{judged}",
            judged_split,
        )
        starts_from = load_preset(f"{table}/{name}").starts_from
        init = str(Path("out", starts_from, "seed0").absolute()) if starts_from else ""
        assert option(words, "--init") == init == planned_run.config.model.init


def test_pretraining_comes_once_and_right_before_what_needs_it(sets: Path) -> None:
    only = ["sl-barlow", "barlow", "sl"]
    plan = planned(sets, "table4", only=only, seeds=2)
    assert [run.folder.relative_to("out").as_posix() for run in plan.in_order()] == [
        f"{name}/seed{seed}"
        for seed in (0, 1)
        for name in ("table4/sl", "pretrain/barlow", "table4/sl-barlow", "table4/barlow")
    ]
    assert [run.config.train.seed for run in plan.in_order()] == [0] * 4 + [1] * 4


def test_rows_are_judged_by_the_protocols_that_the_paper_has_numbers_for(sets: Path) -> None:
    wanted = {
        "table1/sl": ["paper-full"],
        "table2/sl-aug1": ["hopenet", "paper-full"],
        "table2/sl-aug1-from-puzzle2": ["paper-full"],
        "table2/hmtl-puzzle3-aug2-bin1": ["hopenet"],
        "table3/sl": ["hopenet"],
    }
    for name, protocols in wanted.items():
        plan = planned(sets, name.split("/")[0], only=[name])
        (judging,) = (list(run.judging) for run in plan.runs())
        places = [place + 1 for place, word in enumerate(judging) if word == "--protocol"]
        assert [judging[place] for place in places] == protocols


def test_the_full_scale_is_the_presets_and_evaluates_aflw2000_on_the_way(sets: Path) -> None:
    small = ["train.batch_size=8"]
    (run_,) = planned(sets, "table5", only=["sl"], scale="full", settings=small, devices=2).runs()
    assert run_.training == [
        *("train", "table5/sl", "--data", f"{sets}/300W_LP", "--val", f"{sets}/AFLW"),
        *("--set=train.batch_size=8", "--set=train.seed=0", "--devices", "2"),
        *("--out", "out/table5/sl/seed0", "--resume"),
    ]
    changes = load_preset("table5/sl").config.differences(run_.config)
    assert changes == {"train.batch_size": (64, 8), "data.convention": ("", "euler")}
    (gaze,) = planned(sets, "table1", only=["sl"], scale="full", settings=small).runs()
    assert "--val" not in gaze.training
    assert gaze.config.data.convention == "direction"


def test_imagenet_rows_start_from_random_weights_on_the_small_scale_and_say_so(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_,) = planned(sets, "table3", only=["sl-imagenet"]).runs()
    assert run_.config.model.init == ""
    assert "--set=model.init=" in run_.training
    asked = ["table3", "--data", sets, "--out", tmp_path, "--scale", "smoke", "--dry-run", "--json"]
    assert run(["reproduce", *map(str, asked)]) == 0
    rows = {row["row"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["sl-imagenet"]["starts_from"] == "random instead of imagenet"
    assert rows["sl-from-rotation2"]["starts_from"] == "pretrain/rotation2"


def test_missing_imagenet_weights_are_told_before_anything_is_trained(
    sets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    small = ["--set=train.batch_size=8", "--set=model.backbone=resnet18"]
    asked = ["table3", "--data", sets, "--out", tmp_path / "out", *small, "--only", "sl-imagenet"]
    error = refused(capsys, 1, *asked)
    assert "cannot fetch https://download.pytorch.org/models/resnet18" in error
    assert not (tmp_path / "out").exists()
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"conv1.weight": resnet18().conv1.weight}, cached)
    assert "cannot start a resnet18 from imagenet" in refused(capsys, 2, *asked)


def test_what_is_missing_is_told_in_one_line_with_what_is_there(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").symlink_to(sets / "AFLW")
    (tmp_path / "notes").mkdir()
    asked = ["--data", tmp_path, "--out", tmp_path / "out", "--scale", "smoke"]
    error = refused(capsys, 1, "table2", *asked)
    assert "no data set of layout 300w-lp and eth-xgaze: looked in" in error
    assert "faces (aflw2000), notes (unknown)" in error
    assert not (tmp_path / "out").exists()
    error = refused(capsys, 1, "table2", *asked, "--only", "sl-aug1")
    assert "no data set of layout 300w-lp: looked in" in error
    error = refused(capsys, 1, "table2", "--data", sets / "AFLW", "--out", tmp_path / "out")
    assert "is aflw2000: give the folder above" in error
    error = refused(capsys, 1, "table2", "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert "none: No such file or directory" in error


def test_two_folders_of_one_layout_are_named(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("300W_LP", "AFLW", "kinect"):
        (tmp_path / name).symlink_to(sets / name)
    (tmp_path / "copy").symlink_to(sets / "AFLW")
    asked = ["--data", tmp_path, "--out", tmp_path / "out", "--scale", "smoke"]
    error = refused(capsys, 1, "table5", *asked)
    assert f"{tmp_path / 'AFLW'} and {tmp_path / 'copy'} are both aflw2000" in error
    # Which of them it is does not matter to who needs neither.
    assert run(["reproduce", "table3", *map(str, asked), "--only", "sl", "--dry-run"]) == 0


def test_a_data_set_itself_is_found_by_any_path_to_it(
    sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sets / "AFLW")
    assert list(find_places(Path("../gaze"), ["eth-xgaze"])) == ["eth-xgaze"]


def test_a_crop_rule_that_no_row_has_is_refused(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--data", sets, "--out", "out", "--scale", "smoke", "--dry-run"]
    error = refused(capsys, 2, "table5", *asked, "--set", "data.crop=hopnet")
    assert "'data.crop' must be one of ['hopenet'" in error
    refused(capsys, 2, "table1", *asked, "--set", "data.crop=landmarks")


def test_a_file_says_where_the_data_sets_are(sets: Path, tmp_path: Path) -> None:
    (tmp_path / "near").symlink_to(sets / "AFLW")
    path = tmp_path / "data.toml"
    path.write_text(f'aflw2000 = "near"\n300w-lp = "{sets}/300W_LP"\n')
    assert find_places(path, ["aflw2000", "300w-lp"]) == {
        "aflw2000": tmp_path / "near",
        "300w-lp": sets / "300W_LP",
    }
    assert find_places(sets / "gaze", ["eth-xgaze"]) == {"eth-xgaze": sets / "gaze"}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('aflw = "x"', 2, "got aflw = 'x'"),
        ("aflw2000 = 3", 2, "got aflw2000 = 3"),
        ("aflw2000 =", 2, "data.toml is not valid TOML"),
        ('aflw2000 = "300W_LP"', 1, "300W_LP is of layout 300w-lp, not aflw2000 as"),
        ('300w-lp = "300W_LP"', 1, "no data set of layout aflw2000: "),
    ],
)
def test_a_wrong_file_of_data_sets_is_named(
    sets: Path,
    tmp_path: Path,
    text: str,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "300W_LP").symlink_to(sets / "300W_LP")
    path = tmp_path / "data.toml"
    path.write_text(text + "\n")
    assert message in refused(capsys, code, "table5", "--data", path, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table7"], "'table7' is not one of 'table1', 'table2', 'table3'"),
        (["table5", "--only", "sll"], "unknown row 'sll', expected one of ['sl', 'hmtl-puzzle3',"),
        (["table5", "--seeds", "0"], "--seeds"),
        (["table5", "--scale", "tiny"], "'tiny' is not one of 'full', 'smoke'"),
        (["table5", "--set", "train.seed=3"], "--set train.seed is not for a table"),
        (["table5", "--set", "model.init=x.pth"], "--set model.init is not for a table"),
        (["table5", "--set", "train.speed=3"], "unknown config key 'train.speed'"),
        (["table5"], "table5/sl has 24 samples in"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    sets: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in refused(capsys, 2, *arguments, "--data", sets, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_people_are_told(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gaze = tmp_path / "gaze"
    shutil.copytree(sets / "gaze", gaze)
    (gaze / "train_test_split.json").unlink()
    for path in sorted(gaze.glob("train/*.h5"))[3:7]:
        path.unlink()
    asked = ["table6", "--data", tmp_path, "--out", tmp_path / "out", "--scale=smoke"]
    error = refused(capsys, 1, *asked)
    assert "table6/sl-subjects4 needs 4 people of split 'fit'" in error
    assert "has 3" in error
    assert run(["reproduce", *map(str, asked), "--only", "sl-subjects3", "--dry-run"]) == 0


def test_a_crop_rule_stays_with_the_layouts_that_have_it(sets: Path) -> None:
    plan = planned(sets, "table3", only=["sl-from-rotation2"], settings=["data.crop=visible"])
    pretraining, row = plan.in_order()
    assert pretraining.config.data.crop == ""
    assert row.config.data.crop == "visible"
    assert not any("data.crop" in word for word in pretraining.training)
    assert "--set=data.crop=visible" in row.training
    wanted = {"dataset": "hpdb", "split": None, "crop": "box", "boxes": "rgb.cal"}
    assert row.judged_by == wanted


def test_a_dry_run_is_a_script_and_writes_nothing(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out put"
    asked = ["reproduce", "table3", "--data", str(sets), "--out", str(out), "--scale", "smoke"]
    only = ["--only", "sl-from-rotation2", "--only", "table3/sl"]
    assert run([*asked, *only, "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert not out.exists()
    commands = [shlex.split(line)[1:] for line in shown if line and not line.startswith("#")]
    assert [words[0] for words in commands] == ["train", "eval", "pretrain", "train", "eval"]
    assert commands[1][1] == f"{out}/table3/sl/seed0"
    assert "# pretrain/rotation2/seed0: to do, 18 samples" in shown
    assert shown[-1].startswith("# to train on: 66 images; ")


def test_presets_that_are_not_the_papers_have_no_sources(tmp_path: Path) -> None:
    for name in preset_names():
        preset = load_preset(name)
        folder = name.split("/")[0]
        assert (preset.trains_on is None) == (folder == "demo")
        assert (preset.judged_on is None) == (folder not in TITLES)
    path = tmp_path / "mine.toml"
    for text, message in (
        ("trains_on = { split = 'fit' }", "'trains_on' must be a table that names a layout"),
        ("judged_on = 'biwi'", "'judged_on' must be a table that names a layout, got 'biwi'"),
        ("trains_on = { layout = 'csv', subjects = -1 }", "'trains_on.subjects' must be a number"),
        ("trains_on = { layout = 'csv', people = 1 }", "unknown config key 'trains_on.people'"),
    ):
        path.write_text(text + "\n")
        with pytest.raises(ConfigError, match=message):
            load_preset(str(path))
