"""`hmtl reproduce` on rendered heads: real trainings of a moment, killed and gone on with."""

import contextlib
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed_runs import kill, wait_until
from runs import same, weights
from sets import render_sets

from hmtl.cli.main import run
from hmtl.data import open_dataset
from hmtl.reproduce.plan import Asked, make_plan
from hmtl.runlog import Entry, read_log
from hmtl.synth import render_dataset

pytestmark = pytest.mark.slow

# On one thread of torch, as the tests have it, these are the same bits in any process.
EXACT = ["--scale", "smoke", "--set", "train.deterministic=true"]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reproduce.md"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_sets(tmp_path_factory.mktemp("sets"))


def reproduce(sets: Path, out: Path, *words: str) -> int:
    return run(["reproduce", words[0], "--data", str(sets), "--out", str(out), *EXACT, *words[1:]])


def table(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    return found


def rows(found: Mapping[str, Any]) -> dict[str, Any]:
    return {row["row"]: row for row in found["rows"]}


def commands(text: str) -> list[str]:
    """Return the commands that were run, as they were told."""
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def starts(run_folder: Path) -> list[Entry]:
    return [entry for entry in read_log(run_folder / "log.jsonl") if entry["event"] == "start"]


def written(out: Path) -> dict[str, int]:
    """Return when the files of all runs were written."""
    files = [path for path in out.rglob("*") if path.is_file() and path.parent != out]
    return {str(path): path.stat().st_mtime_ns for path in files}


def script(text: str) -> list[list[str]]:
    """Return the words of the commands that a dry run prints."""
    return [shlex.split(line) for line in text.splitlines() if line.startswith("hmtl ")]


@pytest.fixture(scope="module")
def table5(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of which one row is there, with two seeds, the second of them made by hand."""
    out = tmp_path_factory.mktemp("out")
    assert reproduce(sets, out, "table5", "--only", "sl") == 0
    settings = ["train.deterministic=true"]
    asked = Asked(table="table5", data=sets, out=out, seeds=2, settings=settings, scale="smoke")
    for words in make_plan(asked).rows[0].runs[1].commands:
        assert run(words) == 0
    assert reproduce(sets, out, "table5", "--only", "sl", "--seeds", "2") == 0
    return out


def test_a_table_has_the_papers_numbers_beside_means_over_the_seeds(table5: Path) -> None:
    found = table(table5, "table5")
    assert (found["table"], found["scale"], found["seeds"]) == ("table5", "smoke", [0, 1])
    assert "mean nothing" in found["note"]
    assert found["settings"] == {"train.deterministic": True}
    assert list(rows(found)) == ["sl", "hmtl-puzzle3", "hmtl-puzzle3-without-heads"]
    errors = [
        json.loads((table5 / "table5" / "sl" / f"seed{seed}" / "results.json").read_text())[0]
        for seed in (0, 1)
    ]
    (compared,) = rows(found)["sl"]["comparisons"]
    for angle, of_paper in {"yaw": 6.221, "pitch": 5.569, "roll": 3.984, "mean": 5.258}.items():
        first, second = (entry["mae"][angle] for entry in errors)
        assert compared["paper"][angle] == of_paper
        assert compared["ours"][angle] == pytest.approx((first + second) / 2)
        assert compared["difference"][angle] == pytest.approx((first + second) / 2 - of_paper)
        # Of two values the deviation of a sample is their distance over the root of two.
        assert compared["deviation"][angle] == pytest.approx(abs(first - second) / 2**0.5)
        assert first != second
    assert (compared["protocol"], compared["dataset"]) == ("hopenet", "AFLW")
    assert (compared["n"], compared["crop"], compared["seeds"]) == (12, "hopenet", [0, 1])


def test_every_run_of_a_table_says_what_it_was_made_with(table5: Path) -> None:
    found = rows(table(table5, "table5"))
    for seed, of_run in enumerate(found["sl"]["runs"]):
        assert (of_run["state"], of_run["error"], of_run["seed"]) == ("done", "", seed)
        assert of_run["run"] == f"table5/sl/seed{seed}"
        assert of_run["config"] == starts(table5 / of_run["run"])[0]["config"]
        assert {"hmtl", "torch"} <= set(of_run["versions"])
        assert (of_run["device"], of_run["samples"]) == ("cpu", 24)
        assert [shlex.split(command)[1] for command in of_run["commands"]] == ["train", "eval"]
    assert found["sl"]["chosen"] is True
    other = found["hmtl-puzzle3"]
    assert other["chosen"] is False
    assert [of_run["state"] for of_run in other["runs"]] == ["to do", "to do"]
    assert other["comparisons"][0]["ours"] is None


def test_the_page_has_the_table_the_curves_and_the_commands(table5: Path) -> None:
    page = (table5 / "table5.html").read_text()
    assert "the numbers mean nothing" in page
    assert page.count("data:image/png;base64,") == 1
    assert "<td>6.221</td>" in page
    (compared,) = rows(table(table5, "table5"))["sl"]["comparisons"]
    assert f"<td>{compared['ours']['mean']:.3f} ±{compared['deviation']['mean']:.3f}</td>" in page
    assert "hmtl train table5/sl" in page


def test_a_finished_table_is_printed_and_not_touched(
    sets: Path, table5: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = written(table5)
    assert reproduce(sets, table5, "table5", "--only", "sl") == 0
    said = capfd.readouterr()
    assert commands(said.err) == []
    assert written(table5) == before
    lines = [line.split() for line in said.out.splitlines()]
    assert ["sl", "hopenet", "paper", "6.221", "5.569", "3.984", "5.258"] in lines
    ours = rows(table(table5, "table5"))["sl"]["comparisons"][0]["ours"]
    assert ["ours", *(f"{ours[angle]:.3f}" for angle in ours)] in lines


def test_results_that_are_lacking_or_of_other_weights_are_made_again(
    sets: Path, table5: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = table5 / "table5" / "sl" / "seed0"
    kept = (folder / "results.json").read_text()
    of_parts = [{**entry, "subjects": "1"} for entry in json.loads(kept)]
    (folder / "results.json").write_text(json.dumps(of_parts))
    assert reproduce(sets, table5, "table5", "--only", "sl", "--seeds", "2") == 0
    (command,) = commands(capfd.readouterr().err)
    assert command.startswith(f"hmtl eval {folder}")
    assert json.loads((folder / "results.json").read_text()) == [*of_parts, *json.loads(kept)]
    errors = json.loads(kept)
    older = [{**entry, "step": entry["step"] - 1} for entry in errors]
    (folder / "results.json").write_text(json.dumps(older))
    assert reproduce(sets, table5, "table5", "--seeds", "2", "--dry-run", "--json") == 0
    found = rows(json.loads(capfd.readouterr().out))
    assert [of_run["state"] for of_run in found["sl"]["runs"]] == ["trained", "done"]
    assert found["sl"]["comparisons"][0]["seeds"] == [1]
    # Of other boxes it is another number.
    listed = [{**entry, "boxes": "list boxes.csv"} for entry in errors]
    (folder / "results.json").write_text(json.dumps([*errors, *listed]))
    assert reproduce(sets, table5, "table5", "--seeds", "2", "--dry-run", "--json") == 0
    found = rows(json.loads(capfd.readouterr().out))
    assert [of_run["state"] for of_run in found["sl"]["runs"]] == ["done", "done"]
    (folder / "results.json").write_text("[{")
    assert reproduce(sets, table5, "table5", "--dry-run") == 1
    assert f"{folder / 'results.json'} is damaged" in capfd.readouterr().err
    (folder / "results.json").write_text(kept)


def test_a_run_of_other_data_is_refused_and_says_what_it_saw(
    sets: Path, table5: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "AFLW").symlink_to(sets / "AFLW")
    render_dataset(
        tmp_path / "300W_LP", layout="300w-lp", count=26, subjects=6, seed=9, size=48, workers=1
    )
    assert reproduce(tmp_path, table5, "table5", "--only", "sl") == 2
    assert "table5/sl/seed0 was made with samples = 24, not 26" in capfd.readouterr().err


def test_a_setting_that_a_command_finds_wrong_ends_the_table(
    sets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(sets, tmp_path, "table5", "--set", "data.augmentation=nope") == 2
    said = capfd.readouterr().err
    assert len(commands(said)) == 1
    assert "unknown augmentation 'nope'" in said.splitlines()[-1]


def test_a_line_without_losses_is_passed_over_in_the_curves(
    sets: Path, table5: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(table5, out)
    log = out / "table5" / "sl" / "seed0" / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    bare = [
        {k: v for k, v in e.items() if k != "pose"} if e["event"] == "step" else e for e in lines
    ]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in bare))
    assert reproduce(sets, out, "table5", "--only", "sl") == 0


def test_runs_with_other_settings_are_refused_by_name(
    sets: Path, table5: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = written(table5)
    assert reproduce(sets, table5, "table5", "--set", "train.epochs=2") == 2
    error = capfd.readouterr().err
    assert f"{table5}/table5/sl/seed0 was made with train.epochs = 1, not 2: choose" in error
    assert error.count("\n") == 1
    asked = ["reproduce", "table5", "--data", str(sets), "--out", str(table5)]
    assert run([*asked, "--set", "train.batch_size=8", "--dry-run"]) == 2
    assert "model.backbone = 'resnet18', not 'resnet50'" in capfd.readouterr().err
    assert written(table5) == before
    # Rows that are not asked for are shown as they are: not as of this table.
    other = [*asked, "--set", "train.batch_size=8", "--only", "hmtl-puzzle3", "--dry-run", "--json"]
    assert run(other) == 0
    found = rows(json.loads(capfd.readouterr().out))
    assert found["sl"]["runs"][0]["state"] == "other settings"
    assert found["sl"]["comparisons"][0]["ours"] is None


BY_HAND = {
    ("table5", "sl"): ["train", "eval"],
    ("table3", "sl-from-rotation2"): ["pretrain", "train", "eval"],
    ("table6", "hmtl-puzzle2-subjects2"): ["train", "eval"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """Rows of tables that were made by the commands that a dry run printed."""

    out: Path
    printed: dict[tuple[str, str], list[str]]
    """What is done by each of the commands."""
    left: dict[tuple[str, str], list[str]]
    """The commands that were run for the table afterwards."""


def heard(words: Callable[[], int]) -> tuple[str, str]:
    """Return what something that must succeed says on stdout and on stderr."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        assert words() == 0
    return out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def made(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("by_hand")
    found = Made(out=out, printed={}, left={})
    for name, row in BY_HAND:
        asked = (name, "--only", row)
        shown, _ = heard(lambda asked=asked: reproduce(sets, out, *asked, "--dry-run"))
        lines = script(shown)
        for words in lines:
            assert run(words[1:]) == 0
        _, told = heard(lambda asked=asked: reproduce(sets, out, *asked))
        found.printed[name, row] = [words[1] for words in lines]
        found.left[name, row] = commands(told)
    return found


@pytest.mark.parametrize(("name", "row"), BY_HAND)
def test_the_commands_of_a_dry_run_make_the_row(made: Made, name: str, row: str) -> None:
    assert made.printed[name, row] == BY_HAND[name, row]
    assert made.left[name, row] == []
    assert rows(table(made.out, name))[row]["runs"][0]["state"] == "done"


def test_what_is_made_by_hand_has_the_same_bits(
    sets: Path, made: Made, table5: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = [out / "table5" / "sl" / "seed0" for out in (made.out, table5)]
    assert same(weights(folders[0]), weights(folders[1]))
    assert reproduce(sets, table5, "table5", "--only", "sl") == 0
    tables = [rows(table(out, "table5"))["sl"]["comparisons"] for out in (made.out, table5)]
    assert tables[0] == tables[1]
    assert commands(capfd.readouterr().err) == []


def test_rows_have_the_people_and_the_pretraining_that_they_say(made: Made) -> None:
    (start,) = starts(made.out / "table6" / "hmtl-puzzle2-subjects2" / "seed0")
    assert (start["data"]["split"], start["data"]["subjects"]) == ("fit", 2)
    (compared,) = rows(table(made.out, "table6"))["hmtl-puzzle2-subjects2"]["comparisons"]
    assert (compared["protocol"], compared["split"], compared["n"]) == ("paper-full", "val", 9)
    assert set(compared["ours"]) == set(compared["paper"]) == {"yaw", "pitch", "mean"}

    found = table(made.out, "table3")
    (pretraining,) = found["pretraining"]
    assert (pretraining["run"], pretraining["state"]) == ("pretrain/rotation2/seed0", "done")
    assert starts(made.out / "pretrain" / "rotation2" / "seed0")[0]["data"]["split"] == "train"
    (compared,) = rows(found)["sl-from-rotation2"]["comparisons"]
    assert (compared["dataset"], compared["boxes"], compared["n"]) == ("hpdb", "rgb.cal", 12)


def test_a_pretraining_is_done_once_for_all_tables(
    sets: Path, made: Made, capfd: pytest.CaptureFixture[str]
) -> None:
    only = ["--only", "sl-aug1-from-rotation2", "--dry-run"]
    assert reproduce(sets, made.out, "table2", *only) == 0
    shown = capfd.readouterr().out
    assert "# pretrain/rotation2/seed0: done" in shown
    assert [words[1] for words in script(shown)] == ["train", "eval"]


def test_a_pretraining_that_is_gone_is_not_missed_by_what_is_finished(
    sets: Path, made: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "pretrain"
    (made.out / "pretrain").rename(kept)
    try:
        assert reproduce(sets, made.out, "table3", "--only", "sl-from-rotation2") == 0
        assert commands(capfd.readouterr().err) == []
        assert table(made.out, "table3")["pretraining"][0]["state"] == "not needed"
        assert reproduce(sets, made.out, "table3", "--only", "sl-from-rotation2", "--dry-run") == 0
        assert script(capfd.readouterr().out) == []
    finally:
        kept.rename(made.out / "pretrain")


def test_a_table_that_is_stopped_and_killed_goes_on_where_it_was(
    sets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    epochs, steps_per_epoch = 12, 3
    words = ["table5", "--only", "hmtl-puzzle3-without-heads"]
    words += ["--set", f"train.epochs={epochs}", "--set", "train.log_steps=1"]
    arguments = [words[0], "--data", str(sets), "--out", str(tmp_path), *EXACT, *words[1:]]
    folder = tmp_path / "table5" / "hmtl-puzzle3-without-heads" / "seed0"

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "hmtl", "reproduce", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def has_done(steps: int, processes: int) -> bool:
        if not (folder / "log.jsonl").exists() or len(starts(folder)) < processes:
            return False
        done = [entry["step"] for entry in read_log(folder / "log.jsonl")]
        return done[-1] >= starts(folder)[-1]["step"] + steps

    process = start()
    wait_until(process, lambda: has_done(2, processes=1))
    said = kill(process, signal.SIGTERM)
    assert process.returncode == 75, said
    assert "stopped by SIGTERM: the same command goes on" in said
    stopped = read_log(folder / "log.jsonl")[-1]
    assert (stopped["event"], stopped["reason"]) == ("end", "SIGTERM")
    assert rows(table(tmp_path, "table5"))[folder.parent.name]["runs"][0]["state"] == "begun"

    process = start()
    wait_until(process, lambda: has_done(2, processes=2))
    # The training's own process is told by the system; what it had said is read to its end.
    kill(process, signal.SIGKILL)
    orphan = read_log(folder / "log.jsonl")[-1]
    assert (orphan["event"], orphan["reason"]) == ("end", "SIGTERM")

    assert reproduce(sets, tmp_path, *words) == 0
    assert len(commands(capfd.readouterr().err)) == 2
    assert [entry["step"] for entry in starts(folder)] == [0, stopped["step"], orphan["step"]]
    lines = (folder / "log.jsonl").read_text().splitlines()
    steps = [entry["step"] for entry in map(json.loads, lines) if entry["event"] == "step"]
    assert steps == list(range(1, epochs * steps_per_epoch + 1))
    assert rows(table(tmp_path, "table5"))[folder.parent.name]["runs"][0]["state"] == "done"


def test_a_row_that_fails_is_named_and_the_others_are_done(
    sets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "sets"
    shutil.copytree(sets, broken)
    gaze = open_dataset(broken / "gaze", split="train")
    for extent in gaze.extent:
        with (broken / "gaze" / gaze.files[extent["file"]]).open("r+b") as file:
            file.seek(int(extent["offset"]))
            file.write(b"\xff" * int(extent["size"]))
    out = tmp_path / "out"
    only = ["--only", "sl-aug1-from-rotation2", "--only", "sl-aug2"]
    assert reproduce(broken, out, "table2", *only, "--dry-run") == 0
    (training,) = (words for words in script(capfd.readouterr().out) if "table2/sl-aug2" in words)
    assert run(training[1:]) == 0
    capfd.readouterr()
    assert reproduce(broken, out, "table2", *only, "--json") == 1
    said = capfd.readouterr()
    assert [shlex.split(command)[1] for command in commands(said.err)] == ["pretrain", "eval"]
    # Nothing but the table, although what was run has said more.
    found = json.loads(said.out)
    assert found == table(out, "table2")
    assert "errors on AFLW" in said.err
    good, bad = (rows(found)[name] for name in ("sl-aug2", "sl-aug1-from-rotation2"))
    assert good["runs"][0]["state"] == "done"
    assert [compared["protocol"] for compared in good["comparisons"]] == ["hopenet", "paper-full"]
    (pretraining,) = found["pretraining"]
    assert (pretraining["state"], bad["runs"][0]["state"]) == ("failed", "failed")
    assert re.search(r"train/subject0\d+\.h5", pretraining["error"])
    assert "its pre-training" in bad["runs"][0]["error"]
    assert pretraining["error"] in bad["runs"][0]["error"]
    assert "failed: table2/sl-aug1-from-rotation2/seed0: its pre-training" in said.err
    assert "Traceback" not in said.err


def page_commands(heading: str) -> list[list[str]]:
    """Return the words of the commands in the bash block under a heading of the page."""
    chapter = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    block = chapter.split("```bash\n")[1].split("```")[0]
    return [shlex.split(line.split(" > ")[0], comments=True) for line in block.splitlines()]


def test_the_first_try_of_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in page_commands("A first try"):
        assert words[0] == "hmtl"
        assert run(words[1:]) == 0, words
    shown = capfd.readouterr().out
    assert "# table5/sl/seed0: done" in shown
    assert "# to train on: 0 images" in shown
    assert (tmp_path / "tried" / "table5.html").exists()


def test_the_commands_of_the_page_for_real_are_understood(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").symlink_to(sets)
    for words in page_commands("For real"):
        small = ["--set", "train.batch_size=8", "--dry-run"]
        assert run([*words[1:], *small]) == 0, words
    assert not (tmp_path / "reproduced").exists()


def test_the_page_tells_every_key_of_a_table(table5: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = table(table5, "table5")
    row = found["rows"][0]
    for part in (found, row, row["comparisons"][0], row["runs"][0]):
        for key in part:
            assert re.search(rf"`(\w+\[\]\.)*{key}(\[\])?[`.\[]", text), key
