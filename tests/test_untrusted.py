"""Files that would run code when they are loaded are refused, and their code does not run."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures_data import write_300w_lp

from hmtl import checkpoint
from hmtl.cli.main import run
from hmtl.errors import RunError
from hmtl.tensor_files import read_tensors


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-has-run"


def set_trap(path: Path, marker: Path, *, zipped: bool = True) -> None:
    """Write a torch file that looks like weights and a checkpoint, and runs code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"conv1.weight": torch.zeros(1), "step": 2, "epoch": 0, "config": Trap(marker)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)


def test_the_trap_works(tmp_path: Path, marker: Path) -> None:
    set_trap(tmp_path / "x.pt", marker)
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("load", [checkpoint.load, read_tensors])
def test_no_code_of_a_file_runs(tmp_path: Path, marker: Path, load: Any, zipped: bool) -> None:
    set_trap(tmp_path / "x.pt", marker, zipped=zipped)
    with pytest.raises(RunError, match=r"x\.pt ") as caught:
        load(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("data"), count=5, subjects=2, size=48, seed=1)


def train(data: Path, out: Path, *options: str) -> int:
    settings = {"model.backbone": "resnet18", "data.size": 32, "train.batch_size": 4}
    changes = [f"--set={key}={value}" for key, value in settings.items()]
    command = ["train", "table2/sl-aug1", *changes, "--data", str(data), "--out", str(out)]
    return run([*command, *options])


@pytest.mark.parametrize("name", ["last.pt", "step-2.pt", "best.pt"])
def test_a_trapped_checkpoint_does_not_resume(
    data: Path, tmp_path: Path, marker: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_trap(tmp_path / "run" / "checkpoints" / name, marker)
    assert train(data, tmp_path / "run", "--resume") == 1
    assert f"{name} holds a" in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_trapped_initial_weights_are_refused(
    data: Path,
    tmp_path: Path,
    marker: Path,
    zipped: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_trap(tmp_path / "resnet18.pth", marker, zipped=zipped)
    assert train(data, tmp_path / "run", "--init", str(tmp_path / "resnet18.pth")) == 1
    assert "resnet18.pth holds a" in capsys.readouterr().err
    assert not marker.exists()


def test_trapped_weights_in_torchvisions_cache_are_refused(
    data: Path,
    tmp_path: Path,
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    set_trap(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth", marker)
    assert train(data, tmp_path / "run", "--init", "imagenet") == 1
    assert "resnet18-f37072fd.pth holds a" in capsys.readouterr().err
    assert not marker.exists()


def test_a_trap_under_the_name_of_safetensors_is_refused(
    data: Path, tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "weights.safetensors"
    set_trap(path, marker)
    for options in ([], ["--weights", str(path)]):
        assert run(["eval", str(tmp_path / "run"), "--data", str(data), *options]) == 1
        assert "weights.safetensors is not a safetensors file" in capsys.readouterr().err
    assert not marker.exists()
