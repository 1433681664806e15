"""Backbones of other projects: files as they write them, and files that must be refused."""

import argparse
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from hmtl.assemble import build_model, initialise
from hmtl.cli.main import run
from hmtl.config import Config
from hmtl.importing import BACKBONES, fit_backbone
from hmtl.tensor_files import read_tensors

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def small() -> State:
    """torchvision's own state of a ResNet18, with its classifier."""
    torch.manual_seed(7)
    return dict(resnet18(weights=None).state_dict())


@pytest.fixture(scope="module")
def large() -> State:
    torch.manual_seed(8)
    return dict(resnet50(weights=None).state_dict())


def prefixed(state: Mapping[str, Tensor], prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def call(*arguments: object) -> int:
    return run(["import", *map(str, arguments)])


def imported(source: Path, out: Path, backbone: str = "resnet18", *options: str) -> State:
    assert call(source, out, "--backbone", backbone, *options) == 0
    return safetensors.torch.load_file(out)


def same_backbone(found: State, state: State) -> bool:
    return all(
        torch.equal(tensor, state[name])
        for name, tensor in found.items()
        if "num_batch" not in name
    )


def files(state: State) -> dict[str, Any]:
    """Return files as projects write them, by what they are."""
    plain = resnet18(weights=None)
    plain.load_state_dict(state)
    projector = {"projector.0.weight": torch.ones(3, 2), "projector.1.bias": torch.ones(3)}
    module = {f"module.{name}": tensor for name, tensor in projector.items()}
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    sum(weight.sum() for weight in plain.parameters()).backward()
    optimizer.step()
    plain.load_state_dict(state)
    return {
        "torchvision": state,
        "barlowtwins": {
            "epoch": 3,
            "model": prefixed(state, "module.backbone.") | module,
            "optimizer": optimizer.state_dict(),
        },
        "solo-learn": {"state_dict": prefixed(state, "backbone.") | projector, "epoch": 1},
        "lightly": nn.Sequential(*list(plain.children())[:-1]).state_dict(),
        "lightly-lightning": {
            "state_dict": prefixed(nn.Sequential(*list(plain.children())[:-1]).state_dict(), "b.")
        },
        "ddp": prefixed(state, "module."),
    }


@pytest.mark.parametrize(
    "kind", ["torchvision", "barlowtwins", "solo-learn", "lightly", "lightly-lightning", "ddp"]
)
def test_files_of_other_projects_become_the_same_backbone(
    small: State, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(files(small)[kind], tmp_path / "in.pth")
    found = imported(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert found.keys() == {name for name in small if not name.startswith("fc.")}
    assert same_backbone(found, small)
    shown = capsys.readouterr().out
    assert "100 of 100 tensors match by name and shape (100.0%)" in shown
    assert "missing:" not in shown
    assert ("left over: model.module.projector (2)" in shown) == (kind == "barlowtwins")
    assert ("left over: optimizer (62)" in shown) == (kind == "barlowtwins")


def test_barlow_twins_weights_of_a_resnet50_start_a_training(large: State, tmp_path: Path) -> None:
    bare = {name: tensor for name, tensor in large.items() if not name.startswith("fc.")}
    torch.save(bare, tmp_path / "resnet50.pth")
    assert call(tmp_path / "resnet50.pth", tmp_path / "new" / "out.safetensors") == 0
    config = Config().updated({"model.init": str(tmp_path / "new" / "out.safetensors")})
    model = build_model(config)
    initialise(model.backbone, config)
    assert same_backbone(dict(model.backbone.state_dict()), large)


def test_safetensors_and_half_precision_are_read(small: State, tmp_path: Path) -> None:
    half = {name: tensor.half() if "num" not in name else tensor for name, tensor in small.items()}
    safetensors.torch.save_file(prefixed(half, "encoder.net."), tmp_path / "in.safetensors")
    found = imported(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(found["conv1.weight"], small["conv1.weight"], atol=1e-3, rtol=1e-3)


def test_batch_counters_may_be_missing(small: State, tmp_path: Path) -> None:
    torch.save({n: t for n, t in small.items() if "num_batch" not in n}, tmp_path / "in.pth")
    assert same_backbone(imported(tmp_path / "in.pth", tmp_path / "out.safetensors"), small)


def test_what_a_file_lacks_keeps_initial_values_and_is_named(
    small: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: tensor for name, tensor in small.items() if name != "bn1.bias"}
    state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(state, tmp_path / "in.pth")
    found = imported(tmp_path / "in.pth", tmp_path / "out.safetensors")
    shown = capsys.readouterr().out
    assert "missing: bn1.bias" in shown
    assert "other shape: conv1.weight (64, 3, 3, 3), not (64, 3, 7, 7)" in shown
    assert "98 of 100" in shown
    assert found["conv1.weight"].std() > 0
    with safe_open(tmp_path / "out.safetensors", framework="pt") as file:
        assert file.metadata()["initialised"] == '["bn1.bias", "conv1.weight"]'


def test_a_resnet18_is_no_resnet50(
    small: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(small, tmp_path / "in.pth")
    assert call(tmp_path / "in.pth", tmp_path / "out.safetensors") == 1
    shown = capsys.readouterr()
    assert "a resnet18 fits better: 100 of 100 tensors match" in shown.out
    assert "at least 90% must match" in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_just_under_nine_tenths_fail(small: State, tmp_path: Path) -> None:
    names = [name for name in small if "num_batch" not in name and not name.startswith("fc.")]
    for count, code in ((90, 0), (89, 1)):
        torch.save({name: small[name] for name in names[:count]}, tmp_path / "in.pth")
        out = tmp_path / f"{count}.safetensors"
        assert call(tmp_path / "in.pth", out, "--backbone", "resnet18") == code
        assert out.exists() == (code == 0)


def test_of_a_teacher_and_its_student_one_has_to_be_named(
    small: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {name: tensor + 1 for name, tensor in small.items()}
    both = prefixed(small, "module.student.") | prefixed(teacher, "module.teacher.")
    torch.save({"model": both}, tmp_path / "in.pth")
    assert call(tmp_path / "in.pth", tmp_path / "out.safetensors", "--backbone", "resnet18") == 2
    message = capsys.readouterr().err
    assert "2 backbones fit equally well" in message
    assert "model.module.student., model.module.teacher." in message
    for prefix in ("model.module.teacher.", "module.teacher.", "module.teacher", "teacher"):
        out = tmp_path / "out.safetensors"
        found = imported(tmp_path / "in.pth", out, "resnet18", "--strip-prefix", prefix)
        assert same_backbone(found, teacher)
    assert call(tmp_path / "in.pth", tmp_path / "o.safetensors", "--strip-prefix", "net.") == 2
    assert "no tensor is named net.…" in capsys.readouterr().err


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    "kind", ["code", "arguments", "compressed", "no torch file", "empty", "safetensors"]
)
def test_untrusted_files_are_refused_in_one_line(
    small: State, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("in.safetensors" if kind == "safetensors" else "in.pth")
    if kind == "code":
        torch.save({"model": small, "extra": Malicious(tmp_path / "ran")}, path)
    elif kind == "arguments":
        torch.save({"model": small, "args": argparse.Namespace(lr=0.1)}, path)
    elif kind == "compressed":
        torch.save(small, tmp_path / "plain.pth")
        with (
            zipfile.ZipFile(tmp_path / "plain.pth") as plain,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for name in plain.namelist():
                packed.writestr(name, plain.read(name))
    else:
        path.write_bytes(b"" if kind == "empty" else b"hello world")
    assert call(path, tmp_path / "out.safetensors", "--backbone", "resnet18") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert str(path) in shown.err
    named = {
        "code": "system",
        "arguments": "argparse.Namespace",
        "compressed": "is compressed",
        "safetensors": "safetensors file",
    }
    assert named.get(kind, "is not a torch file of tensors") in shown.err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_values_that_are_not_finite_are_named(
    small: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = prefixed(small, "module.")
    broken["module.bn1.bias"] = torch.full((64,), float("nan"))
    torch.save(broken, tmp_path / "in.pth")
    assert call(tmp_path / "in.pth", tmp_path / "out.safetensors", "--backbone", "resnet18") == 1
    assert "module.bn1.bias in" in capsys.readouterr().err


def test_a_dict_that_holds_itself_ends(small: State, tmp_path: Path) -> None:
    state: dict[str, Any] = {"weights": small}
    state["again"] = state
    torch.save(state, tmp_path / "in.pth")
    assert fit_backbone(read_tensors(tmp_path / "in.pth"), "resnet18").prefix == "weights."


@pytest.mark.parametrize(
    ("source", "out", "code", "message"),
    [("none.pth", "out.safetensors", 1, "none.pth"), ("none.pth", "out.pth", 2, "must end in")],
)
def test_other_errors_are_one_line(
    source: str, out: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(source, out) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_knows_the_backbones_and_its_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['import', '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'rich'} & sys.modules.keys()"
    )
    command = [sys.executable, "-P", "-c", code]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert f"[{'|'.join(BACKBONES)}]" in shown
