"""What the documentation says, against the code; its commands, run as they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from hmtl import conventions, pose
from hmtl.cli.main import hmtl, run
from hmtl.data.layouts.registry import LAYOUTS
from hmtl.protocols import PROTOCOLS
from hmtl.synth import draw_identity, render_dataset, render_head

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
MODULES = {"pose": pose, "conventions": conventions}
NUMBER = r"-?\d+\.\d+"
# The head of the tables of conventions.md.
HEAD = np.array([30.0, 20.0, 10.0])
FENCE = re.compile(r"^(<!-- not run: .*-->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first line starts with `heading`."""
    lines = text[text.index(f"| {heading}") :].split("\n\n")[0].split("\n")[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def functions(text: str) -> list[str]:
    return re.findall(r"`((?:pose|conventions)\.\w+)`", text)


def apply(names: list[str], values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    for name in names:
        module, function = name.split(".")
        values = getattr(MODULES[module], function)(values)
    return np.asarray(values)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of the fenced blocks that are to be run."""
    for skipped, language, content in FENCE.findall(text):
        if language and not skipped:
            yield language, content


@pytest.mark.parametrize("name", ["signs.png", "directions.png"])
def test_figures_are_small_and_those_that_their_script_makes(tmp_path: Path, name: str) -> None:
    script = DOCS / "figures" / "make.py"
    subprocess.run([sys.executable, "-P", script, tmp_path], check=True)
    kept, made = (Image.open(folder / name) for folder in (script.parent, tmp_path))
    assert kept.size == made.size
    assert (script.parent / name).stat().st_size < 60_000
    difference = np.abs(np.asarray(kept.convert("RGB"), int) - np.asarray(made.convert("RGB"), int))
    # Other versions of the libraries place letters and lines a little differently.
    assert difference.mean() < 2.0


def test_conversions_that_conventions_names_exist_and_none_is_missing() -> None:
    named = functions(page("conventions.md"))
    for name in named:
        module, function = name.split(".")
        assert callable(getattr(MODULES[module], function, None)), name
    public = {
        f"conventions.{name}"
        for name, value in vars(conventions).items()
        if callable(value) and getattr(value, "__module__", "") == "hmtl.conventions"
    }
    assert public <= set(named)


@pytest.mark.parametrize("row", rows(page("conventions.md"), "whose | order"), ids=lambda r: r[0])
def test_numbers_of_the_conventions_are_those_that_the_functions_give(row: list[str]) -> None:
    _, _, shown, converted = row
    numbers = [float(text) for text in re.findall(NUMBER, shown)]
    digits = len(shown.split(".")[-1])
    names = functions(converted)
    there = [name for name in names if ".from_" not in name]
    back = [name for name in names if ".from_" in name]
    assert apply(there, HEAD) == pytest.approx(numbers, abs=0.51 * 10**-digits)
    if back:
        again = apply(back, numbers)
        known = ~np.isnan(again)
        assert again[known] == pytest.approx(HEAD[known], abs=0.02)
        assert known[:2].all()


@pytest.mark.parametrize("row", rows(page("conventions.md"), "whose | frame"), ids=lambda r: r[0])
def test_matrices_of_the_conventions_are_those_that_the_functions_give(row: list[str]) -> None:
    _, _, product, converted = row
    angles = dict(zip(("yaw", "pitch", "roll"), HEAD, strict=True))
    matrix = np.eye(3)
    for axis, sign, angle in re.findall(r"R([xyz])\((-?)(\w+)\)", product):
        degrees = angles[angle] * (-1 if sign else 1)
        matrix = matrix @ Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    there, back = functions(converted)
    assert apply([there], HEAD) == pytest.approx(matrix, abs=1e-12)
    assert apply([back], matrix) == pytest.approx(HEAD, abs=1e-9)


def test_large_directions_are_told_with_their_numbers() -> None:
    euler = pose.from_level_direction([60.0, 40.0])
    text = page("conventions.md")
    assert f"the Euler yaw is {euler[0]:.1f}°" in " ".join(text.split())
    assert f"({euler[2]:.1f}° for the head above)" in text


def test_crop_rules_of_every_layout_are_told() -> None:
    text = page("conventions.md")
    told = {name: re.findall(r"`(\w+)`", rules) for name, rules in rows(text, "layout | rules")}
    assert told == {name: list(layout.crops) for name, layout in LAYOUTS.items()}
    explained = {rule.strip("`") for rule, _ in rows(text, "rule | rectangle")}
    assert explained == {rule for layout in LAYOUTS.values() for rule in layout.crops}


def test_every_protocol_is_told() -> None:
    told = {cells[0].strip("`") for cells in rows(page("conventions.md"), "protocol | samples")}
    assert told == set(PROTOCOLS)


@pytest.mark.parametrize("path", [CHECKOUT / "README.md", *DOCS.glob("*.md")], ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), anchor


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_its_chapter(layout: str) -> None:
    chapters = page("data.md").split("\n## ")
    assert len([text for text in chapters if f"(`{layout}`)" in text.split("\n")[0]]) == 1


@pytest.mark.parametrize(
    "name",
    [
        "data.md",
        "distributed.md",
        "export.md",
        "loader.md",
        "own-data.md",
        "predict.md",
        "pretraining.md",
        "reproduce.md",
        "runs.md",
        "training-loop.md",
        "../README.md",
    ],
)
def test_commands_exist_with_their_options(name: str) -> None:
    for words in commands(page(name)):
        command: click.Command = hmtl
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, words
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


def commands(text: str) -> list[list[str]]:
    """Return the words behind `hmtl` of the commands in bash blocks."""
    lines = [
        line
        for language, content in blocks(text)
        if language == "bash"
        for line in content.replace("\\\n", " ").split("\n")
        if line.startswith("hmtl ")
    ]
    assert lines
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_data_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    roots = {
        "300W_LP": "300w-lp",
        "OTHER": "300w-lp",
        "AFLW2000": "aflw2000",
        "xgaze": "eth-xgaze",
        ".": "biwi",
    }
    for seed, (folder, layout) in enumerate(roots.items()):
        out = tmp_path / "rendered" / str(seed)
        render_dataset(out, layout=layout, count=10, subjects=5, seed=seed, size=48, workers=1)
        for path in [out] if folder != "." else out.iterdir():
            path.rename(tmp_path / (folder if folder != "." else path.name))
    shutil.copy(next((tmp_path / "xgaze" / "train").glob("*.h5")), "IN.h5")
    for words in commands(page("data.md")):
        assert run(words) == 0, words
    assert (tmp_path / "poses.png").exists()
    assert (tmp_path / "OUT.h5").exists()


def write_faces(folder: Path) -> None:
    """Write 48 pictures of four people and their table."""
    lines = ["path,x0,y0,x1,y1,yaw,pitch,roll,subject"]
    for number, name in enumerate(("ann", "ben", "cem", "dora")):
        (folder / name).mkdir(parents=True)
        person = draw_identity(np.random.default_rng(number))
        for index in range(12):
            rng = np.random.default_rng([number, index])
            angles = rng.uniform([-60, -30, -20], [60, 30, 20])
            head = render_head(person, angles, rng, size=96)
            path = f"{name}/{index:03d}.{'png' if index % 2 else 'jpg'}"
            Image.fromarray(head.image).save(folder / path)
            low, high = head.points[:, :2].min(axis=0), head.points[:, :2].max(axis=0)
            middle, side = (low + high) / 2, 1.3 * (high - low).max()
            box = [*(middle - side / 2), *(middle + side / 2)]
            lines.append(",".join([path, *(f"{value:.1f}" for value in [*box, *angles]), name]))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_own_data_page_runs_as_it_stands(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    shells = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-P", "-c"]}
    outputs = []
    for language, content in blocks(page("own-data.md")):
        done = subprocess.run(
            [*shells[language], content],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    everything = "\n".join(outputs)
    assert "[30. 20. 10.]" in everything
    assert "36 to train on, 12 to test" in everything
    assert "errors on faces" in everything
    assert (tmp_path / "run" / "results.json").exists()
