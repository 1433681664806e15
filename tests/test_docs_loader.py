"""docs/loader.md and docs/training-loop.md against the code; their programs, run as they stand."""

import builtins
import importlib.util
import inspect
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from PIL import Image

from hmtl.data import (
    Augmentation,
    Batch,
    Dataset,
    DecodeError,
    Loader,
    normalize,
    open_dataset,
)
from hmtl.errors import ConfigError, DataError
from hmtl.synth import render_dataset

pytestmark = pytest.mark.usefixtures("user_cache")

DOCS = Path(__file__).resolve().parent.parent / "docs"
LOADER = (DOCS / "loader.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADER = "path,x0,y0,x1,y1,yaw,pitch,roll"
ERRORS = {kind.__name__: kind for kind in (ConfigError, DataError, DecodeError)}


def table(text: str, heading: str) -> dict[str, list[str]]:
    """Return the other cells of a table's rows by the first, without its backticks."""
    lines = text[text.index(f"\n| {heading}") + 1 :].split("\n\n")[0].split("\n")[2:]
    rows = [line.removeprefix("|").removesuffix("|").split("|") for line in lines if line]
    return {first.strip("` "): [cell.strip() for cell in rest] for first, *rest in rows}


def section(heading: str) -> str:
    return LOADER.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def defaults(function: Callable[..., Any]) -> dict[str, str]:
    parameters = list(inspect.signature(function).parameters.values())
    return {
        p.name: "" if p.default is p.empty else f"`{p.default!r}`"
        for p in parameters
        if p.name != "self"
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered stand-ins for the data sets that the pages name."""
    out = tmp_path_factory.mktemp("docs")
    for seed, (name, layout) in enumerate({"300W_LP": "300w-lp", "AFLW2000": "aflw2000"}.items()):
        render_dataset(
            out / name, layout=layout, count=24, subjects=6, seed=seed, size=80, workers=1
        )
    return out


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder / "300W_LP")


def test_tables_of_the_augmentation_are_those_that_the_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.filled(LOADER) == LOADER, "run: python docs/tables.py"


@pytest.mark.parametrize(
    ("heading", "function"), [("open_dataset", open_dataset), ("Loader", Loader.__init__)]
)
def test_every_argument_is_told_with_its_default(
    heading: str, function: Callable[..., Any]
) -> None:
    told = table(section(heading), "argument | default")
    assert {name: cells[0] for name, cells in told.items()} == defaults(function)
    for name, hint in get_type_hints(function).items():
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        assert all(f"`{choice}`" in told[name][1] for choice in choices), name


def test_the_signature_of_open_dataset_is_that_of_the_page() -> None:
    assert f"`open_dataset({', '.join(defaults(open_dataset))})`" in section("open_dataset")


@pytest.mark.parametrize(("heading", "described"), [("Dataset", Dataset), ("Batch", Batch)])
def test_every_field_is_told(heading: str, described: type) -> None:
    assert list(table(section(heading), "field |")) == [field.name for field in fields(described)]


def test_limits_of_the_loaders_numbers_are_enforced(dataset: Dataset) -> None:
    told = table(section("Loader"), "argument | default")
    limits = {
        name: [int(number) for number in match.groups()]
        for name, (_, meaning) in told.items()
        if (match := re.search(r"(\d+) … (\d+)(?![⁰-⁹])", meaning))
    }
    assert set(limits) == {"size", "grid", "views", "prefetch"}
    for name, (low, high) in limits.items():
        for value in (low - 1, high + 1):
            with pytest.raises(ConfigError, match=rf"{name} must be in \[{low}, {high}\]"):
                Loader(dataset, 4, **{name: value})
    with pytest.raises(ConfigError, match="seed must be in"):
        Loader(dataset, 4, seed=2**64)


def test_methods_are_those_of_the_page(dataset: Dataset) -> None:
    told = list(table(section("Loader"), "method |"))
    with Loader(dataset, 4, size=32) as loader:
        for call in told[2:]:
            name, arguments = re.fullmatch(r"loader\.(\w+)(?:\((.*)\))?", call).groups()
            if arguments is None:
                assert isinstance(getattr(Loader, name), property)
            else:
                taken = ", ".join(inspect.signature(getattr(loader, name)).parameters)
                assert taken == arguments, name
    named = {re.search(r"\.(\w+)", call)[1] for call in told[2:]}
    assert named == {name for name in vars(Loader) if name[0] != "_"}


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("pretext", ["none", "puzzle", "rotation", "puzzle-rotation"])
def test_fields_of_a_batch_have_the_types_and_shapes_of_the_page(
    dataset: Dataset, views: int, pretext: str
) -> None:
    loader = Loader(dataset, 5, size=30, views=views, pretext=pretext)
    batch = next(iter(loader))
    letters = {"N": 5, "S": 30, "T": 9, "V": views, "3": 3}
    for name, (kind, meaning) in table(section("Batch"), "field |").items():
        value = getattr(batch, name)
        lacking = re.search(r"None with `(\S+)` and `(\S+)`", meaning)
        assert (value is None) == (lacking is not None and pretext in lacking.groups())
        if value is None:
            continue
        if kind.startswith("V × "):
            assert len(value) == views
            value, kind = value[0], kind.removeprefix("V × ")
        dtype, shape = re.fullmatch(r"(\w+) \((.*?),?\)", kind).groups()
        if views > 1 and (other := re.search(r"\((.*)\) for V > 1", meaning)):
            shape = other[1]
        assert value.dtype == getattr(torch, dtype)
        assert list(value.shape) == [letters[letter] for letter in shape.split(", ")]
    assert batch.images is batch.views[0]
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_keys_of_the_stats_are_told(dataset: Dataset) -> None:
    loader = Loader(dataset, 4, size=32)
    assert list(table(section("Bad samples"), "key |")) == list(loader.stats())


def test_settings_that_a_state_keeps_are_told(dataset: Dataset) -> None:
    text = section("Stopping and going on")
    must, may = (
        re.findall(r"`(\w+)`", text.split(f"**{what}")[1].split("\n- ")[0].split("\n\n")[0])
        for what in ("must", "may")
    )
    settings = Loader(dataset, 4, size=32).state_dict()["settings"]
    assert set(must) == {*settings, "seed"} - {"global_batch"}
    parameters = set(inspect.signature(Loader).parameters)
    assert set(must) | set(may) == parameters
    assert len(must) + len(set(may)) == len(parameters)


def test_the_memory_of_a_dataset_and_of_batches_is_that_of_the_page(dataset: Dataset) -> None:
    columns = ("extent", "pose", "face", "box", "subject")
    each = sum(getattr(dataset, name)[:1].nbytes for name in columns)
    assert f"{each} bytes a sample" in " ".join(section("Memory").split())
    assert f"{each * 122_450 / 1e6:.0f} MB for 300W-LP" in section("Memory")
    default = {p.name: p.default for p in inspect.signature(Loader).parameters.values()}
    held = (default["prefetch"] + 2) * default["views"]
    size = held * default["batch_size"] * default["size"] ** 2 * 3
    assert f"{size / 1e6:.0f} MB by\ndefault" in section("Memory")


def provoke(what: str, dataset: Dataset, folder: Path, own: Path) -> None:
    """Do what a line of the table of errors tells."""

    def picture(content: bytes, **options: Any) -> Loader:
        (own / "a.png").write_bytes(content)
        (own / "labels.csv").write_text(f"{HEADER}\na.png,0,0,8,8,1,2,3\n")
        return Loader(open_dataset(own), 1, size=32, pretext="none", **options)

    def vanished() -> None:
        Image.new("RGB", (8, 8)).save(own / "b.png")
        loader = picture((own / "b.png").read_bytes())
        (own / "a.png").unlink()
        list(loader)

    def wrong_label() -> None:
        picture(b"")
        (own / "labels.csv").write_text(f"{HEADER}\na.png,0,0,8,8,1,2,north\n")
        open_dataset(own)

    def closed() -> None:
        loader = Loader(dataset, 4, size=32)
        loader.close()
        list(loader)

    def forked() -> None:
        code = (
            "import os, sys\nfrom hmtl.data import Loader, open_dataset\n"
            "loader = Loader(open_dataset(sys.argv[1]), 4, size=32)\nnext(iter(loader))\n"
            "if os.fork() == 0:\n"
            "    try:\n        next(iter(loader))\n"
            "    except Exception as error:\n        print(type(error).__name__, flush=True)\n"
            "    os._exit(0)\nos.wait()"
        )
        arguments = [sys.executable, "-P", "-W", "ignore", "-c", code, str(dataset.root)]
        found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        raise {"RuntimeError": RuntimeError}[found.strip()]

    def other_state() -> None:
        state = Loader(dataset, 4, size=32).state_dict()
        with pytest.raises(ConfigError):
            Loader(dataset, 4, size=32).load_state_dict({})
        Loader(dataset, 4, size=48).load_state_dict(state)

    def pickled() -> None:
        pickle.dumps(Loader(dataset, 4, size=32))

    ways: dict[str, Callable[[], object]] = {
        "there is no such folder": lambda: open_dataset(own / "nowhere"),
        "a label, a box": wrong_label,
        "unknown layout": lambda: open_dataset(folder / "300W_LP", crop="tight"),
        "a row number beyond": lambda: dataset.subset([len(dataset)]),
        "a setting of the loader": lambda: Augmentation(blur=2.0),
        "an engine that": lambda: Loader(dataset, 4, engine="dali", decode="planes"),
        "an augmentation's file": lambda: Loader(dataset, 4, augmentation="nowhere.toml"),
        "an epoch has not": lambda: Loader(dataset, len(dataset) + 1),
        "a state of other settings": other_state,
        "a sample cannot be read": lambda: list(picture(b"no picture")),
        "no sample at all": lambda: list(picture(b"no picture", on_error="substitute")),
        "a file vanished": vanished,
        "the loader was closed": closed,
        "the loader was made before a fork": forked,
        "a loader is pickled": pickled,
        "out` does not fit": lambda: normalize(
            torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1)
        ),
    }
    (way,) = [way for start, way in ways.items() if what.startswith(start)]
    way()


@pytest.mark.parametrize(("what", "error"), table(section("Errors"), "what |").items())
def test_errors_are_of_the_class_that_the_page_names(
    dataset: Dataset, folder: Path, tmp_path: Path, what: str, error: list[str]
) -> None:
    name = error[0].strip("`")
    expected = ERRORS.get(name) or getattr(builtins, name)
    with pytest.raises(expected) as caught:
        provoke(what, dataset, folder, tmp_path)
    assert type(caught.value) is expected
    assert "\n" not in str(caught.value)
    assert issubclass(expected, ValueError) == (name in ERRORS or name == "ValueError")


def test_the_toml_of_the_page_is_an_augmentation() -> None:
    (text,) = [content for language, content in FENCE.findall(LOADER) if language == "toml"]
    assert Augmentation.from_dict(tomllib.loads(text)) != Augmentation()


def run_program(program: str, folder: Path, *arguments: str) -> str:
    """Run Python and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{program}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_loaders_page_runs_as_it_stands(folder: Path) -> None:
    blocks = FENCE.findall(LOADER)
    printed = run_program("\n".join(text for kind, text in blocks if kind == "python"), folder)
    for text in (text for kind, text in blocks if kind == "text"):
        assert text in printed
    assert "('box', 'color'," in printed
    assert "yaw, pitch, roll: tensor(" in printed


def loosely(text: str) -> re.Pattern[str]:
    """Return what matches an output that the page shows, "…" standing for any number."""
    return re.compile(re.escape(text.strip()).replace("…", r"[\d.]+"))


def run_commands(commands: str, folder: Path) -> str:
    """Run a bash block and return what it prints."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python = f"{sys.executable} -P"
    for name, program in (
        ("torchrun", f"{python} -m torch.distributed.run"),
        ("python", python),
        ("hmtl", f"{python} -m hmtl"),
    ):
        commands = re.sub(rf"^{name} ", f"{program} ", commands, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=os.environ | {"PATH": places},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def halves(diff: str) -> dict[str, str]:
    """Return the programs before and after a diff that shows all of both."""
    lines = diff.splitlines()
    return {
        name: "\n".join(line[1:] for line in lines if line[:1] != other)
        for name, other in (("before.py", "+"), ("after.py", "-"))
    }


@pytest.mark.slow
def test_the_training_page_runs_as_it_stands(tmp_path: Path) -> None:
    page = (DOCS / "training-loop.md").read_text(encoding="utf-8")
    printed, shown = "", 0
    for language, content in FENCE.findall(page):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", content)[1]
            (tmp_path / name).write_text(content, encoding="utf-8")
        elif language == "bash":
            printed = run_commands(content, tmp_path)
        elif language == "diff":
            for name, program in halves(content).items():
                (tmp_path / name).write_text(program, encoding="utf-8")
                printed = run_commands(f"python {name}", tmp_path)
                assert "epoch 1: 5 steps, (4, 3, 64, 64)" in printed
        else:
            assert loosely(content).search(printed), (content, printed)
            shown += 1
    assert shown == 4
    assert (tmp_path / "faces.png").exists()


@pytest.mark.long
@pytest.mark.slow
def test_the_training_program_goes_on_as_if_never_interrupted(folder: Path, tmp_path: Path) -> None:
    page = (DOCS / "training-loop.md").read_text(encoding="utf-8")
    program = next(text for _, text in FENCE.findall(page) if text.startswith("# train.py"))
    losses = []
    for name, parts in (("whole", [[]]), ("parts", [["--steps", "1"], ["--steps", "5"], []])):
        place = tmp_path / name
        place.mkdir()
        (place / "300W_LP").symlink_to(folder / "300W_LP")
        printed = "".join(run_program(program, place, *arguments) for arguments in parts)
        losses.append(re.findall(r"epoch (\d), step (\d), loss (\S+)", printed))
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]
