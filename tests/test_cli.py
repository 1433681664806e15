"""The command line: exit codes, one-line errors, what each command writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from trees import write_csv

from hmtl.assemble import build_model
from hmtl.checkpoint import save_weights
from hmtl.cli.main import COMMANDS, run
from hmtl.cli.options import select_subjects
from hmtl.data import open_dataset
from hmtl.errors import ConfigError, DataError
from hmtl.preset import load_preset, preset_names
from hmtl.synth import render_dataset

SMALL = ["--set", "model.backbone=resnet18", "--set", "data.size=32", "--set=train.batch_size=4"]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("data"), count=9, subjects=3, size=48)


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A run folder with the weights a run starts from."""
    config = load_preset("table2/sl-aug1").config.updated(
        {"model.backbone": "resnet18", "data.size": 32, "train.batch_size": 4}
    )
    run_folder = tmp_path / "run"
    save_weights(run_folder / "weights.safetensors", build_model(config).weights(), config, 0)
    return run_folder


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run a command that must fail with `code`; return its one line on stderr."""
    assert run([str(argument) for argument in arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_the_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        "assert not {'torch', 'numpy', 'rich'} & sys.modules.keys()"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for name, (_, text) in COMMANDS.items():
        assert name in shown
        assert text in shown


@pytest.mark.parametrize("command", ["check", "stats", "index"])
def test_data_sets_are_looked_at_without_torch(data_root: Path, command: str) -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['data', *sys.argv[1:]]) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    arguments = [sys.executable, "-P", "-c", code, command, str(data_root)]
    subprocess.run(arguments, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("text", "subjects"), [("15", ["15"]), ("15, 01", ["01", "15"]), ("01", ["01"])]
)
def test_where_subjects_have_numbers_for_names_a_number_is_a_name(
    tmp_path: Path, text: str, subjects: list[str]
) -> None:
    rows = [f"{name}.jpg,1,2,3,4,5,6,7,{name}" for name in ("01", "02", "15")]
    write_csv(tmp_path, *rows, header="path,x0,y0,x1,y1,yaw,pitch,roll,subject")
    chosen = select_subjects(open_dataset(tmp_path), text)
    assert [chosen.subjects[number] for number in chosen.subject] == subjects
    with pytest.raises(DataError, match=r"subject '2' is not in .*, which has 01, 02, 15"):
        select_subjects(open_dataset(tmp_path), "2")


def test_a_validation_split_without_a_validation_set_is_refused(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "demo/sl", "--data", str(data_root), "--dry-run", "--val-split", "val"]
    assert run(arguments) == 2
    assert capsys.readouterr().err == "error: --val-split needs a --val\n"


def test_the_systems_errors_are_told_without_pythons_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "heads"
    arguments = ["data", "synth", str(out), "--layout", "biwi", "--count", "1", "--subjects", "1"]
    assert run(arguments) == 1
    assert capsys.readouterr().err.endswith(f"error: Not a directory: {out}\n")


@pytest.mark.parametrize("command", ["train", "eval"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--data DIR" in shown
    assert f"Example: hmtl {command}" in shown


def test_the_module_runs_like_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "hmtl", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith("hmtl, version ")


def test_train_and_pretrain_list_all_presets_between_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = []
    for command in ("train", "pretrain"):
        assert run([command, "--list"]) == 0
        listed += [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(listed) == preset_names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["train", "--fly"], "No such option"),
        (["train"], "a PRESET is missing"),
        (["train", "table2/nothing"], "unknown preset 'table2/nothing', expected"),
        (["train", "table2/sl-aug1"], "--data is missing"),
        (["train", "table2/sl-aug1", "--data", "x"], "--out is missing"),
        (["train", "table2/sl-aug1", "--set", "train.lr=x", "--data", "x"], "must be a number"),
        (["train", "table2/sl-aug1", "--set", "train.x=1"], "unknown config key 'train.x'"),
        (["eval", "run"], "Missing option '--data'"),
        (["eval", "run", "--data", "x", "--protocol", "mine"], "unknown protocol 'mine'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, 2, *arguments)


def test_data_that_are_not_there_are_exit_code_1(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    preset = "table2/sl-aug1"
    assert "nowhere" in refused(
        capsys, 1, "train", preset, "--data", nowhere, "--out", tmp_path / "x"
    )
    assert "nowhere" in refused(capsys, 1, "eval", untrained, "--data", nowhere)
    assert "weights.safetensors does not exist" in refused(
        capsys, 1, "eval", nowhere, "--data", nowhere
    )


def test_a_bad_image_ends_training_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_300w_lp(tmp_path / "data", count=4, subjects=2, size=48)
    broken = sorted(root.rglob("*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:200])
    arguments = ["train", "table2/sl-aug1", *SMALL, "--data", root, "--out", tmp_path / "run"]
    assert broken.name in refused(capsys, 1, *arguments)


def test_an_error_shows_its_origin_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMTL_DEBUG", "1")
    with pytest.raises(ConfigError, match="unknown preset"):
        run(["train", "table2/nothing"])


@pytest.mark.usefixtures("quick_plan")
def test_a_dry_run_shows_settings_and_counts_and_trains_nothing(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["train", "table2/hmtl-puzzle2-aug1", *SMALL, "--data", str(data_root)]
    assert run([*arguments, "--val", str(data_root), "--out", str(out), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert 'backbone = "resnet18"' in shown
    assert "training: 9 of 9 samples" in shown
    assert "validation: 9 samples" in shown
    assert "parameters: 15,384,342 in training, 11,278,086 at evaluation" in shown
    assert not out.exists()


@pytest.mark.usefixtures("quick_plan")
def test_training_takes_the_listed_samples_of_the_named_subjects(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    stems = sorted(path.with_suffix("") for path in data_root.rglob("*.jpg"))[:5]
    names.write_text("\n".join(stem.relative_to(data_root).as_posix() for stem in stems))
    arguments = ["train", "table2/sl-aug1", *SMALL, "--data", str(data_root), "--dry-run"]
    arguments += ["--set=train.batch_size=3"]
    assert run([*arguments, "--list", str(names)]) == 0
    assert "training: 5 of 5 samples" in capsys.readouterr().out
    assert run([*arguments, "--list", str(names), "--subjects", "1"]) == 0
    assert "training: 3 of 3 samples" in capsys.readouterr().out


def test_subjects_are_chosen_by_name_or_by_count(data_root: Path) -> None:
    data = open_dataset(data_root)
    first, second, _ = data.subjects
    assert len(select_subjects(data, "2")) == 6
    assert set(select_subjects(data, f"{second}, {first}").subject) == {0, 1}
    with pytest.raises(ConfigError, match="--subjects must be 1 to 3 or names, got 4"):
        select_subjects(data, "4")
    with pytest.raises(DataError, match="subject 'nobody' is not in"):
        select_subjects(data, f"{first},nobody")


def test_eval_prints_a_table_and_keeps_the_results(
    untrained: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", str(untrained), "--data", str(data_root)]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("protocol", "skipped", "crop", "geodesic", "paper-full"))
    results = json.loads((untrained / "results.json").read_text())
    assert [entry["protocol"] for entry in results] == ["hopenet", "paper-full"]
    assert results[0]["n"] == 9
    assert results[0]["mae"].keys() == {"yaw", "pitch", "roll", "mean"}
    assert f"{results[0]['mae']['mean']:.3f}" in shown

    assert run([*arguments, "--protocol", "wrapped", "--crop", "visible"]) == 0
    assert run([*arguments, "--protocol", "hopenet", "--crop", "visible"]) == 0
    results = json.loads((untrained / "results.json").read_text())
    assert [(entry["protocol"], entry["crop"]) for entry in results] == [
        ("hopenet", "hopenet"),
        ("paper-full", "hopenet"),
        ("wrapped", "visible"),
        ("hopenet", "visible"),
    ]

    assert run([*arguments, "--protocol", "hopenet", "--subjects", "1"]) == 0
    results = json.loads((untrained / "results.json").read_text())
    assert [entry.get("subjects") for entry in results] == [None] * 4 + ["1"]


def test_eval_takes_the_best_weights_or_a_file(
    untrained: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", str(untrained), "--data", str(data_root), "--protocol", "wrapped"]
    assert run([*arguments, "--weights", "best"]) == 1
    assert f"{untrained / 'best.safetensors'} does not exist" in capsys.readouterr().err
    other = tmp_path / "other.safetensors"
    shutil.copy(untrained / "weights.safetensors", other)
    shutil.copy(other, untrained / "best.safetensors")
    for weights in ("best", str(other)):
        assert run([*arguments, "--weights", weights]) == 0
    results = json.loads((untrained / "results.json").read_text())
    # They stand beside those of the last weights, not in their place.
    assert [entry.get("weights") for entry in results][-2:] == ["best", str(other)]


def test_results_of_splits_and_of_listed_boxes_are_told_apart(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xgaze = write_xgaze(tmp_path / "xgaze", train=[0, 108], test=[1])
    for split in ("val", "test", "val"):
        arguments = ["eval", untrained, "--data", xgaze, "--protocol", "hopenet", "--split", split]
        assert run([str(argument) for argument in arguments]) == 0
        assert f"errors on xgaze, {split}, degrees" in capsys.readouterr().out
    render_dataset(
        tmp_path / "biwi", layout="biwi", count=3, subjects=1, seed=0, size=48, workers=1
    )
    arguments = ["eval", untrained, "--data", tmp_path / "biwi", "--protocol", "hopenet"]
    assert run([str(argument) for argument in arguments]) == 0
    assert "hpdb, rgb.cal, degrees" in capsys.readouterr().out
    entries = json.loads((untrained / "results.json").read_text())
    assert [(e["dataset"], e.get("split"), e.get("boxes"), e["n"]) for e in entries] == [
        ("xgaze", "val", None, 3),
        ("xgaze", "test", None, 3),
        ("hpdb", None, "rgb.cal", 3),
    ]


@pytest.mark.usefixtures("quick_plan")
def test_training_takes_a_split_and_validation_its_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_xgaze(tmp_path, train=[0, 3, 108])
    arguments = ["train", "table2/sl-aug1", *SMALL, "--dry-run", "--split", "fit"]
    assert run([*arguments, "--data", str(root), "--val", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "training: 6 of 6 samples" in shown
    assert "validation: 9 samples" in shown


@pytest.mark.slow
def test_a_run_trains_is_evaluated_and_is_not_overwritten(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["train", "table2/sl-aug1", *SMALL, "--set", "train.epochs=1"]
    arguments += ["--data", str(data_root), "--val", str(data_root), "--out", str(out)]
    assert run(arguments) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert run(["eval", str(out), "--data", str(data_root)]) == 0
    capsys.readouterr()
    assert "--resume" in refused(capsys, 2, *arguments)
    assert run([*arguments, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert "changes train.lr from 0.001 to 0.1" in refused(
        capsys, 2, *arguments, "--resume", "--set", "train.lr=0.1"
    )


@pytest.mark.data
def test_real_samples_are_evaluated(
    untrained: Path, realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "AFLW2000"
    shutil.copytree(realdata / "AFLW2000", copy, ignore=shutil.ignore_patterns(".*"))
    assert run(["eval", str(untrained), "--data", str(copy)]) == 0
    assert "AFLW2000" in capsys.readouterr().out


def test_devices_under_another_launcher_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert run(["train", "table2/sl-aug1", "--data", "x", "--out", "y", "--devices", "4"]) == 2
    assert "got 4 in one of 2 that another launcher started" in capsys.readouterr().err
