"""The commands of `hmtl data`: what they print, their exit codes, how they end."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import patches, write_xgaze
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hmtl.cli.console import json_text, printable, progress
from hmtl.cli.data import data
from hmtl.cli.main import run
from hmtl.data import index, open_dataset

pytestmark = pytest.mark.usefixtures("user_cache")

COMMANDS = ("check", "stats", "show", "index", "pack", "rechunk", "synth")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_300w_lp(tmp_path / "heads", count=9, subjects=3, size=32)


def call(*arguments: object) -> int:
    return run(["data", *map(str, arguments)])


def in_new_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "hmtl", "data", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def break_images(root: Path, count: int) -> None:
    for path in sorted(root.rglob("*.jpg"))[:count]:
        path.write_bytes(b"")


def test_the_help_lists_every_command_and_imports_no_torch() -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "for words in (['data'], ['data', 'check'], ['data', 'stats'], ['data', 'show']):\n"
        "    assert run([*words, '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'rich'} & sys.modules.keys()"
    )
    arguments = [sys.executable, "-P", "-c", code]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert tuple(sorted(data.commands)) == tuple(sorted(COMMANDS))
    assert all(f"\n  {command}" in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, "--help") == 0
    assert f"hmtl data {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (1, ["check", "nowhere"], "nowhere"),
        (1, ["stats", "nowhere"], "nowhere"),
        (1, ["index", "nowhere"], "nowhere"),
        (1, ["rechunk", "nowhere.h5", "there.h5"], "nowhere.h5"),
        (2, ["check", "ROOT", "--layout", "lp"], "unknown layout 'lp'"),
        (2, ["check", "ROOT", "--split", "test"], "layout '300w-lp' has no splits"),
        (2, ["check", "ROOT", "--crop", "tight"], "unknown crop rule 'tight'"),
        (2, ["check", "ROOT", "--jobs", "-1"], "--jobs"),
        (2, ["check", "ROOT", "--boxes", "nowhere"], "nowhere"),
        (1, ["check", "ROOT", "--against", "nowhere"], "nowhere"),
        (2, ["index", "ROOT", "--split", "test"], "layout '300w-lp' has no splits"),
        (2, ["stats", "ROOT", "--crop", "tight"], "unknown crop rule 'tight'"),
        (2, ["stats", "ROOT", "--plot", "poses.pdf"], "must end in .png or .svg"),
    ],
)
def test_wrong_arguments_and_missing_data_are_one_line(
    root: Path, code: int, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*(str(root) if word == "ROOT" else word for word in arguments)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err


def test_check_of_sound_data_ends_with_a_verdict(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check", root) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines()[-1] == (
        "300w-lp: 9 samples of 61,225 published, 0 errors, 1 note"
    )
    assert call("check", root, "--complete") == 1


def test_check_names_what_is_wrong_twenty_of_a_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_300w_lp(tmp_path, count=25, subjects=25, size=32)
    break_images(root, 23)
    next(iter(sorted(root.rglob("*.mat"), reverse=True))).unlink()
    assert call("check", root) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["image", "23", "0"] in [line.split() for line in lines]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 20 + 1 + 1
    assert sum(".jpg" in line for line in errors) == 21
    assert "error: … and 3 more, --json lists all" in errors
    assert lines[-1] == "300w-lp: 24 samples of 61,225 published, 24 errors, 1 note"


def test_check_prints_json_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_images(root, 9)
    assert call("check", root, "--json") == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    report = json.loads(shown.out)
    assert list(report) == [
        *("layout", "root", "splits", "n", "published", "rendered"),
        *("counts", "errors", "notes"),
    ]
    assert (report["layout"], report["root"], report["n"]) == ("300w-lp", str(root), 9)
    assert report["counts"] == {
        "image": {"errors": 9, "notes": 0},
        "count": {"errors": 0, "notes": 1},
    }
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    assert [error["file"] for error in report["errors"]] == names
    assert all(error.keys() == {"kind", "file", "message", "files"} for error in report["errors"])


def test_check_prints_names_that_are_not_utf_8(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "AFW" / os.fsdecode(b"bad_\xff.jpg")).write_bytes(b"")
    assert call("check", root) == 1
    assert "bad_\\xff.jpg" in capsys.readouterr().out
    assert call("check", root, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errors"][0]["file"] == "AFW/bad_\\xff.jpg"


def test_a_folder_whose_name_is_not_utf_8_is_rendered_into_and_shown(tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"\xff")
    options = ("--layout", "aflw2000", "--count", 2, "--subjects", 1, "--size", 32)
    for words in (("synth", out, *options), ("check", out), ("stats", out), ("index", out)):
        done = in_new_process(*words, PYTHONIOENCODING="utf-8:strict")
        assert (done.returncode, done.stderr) == (0, "")


def test_check_compares_subjects_and_shows_what_the_layout_warns_of_once(
    tmp_path: Path,
) -> None:
    root = write_xgaze(tmp_path / "a", train=[0, 3, 108])
    other = write_xgaze(tmp_path / "b", train=[3, 108, 109])
    (root / "train" / "subject0000.h5").unlink()
    ended = in_new_process("check", root, "--against", other)
    assert ended.returncode == 1
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert sum("subject0000.h5" in line for line in lines) == 1
    assert [line for line in lines if line.startswith("error: ")] == [
        f"error: subject 'subject0003' is in {other} too",
        f"error: subject 'subject0108' is in {other} too",
    ]


def test_check_names_what_may_not_be_read() -> None:
    # Below pytest's own folders other users may not go.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = write_300w_lp(Path(folder) / "heads", count=4, subjects=4, size=32)
        images = sorted(root.rglob("*.jpg"))
        images[1].chmod(0)
        images[2].with_suffix(".mat").chmod(0)
        # The first call imports what the other user may not be allowed to read.
        code = (
            "import os, sys\nfrom hmtl.cli.main import run\n"
            "run(['data', 'check', sys.argv[1]])\nprint('as another user')\n"
            "os.getuid() == 0 and os.setuid(65534)\n"
            "sys.exit(run(['data', 'check', sys.argv[1]]))"
        )
        arguments = [sys.executable, "-P", "-c", code, str(root)]
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    shown = ended.stdout.partition("as another user")[2]
    errors = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert all("Permission denied" in line for line in errors)
    assert sum(str(images[1]) in line for line in errors) == 1
    assert sum(str(images[2].with_suffix(".mat")) in line for line in errors) == 1


def test_ctrl_c_ends_a_check_at_once(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    image = tmp_path / "0.jpg"
    image.write_bytes(buffer.getvalue())
    names = [f"{number}.jpg" for number in range(3000)]
    for name in names[1:]:
        (tmp_path / name).hardlink_to(image)
    lines = ["path,x0,y0,x1,y1,yaw,pitch,roll", *(f"{name},0,0,9,9,0,0,0" for name in names)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    # A shell that started the tests in the background has them ignore the signal.
    code = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import hmtl.data.check\nfrom hmtl.cli.main import run\nprint('ready', flush=True)\n"
        "sys.exit(run(['data', 'check', sys.argv[1]]))"
    )
    arguments = [sys.executable, "-P", "-c", code, str(tmp_path)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, err = process.communicate(timeout=60)
        # Thousands of images were still to come, each takes some hundredths of a second.
        assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "")


def test_index_tells_where_it_lies_and_why_it_was_made(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> tuple[str, str]:
        assert call("index", root) == 0
        first, second = capsys.readouterr().out.splitlines()
        return first, second.partition(" s, ")[2]

    path = root / ".hmtl-index" / "300w-lp-hopenet.npz"
    assert said() == (f"index: {path}", "made: no index yet")
    assert path.exists()
    assert said()[1] == "fresh"
    os.utime(next(root.rglob("*.mat")), ns=(1, 1))
    assert said()[1] == "made: changed files"
    with np.load(path) as arrays:
        older = dict(arrays) | {"version": np.int64(1)}
    np.savez(path, **older)
    assert said()[1] == f"made: version 1 of the index, expected {index.VERSION}"
    path.write_bytes(path.read_bytes()[:300])
    assert said()[1] == f"made: unreadable index {path}"
    assert said()[1] == "fresh"


def test_index_is_that_of_the_split_and_the_crop_rule(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("index", root, "--crop", "visible", "--layout", "300w-lp") == 0
    assert "300w-lp-visible.npz" in capsys.readouterr().out
    xgaze = write_xgaze(tmp_path / "xgaze", train=[0, 108])
    assert call("index", xgaze, "--split", "val") == 0
    shown = capsys.readouterr().out
    assert "eth-xgaze-box-val.npz" in shown
    assert "eth-xgaze: 3 samples" in shown


def test_other_commands_say_that_an_index_was_made_anew(root: Path) -> None:
    first = in_new_process("stats", root)
    assert (first.returncode, first.stderr) == (0, "")
    os.utime(next(root.rglob("*.mat")), ns=(1, 1))
    second = in_new_process("stats", root)
    assert second.returncode == 0
    assert second.stderr == f"warning: index of {root} made anew: changed files\n"
    assert open_dataset(root).name


def test_rechunk_makes_a_file_whose_images_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_xgaze(tmp_path / "set", train=[0, 108])
    source = root / "train" / "subject0000.h5"
    images = patches(3, seed=0)
    with h5py.File(source, "r+") as file:
        del file["face_patch"]
        file.create_dataset("face_patch", data=images, chunks=images.shape, compression="lzf")
    assert call("check", root) == 1
    assert "hmtl data rechunk" in capsys.readouterr().out
    target = tmp_path / "new.h5"
    assert call("rechunk", source, target) == 0
    assert capsys.readouterr().out == f"{target} written\n"
    assert call("rechunk", source, target) == 2
    assert "must not exist" in capsys.readouterr().err
    target.replace(source)
    assert call("check", root) == 0
    with h5py.File(source) as file:
        assert np.array_equal(file["face_patch"], images)


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress(seconds_between_lines=0.0) as show:
        show("reading labels", 0, None)
        show("decoding \udcff", 1000, 20000)
    with progress() as show:
        show("decoding images", 1, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "decoding \\xff: 1,000 of 20,000\n"


def test_progress_on_a_terminal_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress() as show:
        show("reading labels", 0, None)
        show("[red] images", 0, 2)
        show("[red] images", 2, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[red] images" in shown.err
    assert "2/2" in shown.err


def test_bytes_that_are_not_utf_8_and_control_characters_are_written_out() -> None:
    assert printable(os.fsdecode(b"a\xffb\nc\x1b[31m\xc3\xa9")) == "a\\xffb\\nc\\x1b[31mé"
    assert printable("\ud800 ß 漢") == "\\ud800 ß 漢"


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_printed_is_one_line_and_what_is_json_is_read_back(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(character < " " or character == "\x7f" for character in shown)
    document = json_text({"file": text})
    read = json.loads(document.encode("ascii"))["file"]
    assert printable(read) == shown
    if all(not "\ud800" <= character <= "\udfff" for character in text):
        assert read == text
