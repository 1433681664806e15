"""`hmtl data stats`: what it prints and draws, on any terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from PIL import Image

from hmtl.cli.main import run

pytestmark = pytest.mark.usefixtures("user_cache")

BLOCKS = "▏▎▍▌▋▊▉█"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_300w_lp(tmp_path / "heads", count=9, subjects=3, size=32)


def stats(*arguments: object) -> int:
    return run(["data", "stats", *map(str, arguments)])


def write_yaws(root: Path, *yaws: float) -> Path:
    root.mkdir(exist_ok=True)
    Image.new("RGB", (9, 9)).save(root / "a.jpg")
    rows = [f"a.jpg,0,0,9,9,{yaw},0,0" for yaw in yaws]
    (root / "labels.csv").write_text("\n".join(["path,x0,y0,x1,y1,yaw,pitch,roll", *rows]))
    return root


def drawn(text: str) -> list[str]:
    """Return the lines of the histograms, from the first heading on."""
    lines = text.splitlines()
    return lines[next(n for n, line in enumerate(lines) if line.lstrip().startswith("degrees")) :]


def test_stats_shows_counts_sizes_and_poses(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plots = [tmp_path / "poses.png", tmp_path / "poses.SVG"]
    for plot in plots:
        assert stats(root, "--plot", plot) == 0
    shown = capsys.readouterr().out
    assert f"{root} (300w-lp, crop rule hopenet)" in shown
    assert "9 samples, 3 subjects; samples of a subject: min 3, median 3, max 3" in shown
    assert "an angle beyond -99 to 99 degrees: 0 (0.0 %)" in shown
    assert "mirrored copies: 0 (0.0 %)" in shown
    assert "directions" not in shown
    assert "image height" in shown
    assert "█" in shown
    assert plots[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in plots[1].read_bytes()


def test_one_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_yaws(tmp_path, 5)
    (root / "a.jpg").write_bytes(b"")
    assert stats(root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "1 sample, 1 subject; samples of a subject: min 1, median 1, max 1",
        "1 image cannot be read",
    ]


@pytest.mark.parametrize("columns", [36, 40, 60, 80, 200])
def test_the_drawing_fits_the_terminal_and_bars_are_as_long_as_their_counts(
    tmp_path: Path,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert stats(write_yaws(tmp_path, *[-95] * 10, *[0] * 30, *[25] * 20)) == 0
    lines = drawn(capsys.readouterr().out)
    assert all(len(line) <= columns for line in lines)
    assert lines[0].split() == ["degrees", "yaw", "pitch", "roll"]
    rows = {" ".join(line.split()[:3]): line.split()[3:] for line in lines[1:]}
    assert next(iter(rows)) == "-100 to -90"
    assert list(rows)[-1] == "20 to 30"
    assert len(rows) == 13
    assert rows["0 to 10"][::2] == ["30", "60", "60"]
    assert rows["-100 to -90"][0] == "10"
    assert rows["20 to 30"][0] == "20"
    # Beside its bar each angle has a gap of 2, a count of 2 digits and a space.
    full = len(rows["0 to 10"][3])
    assert full == min((columns - len("-100 to -90")) // 3 - 5, 40)
    assert abs(len(rows["20 to 30"][1]) - full / 3) <= 1
    assert abs(len(rows["-100 to -90"][1]) - full / 6) <= 1
    if full >= len("pitch"):
        row = next(line for line in lines if line.lstrip().startswith("0 to 10"))
        places = [n for n in range(len(row)) if row[n] in BLOCKS and row[n - 1] == " "]
        assert [lines[0].index(angle) for angle in ("yaw", "pitch", "roll")] == places


@pytest.mark.parametrize("columns", [20, 26, 30])
def test_a_narrow_terminal_has_all_numbers_and_headings(
    tmp_path: Path,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert stats(write_yaws(tmp_path, *[-95] * 10, *[0] * 1234)) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    sizes = text[text.index("image height") :]
    assert " ".join(sizes.split()).startswith(
        "image height in px: min 9, 5% 9, median 9, 95% 9, max 9 image width in px: min 9"
    )
    lines = drawn(text)
    assert all(len(line) <= columns for line in lines)
    words = " ".join(lines).split()
    assert [word for word in words if word in ("yaw", "pitch", "roll")] == ["yaw", "pitch", "roll"]
    assert (words.count("1,234"), words.count("1,244")) == (1, 2)
    assert lines[1].split()[:4] == ["-100", "to", "-90", "10"]


@pytest.mark.parametrize(("encoding", "name"), [("ascii", "K\\xf6pfe"), ("latin-1", "Köpfe")])
def test_a_terminal_without_unicode_gets_plain_bars(
    tmp_path: Path, encoding: str, name: str
) -> None:
    root = write_yaws(tmp_path / "Köpfe", *[-95] * 10, *[0] * 20)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hmtl", "data", "stats", str(root)],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert f"{name} (csv, crop rule " in shown
    rows = [line.split() for line in drawn(shown)]
    assert rows[1][3:] == ["10", "#" * 6]
    assert rows[-1][3:] == ["20", "#" * 12, "30", "#" * 18, "30", "#" * 18]


def test_directions_have_no_roll(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_xgaze(tmp_path / "gaze", train=[0, 108])
    plot = tmp_path / "poses.svg"
    assert stats(root, "--split", "val", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["layout"], numbers["split"], numbers["n"]) == ("eth-xgaze", "val", 3)
    assert numbers["pose"]["roll"]["n"] == 0
    assert stats(root, "--plot", plot) == 0
    shown = capsys.readouterr().out
    assert "(eth-xgaze, split train, crop rule box)" in shown
    assert "\ndirections (yaw and pitch of the facing axis; no roll)\n" in shown
    assert drawn(shown)[0].split() == ["degrees", "yaw", "pitch"]
    # What is written is a comment beside the outlines of its letters.
    texts = [part.split("-->")[0].strip() for part in plot.read_text().split("<!--")[1:]]
    assert "gaze (eth-xgaze, split train), 6 samples" in texts
    assert {"yaw", "pitch"} <= set(texts)
    assert "roll" not in texts


def test_any_name_of_a_folder_can_be_a_title(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_yaws(tmp_path / os.fsdecode("$\\a$ 頭\n".encode() + b"\xff"), 5)
    plot = tmp_path / "poses.svg"
    assert stats(root, "--plot", plot) == 0
    assert "<!-- $\\a$ 頭\\n\\xff (csv), 1 sample -->" in plot.read_text()
    assert capsys.readouterr().err == ""


def test_a_plot_that_cannot_be_written_is_told_after_the_numbers(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "nodir" / "p.png"
    assert stats(root, "--plot", plot) == 1
    shown = capsys.readouterr()
    assert "9 samples" in shown.out
    assert shown.err == f"error: cannot write {plot}: No such file or directory\n"


def test_stats_puts_rare_outliers_into_one_row_and_draws_the_full_circle_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*yaws: float) -> str:
        assert stats(write_yaws(tmp_path, *yaws)) == 0
        return capsys.readouterr().out

    rare = shown(*np.zeros(200), 170, -500)
    assert "100 or more" in rare
    assert "below -100" in rare
    assert "170 to 180" not in rare
    common = shown(*np.zeros(9), 170, -500)
    assert "170 to 180" in common
    assert "below -180" in common
