"""`hmtl doctor`: what it finds here, and what it says of what is missing or broken."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import reference
from PIL import Image
from reference_render import render

from hmtl import _core
from hmtl.cli.main import run
from hmtl.data.augmentation import PRESETS
from hmtl.doctor import machine, packages, trial
from hmtl.doctor.finding import Finding

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture(params=["plain", "avx2", "wide"])
def kernels(request: pytest.FixtureRequest) -> Generator[str, None, None]:
    _core.limit_kernels(request.param)
    yield request.param
    _core.limit_kernels("wide")


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_it_tells_all_parts_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert run(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {tuple(finding) for finding in findings} == {("part", "name", "state", "text", "remedy")}
    parts = list(dict.fromkeys(finding["part"] for finding in findings))
    assert parts == ["machine", "core", "GPU", "engines", "extras", "files"]
    for finding in findings:
        assert finding["state"] in ("ok", "missing")
        assert finding["name"] in text
        assert finding["part"] in text.splitlines()


def test_it_can_be_read_on_a_terminal_of_ascii() -> None:
    code = "import sys\nfrom hmtl.cli.main import run\nsys.exit(run(['doctor']))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin", "HOME": "/nowhere/é"},
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    assert done.stderr == b""
    assert b"core" in done.stdout


def test_the_core_tells_what_it_was_built_with() -> None:
    about = _core.about()
    assert set(about) == {"compiler", "libjpeg-turbo", "libpng", "zlib", "kernels", "noise"}
    for library in ("compiler", "libjpeg-turbo", "libpng", "zlib"):
        assert [part.isdigit() for part in about[library].split(".")[:2]] == [True, True]
    assert about["noise"] == _core.noise_kernels()[-1]


def test_the_core_tells_which_kernels_run(kernels: str) -> None:
    ranks = ["plain", "avx2", "wide"]
    assert ranks.index(_core.about()["kernels"]) <= ranks.index(kernels)


def test_all_kernels_make_the_expected_pixels(kernels: str) -> None:  # noqa: ARG001
    assert by_name(list(trial.core()))["pixels"].state == "ok"


def test_the_expected_pixels_are_those_of_the_references(tmp_path: Path) -> None:
    data = trial._trial_set(tmp_path, "png")
    order = _core.epoch_order(seed=0, epoch=0, count=len(data))
    batch = []
    for row in order:
        drawn = reference.draw_params(
            PRESETS["level2"], size=61, fit="short-side", pretext="puzzle-rotation", grid=3,
            puzzled_fraction=1.0, seed=0, epoch=0, sample=int(row), view=0,
            face=data.face[row], box=data.box[row],
        )  # fmt: skip
        with Image.open(tmp_path / data.name[int(row)]) as image:
            picture = np.asarray(image.convert("RGB"))
        batch.append(render(picture, drawn, size=61, grid=3, noise_of=(0, 0, int(row), 0)))
    assert hashlib.sha256(np.stack(batch).tobytes()).hexdigest() == trial.EXPECTED


def test_other_pixels_are_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial, "EXPECTED", "0" * 64)
    assert run(["doctor"]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "!!" in line)
    assert "pixels: not those of other machines" in line


def test_an_engine_that_makes_other_pixels_is_broken(tmp_path: Path) -> None:
    data = trial._trial_set(tmp_path, "jpg")
    batch = trial._render(data, "native", "cpu")
    assert trial._examine(data, "native", "cpu", batch).state == "ok"
    other = batch.copy()
    other[0, 0, 0] ^= 1
    found = trial._examine(data, "native", "cpu", other)
    assert found.state == "broken"
    assert "1 at most" in found.text


def test_an_engine_that_fails_is_broken(tmp_path: Path) -> None:
    data = trial._trial_set(tmp_path, "jpg")
    batch = trial._render(data, "native", "cpu")
    (tmp_path / "3.jpg").write_bytes(b"no picture")
    found = trial._examine(data, "native", "cpu", batch)
    assert found.state == "broken"
    assert "3.jpg" in found.text


@pytest.mark.dali
def test_dali_makes_what_the_core_makes() -> None:
    assert by_name(list(trial.engines()))["dali, cpu"].text == "bit for bit as native"


@pytest.mark.usefixtures("without_dali")
def test_dali_may_be_missing() -> None:
    found = by_name(list(trial.engines()))["dali, cpu"]
    assert found.state == "missing"
    assert "pip install 'hmtl[dali-cu13]'" in found.text


def test_extras_come_from_the_package_itself() -> None:
    assert packages.required_by_extra(
        ["click>=8.1", "a.b>=2; extra == 'export'", 'c[d]<3,>=1 ; extra == "dali-cu13"']
    ) == {"export": ["a.b"], "dali-cu13": ["c"]}
    assert {finding.name for finding in packages.extras()} == set(packages._USES)


def test_an_extra_that_is_missing_in_part_names_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def other(name: str) -> str:
        if name == "onnxscript":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", other)
    found = by_name(list(packages.extras()))["export"]
    assert (found.state, found.remedy) == ("missing", "pip install 'hmtl[export]'")
    assert found.text == "onnxscript missing, for hmtl export"


def test_a_cache_folder_that_cannot_be_made_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = by_name(list(packages.files()))["index cache"]
    assert found.state == "broken"
    assert str(tmp_path / "file") in found.text


def test_a_home_that_may_not_be_looked_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0)
    for name, place in (("XDG_CACHE_HOME", "cache"), ("TORCH_HOME", "torch")):
        monkeypatch.setenv(name, str(home / place))
    user = os.geteuid()
    # The administrator may look into everything.
    other = user or 65534
    os.setresuid(other, other, user)
    try:
        found = by_name(list(packages.files()))
    finally:
        os.setresuid(user, user, user)
    assert found["index cache"].state == "broken"
    assert found["ImageNet resnet50"].state == "missing"


def test_an_examiner_that_fails_is_broken_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **options: object) -> None:  # noqa: ARG001
        raise LookupError("not on\nthis machine")

    for name in ("os.sysconf", "torch.cuda.device_count", "importlib.metadata.requires"):
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr("tempfile.TemporaryDirectory", fail)
    monkeypatch.setattr("torch.hub.get_dir", fail)
    assert run(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    broken = [finding for finding in findings if finding["state"] == "broken"]
    parts = [finding["part"] for finding in broken]
    assert parts == ["machine", "core", "GPU", "engines", "extras", "files"]
    assert {finding["text"] for finding in broken} == {"ended by LookupError: not on this machine"}
    # What was found before is told as well.
    assert {"versions", "kernels", "index cache"} <= {finding["name"] for finding in findings}


def test_weights_that_are_there_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    missing = by_name(list(packages.files()))["ImageNet resnet50"]
    assert missing.state == "missing"
    name = missing.remedy.rpartition("/")[2]
    path = tmp_path / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    path.touch()
    found = by_name(list(packages.files()))["ImageNet resnet50"]
    assert (found.state, found.text) == ("ok", str(path))


def test_a_driver_without_a_gpu_for_torch_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    monkeypatch.setattr(machine, "_DRIVER", driver)
    assert [finding.state for finding in machine.gpus()] == ["missing"]
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95\nGCC version: …\n")
    (found,) = machine.gpus()
    assert found.state == "broken"
    assert "580.95" in found.text


def test_a_compiler_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = by_name(list(machine.machine()))["C++ compiler"]
    assert found.state == "missing"
    assert "no-such-compiler" in found.text
