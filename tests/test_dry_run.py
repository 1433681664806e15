"""`--dry-run`: the network part by part, the data, and the time a run would take."""

import re
from pathlib import Path

import pytest
import torch
from fixtures_data import write_300w_lp, write_labels
from runs import SMALL, configured

from hmtl.bench.plan import measure_time, network_parts
from hmtl.cli.main import run
from hmtl.config import Config
from hmtl.data import open_dataset

pytestmark = pytest.mark.usefixtures("quick_plan")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine samples, one of them beyond the bins."""
    root = write_300w_lp(tmp_path_factory.mktemp("heads"), count=9, subjects=3, size=48, seed=1)
    write_labels(sorted(root.rglob("*.mat"))[2], (120.0, 0.0, 0.0), 48)
    return root


def tiny(preset: str, **changes: object) -> Config:
    return configured(preset, SMALL, changes)


def settings() -> list[str]:
    return [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]


def test_the_parts_of_a_network_are_those_of_its_stages_and_heads() -> None:
    config = tiny("table2/hmtl-puzzle-rotation2-aug1", **{"data.size": 64})
    parts = {part.name: part for part in network_parts(config)}
    assert {name: part.shape for name, part in parts.items()} == {
        "stem": "N × 64 × 16 × 16",
        "layer1": "N × 64 × 16 × 16",
        "layer2": "N × 128 × 8 × 8",
        "layer3": "N × 256 × 4 × 4",
        "layer4": "N × 512 × 2 × 2",
        "pose": "N × 3",
        "puzzle": "N × 4 × 4",
        "rotation": "N × 4 × 4",
    }
    assert [name for name, part in parts.items() if not part.is_kept] == ["puzzle", "rotation"]
    # The published size of a ResNet18 without its classifier.
    backbone = sum(part.parameters for part in parts.values() if part.shape.count("×") == 3)
    assert backbone == 11_689_512 - 513_000
    assert parts["pose"].parameters == 513 * 3 * 66


@pytest.mark.parametrize(
    ("preset", "dropped"), [("pretrain/barlow", ["projector"]), ("pretrain/puzzle3", ["puzzle"])]
)
def test_pre_training_leaves_its_backbone(preset: str, dropped: list[str]) -> None:
    parts = network_parts(tiny(preset))
    assert [part.name for part in parts if not part.is_kept] == dropped


def test_the_expected_time_is_that_of_all_steps(root: Path) -> None:
    config = tiny("table2/sl-aug1", **{"train.epochs": 10})
    expected = measure_time(config, open_dataset(root))
    # Eight samples are left.
    assert (expected.steps_per_epoch, expected.epochs) == (2, 10)
    assert expected.measured >= 1
    assert 0.2 <= expected.measured * expected.seconds_per_step < 30
    assert expected.seconds == pytest.approx(20 * expected.seconds_per_step)


@pytest.mark.parametrize("command", ["train table2/sl-aug1", "pretrain pretrain/barlow"])
def test_a_dry_run_tells_all_and_leaves_nothing(
    root: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = [*command.split(), *settings(), "--data", str(root), "--out", str(out)]
    assert run([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^layer4 +N × 512 × 1 × 1 +8,393,728 +yes$", shown, re.MULTILINE)
    assert re.search(r"^expected time on this machine: \d+ (min|h|days) ", shown, re.MULTILINE)
    assert re.search(r"\(\d+ steps were measured: \d+ images/s\)$", shown, re.MULTILINE)
    if command.startswith("train"):
        assert "training: 8 of 9 samples" in shown
        assert "1 left out beyond ±99°" in shown
        assert "2 steps of 4 samples an epoch, 110 epochs: 220 steps" in shown
    assert not out.exists()


def test_a_dry_run_finds_what_a_run_would_fail_at(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "table2/sl-aug1", *settings(), "--data", str(root), "--dry-run"]
    assert run([*arguments, "--set", "train.batch_size=64"]) == 2
    error = capsys.readouterr().err
    assert "64" in error
    assert error.count("\n") == 1
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert run([*arguments, "--init", str(tmp_path / "other.pth")]) == 2
    assert "cannot start a resnet18 from" in capsys.readouterr().err
