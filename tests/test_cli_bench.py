"""`hmtl bench loader`: what it measures adds up, on any layout and any terminal."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures_data import write_300w_lp

from hmtl.bench.loader import bench_loader
from hmtl.cli.bench import bench
from hmtl.cli.main import run
from hmtl.data import Loader, open_dataset
from hmtl.synth import LAYOUTS, render_dataset

pytestmark = pytest.mark.usefixtures("user_cache")

QUICK = ("--seconds", "0.05", "--size", "32", "--batch-size", "4")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("heads"), count=9, subjects=3, size=48)


def call(*arguments: object) -> int:
    return run(["bench", "loader", *map(str, arguments)])


def in_new_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "hmtl", "bench", "loader", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def number(text: str) -> int:
    return int(text.replace(",", ""))


def check_sums(found: dict[str, Any]) -> None:
    """The stages of a pass are all the time that the threads have; its loop waits or works."""
    for name in ("first_pass", "warm"):
        timed = found[name]
        thread_us = found["threads"] / timed["images_per_s"] * 1e6
        assert sum(timed["stages_us"].values()) == pytest.approx(thread_us, rel=0.02)
        assert timed["shares"].keys() == timed["stages_us"].keys()
        assert sum(timed["shares"].values()) == pytest.approx(1.0)
        assert timed["waiting"] + timed["hand_off"] == pytest.approx(1.0)
        assert 0 <= timed["waiting"] <= 1
        assert all(share >= 0 for share in timed["shares"].values())
        assert {"read", "decode", "crop", "idle"} <= timed["stages_us"].keys()
    assert found["of_decoding"] == pytest.approx(
        found["warm"]["images_per_s"] / found["decoding"]["images_per_s"]
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_the_stages_add_up(root: Path, threads: int) -> None:
    steps: list[str] = []
    found = bench_loader(
        open_dataset(root),
        batch_size=8,
        seconds=0.2,
        on_progress=steps.append,
        num_threads=threads,
    )
    check_sums(found)
    assert found["warm"]["shares"]["idle"] < 0.9
    assert found["threads"] == threads
    assert [row["threads"] for row in found["sweep"]] == {1: [1], 3: [1, 2, 3]}[threads]
    assert steps[:3] == ["first pass", "warm passes", "decoding alone"]
    assert found["warm"]["stages_us"]["crop"] > found["warm"]["stages_us"]["read"]
    assert found["warm"]["images"] % 8 == 0
    assert found["dataset"]["n"] == 9


def test_a_pass_lasts_about_as_long_as_it_is_told(root: Path) -> None:
    found = bench_loader(open_dataset(root), batch_size=2, seconds=0.5, size=32, num_threads=1)
    warm = found["warm"]
    assert 0.2 < warm["images"] / warm["images_per_s"] < 5


def test_fewer_samples_than_a_batch_are_repeated(root: Path) -> None:
    found = bench_loader(open_dataset(root), seconds=0.05, size=32)
    assert found["settings"]["global_batch"] == 64
    assert found["first_pass"]["images"] == 64


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_measured(tmp_path: Path, layout: str) -> None:
    render_dataset(tmp_path / "a", layout=layout, count=6, subjects=3, seed=0, size=64, workers=1)
    done = in_new_process(tmp_path / "a", *QUICK, "--json", tmp_path / "found.json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    check_sums(found)
    codec = next(iter(found["dataset"]["codecs"]))
    word = {"bgr": "copying", "lzf_bgr": "expanding"}.get(codec, "decoding")
    assert f"{word} alone" in done.stdout
    assert found["decoding"]["what"] == word
    assert found["dataset"]["layout"] == layout
    shown = dict(re.findall(r"^(\w+) +([\d,]+) +\d+% +\d+%$", done.stdout, re.MULTILINE))
    total = shown.pop("threads")
    assert shown.keys() == found["warm"]["stages_us"].keys()
    assert abs(sum(map(number, shown.values())) - number(total)) <= len(shown)
    for stage, time_us in found["warm"]["stages_us"].items():
        assert number(shown[stage]) == round(time_us)
    assert re.search(r"^bottleneck: \S", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_packed_data_are_measured(
    root: Path, tmp_path: Path, codec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target, file = tmp_path / "packed", tmp_path / "found.json"
    assert run(["data", "pack", str(root), str(target), "--codec", codec]) == 0
    capsys.readouterr()
    assert call(target, *QUICK, "--json", file) == 0
    shown, found = capsys.readouterr().out, json.loads(file.read_text())
    assert found["dataset"]["layout"] == "packed"
    assert ("alone" in shown) == (codec == "jpeg")
    if codec == "jpeg":
        check_sums(found)
    else:
        # The bytes are the pixels.
        assert (found["decoding"], found["of_decoding"]) == (None, None)


def test_settings_reach_the_loader(root: Path, tmp_path: Path) -> None:
    settings = {
        "--augmentation": "none",
        "--pretext": "rotation",
        "--grid": 2,
        "--views": 2,
        "--size": 48,
        "--batch-size": 3,
        "--threads": 1,
        "--decode": "rgb",
        "--device": "cpu",
        "--engine": "cuda",
        "--crop": "visible",
        "--layout": "300w-lp",
    }
    file = tmp_path / "found.json"
    words = [word for pair in settings.items() for word in pair]
    assert call(root, *words, "--seconds", "0.05", "--json", file) == 0
    found = json.loads(file.read_text())
    expected = {"pretext": "rotation", "grid": 2, "views": 2, "size": 48, "global_batch": 3}
    assert expected.items() <= found["settings"].items()
    assert found["settings"]["decode"] == "rgb"
    assert found["settings"]["augmentation"]["contrast"] == [1.0, 1.0]
    assert (found["threads"], found["engine"], found["device"]) == (1, "cuda", "cpu")
    assert found["dataset"]["crop"] == "visible"


def test_the_help_names_the_loaders_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = inspect.signature(Loader).parameters
    # What None is there depends on the engine.
    defaults = {name: one.default for name, one in parameters.items()} | {"decode": "planes"}
    for option in bench.commands["loader"].params:
        name = option.name or ""
        if name in defaults and (text := getattr(option, "help", None)):
            assert f"[{defaults[name]}]" in text, name
    assert call("--help") == 0
    shown = capsys.readouterr().out
    assert "hmtl bench loader 300W_LP" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (1, ["nowhere"], "nowhere"),
        (2, ["ROOT", "--layout", "lp"], "unknown layout 'lp'"),
        (2, ["ROOT", "--split", "test"], "has no splits"),
        (2, ["ROOT", "--augmentation", "level9"], "unknown augmentation 'level9'"),
        (2, ["ROOT", "--grid", "40"], "grid must be in [2, 8], got 40"),
        (2, ["ROOT", "--pretext", "jigsaw"], "'jigsaw'"),
        (2, ["ROOT", "--seconds", "0"], "--seconds"),
        (2, ["ROOT", "--batch-size", "0"], "--batch-size"),
        (2, ["ROOT", "--threads", "-1"], "num_threads must be in"),
        (2, ["ROOT", "--device", "tpu"], "device must be cpu or cuda, got 'tpu'"),
        (2, ["ROOT", "--device", "cuda"], "device 'cuda' is not there"),
        (2, ["ROOT", "--json", "no/where.json"], "no folder no"),
    ],
)
def test_errors_are_one_line(
    root: Path,
    code: int,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*[root if word == "ROOT" else word for word in arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_sample_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_300w_lp(tmp_path, count=4, subjects=2, size=48)
    bad = sorted(root.rglob("*.jpg"))[2]
    bad.write_bytes(bad.read_bytes()[:300])
    assert call(root, *QUICK) == 1
    assert bad.name in capsys.readouterr().err


@pytest.mark.parametrize("columns", [32, 40, 80, 200])
def test_what_is_shown_fits_the_terminal(
    root: Path,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert call(root, *QUICK) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= columns for line in shown.splitlines())
    assert "…" not in shown
    for word in ("images/s", "decode", "idle", "share", "threads", "bottleneck:"):
        assert word in shown


def test_a_terminal_that_knows_ascii_only_is_enough(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "köpfe"
    folder.symlink_to(root)
    done = in_new_process(folder, *QUICK, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^stage +us +share", done.stdout, re.MULTILINE)
    assert "k\\xf6pfe" in done.stdout
    assert done.stdout.isascii()


def test_the_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['bench', 'loader', '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'rich'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
