"""The benchmark of one GPU: its goals, what it prints, and that it runs."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_sides import ALL_FEEDS, blocks_of, named

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import verdict
from benchmarks.gpu.about import about
from benchmarks.gpu.blocks import (
    described,
    ratio,
)
from benchmarks.gpu.engines import NATIVE_CPU
from benchmarks.gpu.failures import said
from benchmarks.gpu.goal import Goal, line
from benchmarks.gpu.plan import PARTS, Task
from benchmarks.gpu.scale import TINY
from hmtl.errors import ConfigError
from hmtl.synth import render_dataset

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as HMTL_DATA names it, of small pictures."""
    root = tmp_path_factory.mktemp("pictures")
    render_dataset(
        root / "300W_LP", layout="300w-lp", count=6, subjects=3, seed=0, size=80, workers=1
    )
    return root


def test_what_is_said_of_a_failure_is_a_line() -> None:
    assert said(ConfigError("engine 'dali' needs NVIDIA DALI")) == "engine 'dali' needs NVIDIA DALI"
    assert said(RuntimeError("no memory\nat all")) == "RuntimeError: no memory"
    assert said(RuntimeError()) == "RuntimeError: "


def run_of(ready: float, real: float, plain: float, ours: str = "compiled") -> dict[str, Any]:
    rates = {"S0": ready, "S0 again": ready, "R": real, "S0 beside R": real}
    sides = {f"{ours} {feed}": rate for feed, rate in rates.items()} | {"plain loop S0": plain}
    blocks = {side: blocks_of(rate, rate) for side, rate in sides.items()}
    pairs = [(f"{ours} {feed}", f"{ours} S0") for feed in rates]
    pairs.append((f"{ours} S0", "plain loop S0"))
    return {
        "ours": ours,
        "sides": described(blocks),
        "ratios": {f"{one} / {other}": ratio(blocks, one, other) for one, other in pairs},
    }


def test_goals_are_reached_missed_or_not_measured() -> None:
    training = {
        "supervised, batch 256": run_of(4000, 3990, 2900),
        "barlow, batch 256": run_of(3900, 3700, 3500),
        "supervised, batch 64": run_of(3500, 3300, 2000, ours="eager"),
    }
    loaders = {"supervised": {NATIVE_CPU.name: {"images_per_s": 34000}, "cuda": {"missing": "no"}}}
    alone = {"hmtl": {"views_per_s": 130_000}, "kornia, compiled": {"views_per_s": 30_000}}
    document = {"training": training, "loaders": loaders, "yardsticks": alone, "cores": 16}
    found = {goal["goal"]: goal["reached"] for goal in verdict.goals(document, (64, 256))}
    reached = [name for name, is_reached in found.items() if is_reached]
    assert reached == [
        "supervised, batch 256: compiled R / compiled S0",
        "supervised, batch 256: compiled S0 again / compiled S0",
        "supervised, batch 256: compiled S0 beside R / compiled S0",
        "supervised, batch 256: busy cores of compiled R / cores",
        "barlow, batch 256: compiled R / compiled S0",
        "barlow, batch 256: compiled S0 again / compiled S0",
        "barlow, batch 256: busy cores of compiled R / cores",
        "loader alone / supervised S0",
        "barlow views/s with the loader / supervised images/s on S0",
        "supervised: ours / plain loop, batch 256",
        "supervised: ours, batch 64 / plain loop, batch 256",
        "views/s of the chain on the GPU alone",
        "supervised, batch 64: eager S0 again / eager S0",
    ]
    assert [name for name, is_reached in found.items() if is_reached is False] == [
        "barlow, batch 256: compiled S0 beside R / compiled S0",
        "supervised: batch 64 / batch 256",
        "the same / kornia, compiled",
        "supervised, batch 64: eager R / eager S0",
    ]
    assert verdict.judged(document, (64, 256))["of_mlperf"] == pytest.approx(4000 / 7946)
    # Of both networks at both sizes, compiled and eager; of both at the large one; and the rates.
    assert len(found) == 4 * 5 + 2 * 3 + 7
    nothing = verdict.goals({}, (64, 256))
    assert len(nothing) == len(found)
    assert {goal["reached"] for goal in nothing} == {None}


def test_busy_cores_are_judged_by_those_that_there_are() -> None:
    document = {"training": {"supervised, batch 256": run_of(1, 1, 1)}, "cores": 14}
    (goal,) = (
        goal
        for goal in verdict.goals(document, (64, 256))
        if "supervised, batch 256: busy" in goal["goal"]
    )
    assert goal["found"] == pytest.approx(3 / 14, abs=1e-4)
    assert (goal["most"], goal["reached"]) == (0.2, False)


@pytest.mark.parametrize(
    ("found", "least", "most", "reached", "said"),
    [
        (0.2, None, 0.2, True, "reached: share: 0.2 (≤ 0.2)"),
        (0.21, None, 0.2, False, "MISSED: share: 0.21 (≤ 0.2)"),
        (1.2, 1.2, None, True, "reached: share: 1.2 (≥ 1.2)"),
        (1.19, 1.2, None, False, "MISSED: share: 1.19 (≥ 1.2)"),
        (1.006, 0.995, 1.005, False, "MISSED: share: 1.006 (≥ 0.995, ≤ 1.005)"),
        (0.994, 0.995, 1.005, False, "MISSED: share: 0.994 (≥ 0.995, ≤ 1.005)"),
        (1.0, 0.995, 1.005, True, "reached: share: 1.0 (≥ 0.995, ≤ 1.005)"),
        (None, 120_000, None, None, "not measured: share: None (≥ 120,000)"),
    ],
)
def test_a_goal_has_a_least_or_a_most_or_both(
    found: float | None, least: float | None, most: float | None, reached: bool | None, said: str
) -> None:
    goal = Goal(name="share", found=found, least=least, most=most).as_dict()
    assert goal["reached"] is reached
    assert line(goal) == said


def test_a_goal_without_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="a goal must have a limit, got none for 'share'"):
        Goal(name="share", found=1.0)


def test_an_engine_that_differs_is_no_success() -> None:
    parity = {"barlow": {"cuda, cuda": {"agrees": False}, "dali, cuda": {"missing": "no"}}}
    assert verdict.disagreeing(parity) == ["barlow: cuda, cuda"]
    document = {"failed": {}, "goals": [], "disagreeing": verdict.disagreeing(parity)}
    assert not program.is_well(document)
    assert program.is_well(document | {"disagreeing": []})
    assert not program.is_well(document | {"disagreeing": [], "failed": {"peer": "no"}})


def test_what_is_printed_names_figures_goals_and_what_there_is_not() -> None:
    run = run_of(4000, 3990, 2900) | {"missing": {"R by dali": "not installed"}}
    document: dict[str, Any] = {
        "device": "H200", "torch": "2.11", "cores": 16, "training": {"barlow, batch 64": run},
        "parity": {"barlow": {"dali, cuda": {"missing": "not installed"}}}, "left_out": ["peer"],
        "failed": {"loaders": "RuntimeError: no"}, "disagreeing": ["barlow: cuda, cuda"],
        "goals": [Goal(name="share", found=0.3, most=0.2).as_dict()],
    }  # fmt: skip
    printed = list(program.lines(document))
    assert printed[0] == "H200, torch 2.11, 16 cores"
    assert "barlow, batch 64, compiled R: 3,990.0 views/s, 3.0 cores busy" in printed
    assert printed[-5:] == [
        "barlow, batch 64, R by dali: missing, not installed",
        "left out: peer",
        "FAILED: loaders: RuntimeError: no",
        "DISAGREES: barlow: cuda, cuda",
        "MISSED: share: 0.3 (≤ 0.2)",
    ]


def test_a_measurement_that_fails_ends_no_other() -> None:
    document: dict[str, Any] = {"failed": {}, "seconds": {}}

    def fail() -> dict[str, Any]:
        raise RuntimeError("no memory\nat all")

    partly = {"barlow": {"dali, cuda": {"failed": "RuntimeError: no"}, "cuda, cuda": {"levels": 0}}}
    program._measure(Task(part="peer", name="", measure=fail), document)
    program._measure(Task(part="training", name="a", measure=lambda: {"sides": {}}), document)
    program._measure(Task(part="parity", name="", measure=lambda: partly), document)
    assert document["failed"] == {
        "peer": "RuntimeError: no memory",
        "parity: barlow: dali, cuda": "RuntimeError: no",
    }
    assert document["training"] == {"a": {"sides": {}}}
    assert document["parity"] == partly
    assert document["seconds"].keys() == {"peer", "training a", "parity"}


def test_the_document_says_what_the_figures_are_of() -> None:
    found = about(TINY)
    assert found["torch"] == torch.__version__
    assert (found["device"], found["cuda"]) == ("cpu, no verdict", None)
    assert isinstance(found["kernels_built"], bool)
    if importlib.util.find_spec("triton"):
        assert "triton" in found["packages"]
    assert not [name for name in found["packages"] if "2k" in name]


@pytest.mark.dali
def test_the_document_names_dali_and_its_nvjpeg() -> None:
    names = [name.rpartition("-c")[0] or name for name in about(TINY)["packages"]]
    assert {"nvidia-dali", "nvidia-nvjpeg"} <= set(names)


@pytest.mark.slow
def test_the_program_runs_on_a_cpu_and_gives_no_verdict(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--smoke", "--out", str(out)],
        cwd=CHECKOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HMTL_DATA": str(pictures)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert document.keys() >= {"name", "date", "commit", "cpu", "cores", "source", *PARTS}
    assert (document["scale"], document["device"]) == ("smoke", "cpu, no verdict")
    assert "goals" not in document
    assert document["left_out"] == []
    assert document["failed"] == {}
    trainings = {"training supervised, batch 2", "training barlow, batch 2"}
    assert document["seconds"].keys() == {"data", *trainings, *PARTS} - {"training"}
    assert {f"training {name}" for name in document["training"]} == trainings
    for found in document["training"].values():
        assert found["sides"].keys() | named("eager", found["missing"]) == {
            *named("eager", ALL_FEEDS),
            "plain loop S0",
        }
        assert found["missing"].keys() <= {"R by dali"}
        for figures in found["sides"].values():
            assert figures["images_per_s"] > 0
            assert figures["busy_cores"] > 0
        assert found["ratios"]["eager R / eager S1"]["median"] > 0
    assert document["peer"]["views_per_s"] > 0
    for found in document["parity"].values():
        assert (found["cuda, cpu"]["levels"]["most"], found["cuda, cpu"]["agrees"]) == (0, True)
    assert "cuda, cpu: {'labels_equal': True, 'levels'" in done.stdout
    assert "supervised, batch 2, eager S0 beside R: " in done.stdout


@pytest.fixture
def same_torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("same_torch_threads")
def test_what_is_not_asked_for_or_comes_too_late_is_named(
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HMTL_DATA", str(pictures))
    out = tmp_path / "gpu.json"
    smoke = ["--smoke", "--out", str(out), "--parts", "yardsticks"]
    assert program.main(smoke) == 0
    document = json.loads(out.read_text())
    assert document["left_out"][0] == "parity"
    assert "yardsticks" in document
    assert "left out: training supervised, batch 2" in capsys.readouterr().out
    assert program.main([*smoke, "--minutes", "0"]) == 0
    assert "left out: yardsticks" in capsys.readouterr().out


def test_a_machine_without_a_gpu_is_told_how_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for arguments, reason in [
        (["--out", str(tmp_path / "gpu.json")], "PyTorch finds no GPU: --smoke shows"),
        (["--smoke"], "--smoke needs --out FILE"),
    ]:
        with pytest.raises(SystemExit) as ended:
            program.main(arguments)
        assert ended.value.code == 2
        assert reason in capsys.readouterr().err
