"""Exported networks: files as other programs read them, against the network that was trained."""

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from fixtures_data import write_300w_lp
from PIL import Image
from runs import SMALL, configured, quiet, weights
from torch import Tensor
from torchvision.models import get_model

from hmtl import __version__, engine
from hmtl.assemble import build_model, evaluation_loader, initialise, load_network
from hmtl.checkpoint import save_weights
from hmtl.cli.main import run
from hmtl.config import Config
from hmtl.data import Dataset, Loader, normalize, open_dataset
from hmtl.errors import RunError
from hmtl.evaluate import predict
from hmtl.export import formats, writing
from hmtl.export.target import FORMATS, Target, require_packages
from hmtl.export.trained import load_trained
from hmtl.models.multi_task import PoseNetwork
from hmtl.preset import load_preset

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "docs" / "export.md").read_text(encoding="utf-8")
HEADS = ("hopenet", "regression", "sixd")
CLOSE_DEG = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """An exported file, and what the command said of it."""

    path: Path
    said: str

    def example(self) -> str:
        """Return the code that the command showed."""
        return "\n".join(re.findall(r"^    (.*)$", self.said, re.MULTILINE))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six JPEGs: with batches of five, a full one and one of a single image."""
    root = tmp_path_factory.mktemp("faces")
    return open_dataset(write_300w_lp(root, count=6, subjects=3, size=80))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, faces: Dataset) -> dict[str, Path]:
    """Runs by head: that of bins learnt beside a puzzle and has a log, regression has directions.

    A few steps leave weights whose poses are all the same: those of the files are others.
    """
    folder = tmp_path_factory.mktemp("runs")
    shared = SMALL | {"pretext.grid": 2, "train.epochs": 1, "train.milestones": []}
    config = configured("table2/hmtl-puzzle2-aug1", shared, {"data__convention": "euler"})
    engine.train(config, data=faces, out=folder / "hopenet", reporter=quiet())
    for head in HEADS:
        convention = "direction" if head == "regression" else "euler"
        of_head = config.updated({"model.head": head, "data.convention": convention})
        save_weights(folder / head / "weights.safetensors", settled(of_head, faces), of_head, 7)
    return {head: folder / head for head in HEADS}


def settled(config: Config, faces: Dataset) -> dict[str, Tensor]:
    """Return random weights that tell faces apart: batch normalisation has the faces' moments."""
    model = build_model(config.updated({"pretext.task": "none"}))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with evaluation_loader(config, faces, torch.device("cpu")) as loader, torch.no_grad():
        model.train()(loader.render(np.arange(4)).normalized())
    return model.weights()


Export = Callable[[str, str, str], Made]


@pytest.fixture(scope="module")
def exported(
    runs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Export]:
    """Give the file of a head, an input and a format; each is made once, by the command."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def make(head: str, input: str, format: str) -> Made:
        place = folder / f"{head}-{input}-{format}"
        place.mkdir()
        path = place / f"pose.{format}"
        options = [] if format == "safetensors" else ["--input", input]
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            assert run(["export", str(runs[head]), str(path), *options]) == 0
        return Made(path=path, said=shown.getvalue())

    yield make
    shutil.rmtree(folder)


def call(*arguments: object) -> int:
    return run(["export", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run an export that must fail with `code`; return its one line on stderr."""
    assert call(*arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    return shown.err


def opened(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(path: Path) -> Callable[[Tensor], Any]:
    session = opened(path)
    return lambda images: session.run(["pose"], {"images": images.numpy()})[0]


def run_pt2(path: Path) -> Callable[[Tensor], Any]:
    network = torch.export.load(path).module()
    return lambda images: network(images).numpy()


RUN = {"onnx": run_onnx, "pt2": run_pt2}


def poses_of(run_file: Callable[[Tensor], Any], input: str, loader: Loader) -> Any:
    with loader:
        batches = list(loader)
    assert {len(batch) for batch in batches} == {1, 5}
    return np.concatenate(
        [run_file(b.images if input == "uint8" else b.normalized()) for b in batches]
    )


def metadata(path: Path) -> dict[str, str]:
    """Return what a file says of itself, read without hmtl."""
    if path.suffix == ".onnx":
        return dict(opened(path).get_modelmeta().custom_metadata_map)
    if path.suffix == ".pt2":
        extra = {"hmtl.json": ""}
        torch.export.load(path, extra_files=extra)
        return dict(json.loads(extra["hmtl.json"]))
    with safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def counted(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers are learnt of those by torchvision's names."""
    kept = ("running_mean", "running_var", "num_batches_tracked")
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(kept))


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.parametrize("input", ["uint8", "float"])
@pytest.mark.parametrize("head", HEADS)
def test_jpeg_crops_have_the_poses_that_evaluation_predicts(
    exported: Export,
    runs: Mapping[str, Path],
    faces: Dataset,
    head: str,
    input: str,
    format: str,
) -> None:
    network, config = load_network(runs[head], torch.device("cpu"))
    config = config.updated({"train.batch_size": 5})
    expected = predict(network, faces, config).pose
    loader = evaluation_loader(config, faces, torch.device("cpu"))
    found = poses_of(RUN[format](exported(head, input, format).path), input, loader)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=CLOSE_DEG)
    # The images tell the poses apart by more than that.
    assert np.ptp(expected, axis=0).min() > 10 * CLOSE_DEG


@pytest.mark.data
def test_real_faces_have_the_poses_that_evaluation_predicts(
    exported: Export, runs: Mapping[str, Path], realdata: Path
) -> None:
    data = open_dataset(realdata / "AFLW2000").subset(range(6))
    network, config = load_network(runs["hopenet"], torch.device("cpu"))
    config = config.updated({"train.batch_size": 5})
    loader = evaluation_loader(config, data, torch.device("cpu"))
    found = poses_of(run_onnx(exported("hopenet", "uint8", "onnx").path), "uint8", loader)
    assert found == pytest.approx(predict(network, data, config).pose, abs=CLOSE_DEG)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_the_example_that_is_shown_runs(exported: Export, format: str) -> None:
    made = exported("hopenet", "uint8", format)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    names: dict[str, Any] = {"images": images.numpy() if format == "onnx" else images}
    exec(made.example(), names)
    assert names["pose"].shape == (3, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_the_command_says_what_it_has_written(exported: Export, format: str) -> None:
    made = exported("hopenet", "float", format)
    assert made.path.parent.joinpath(f"pose.{format}") in made.path.parent.iterdir()
    # No data beside it, no temporary file.
    assert len(list(made.path.parent.iterdir())) == 1
    first, images, pose, difference, *_ = made.said.splitlines()
    size = made.path.stat().st_size / 1e6
    assert first == f"{made.path}: {size:.1f} MB, step 7, crop hopenet of 300w-lp"
    assert images.startswith("images: float32 (N, 3, 32, 32), red, green, blue")
    assert pose == "pose: float32 (N, 3), yaw, pitch, roll in degrees"
    assert float(difference.split()[-2]) < CLOSE_DEG
    assert len(made.example().splitlines()) == 3


def test_inputs_and_outputs_have_their_names_and_any_number_of_images(exported: Export) -> None:
    session = opened(exported("hopenet", "uint8", "onnx").path)
    (images,), (pose,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", 3, 32, 32])
    assert (pose.name, pose.type, pose.shape) == ("pose", "tensor(float)", ["N", 3])
    model = onnx.load(exported("hopenet", "uint8", "onnx").path)
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [18]
    assert model.doc_string.startswith("Head poses by hmtl: yaw,pitch,roll in degrees; yaw > 0: ")
    assert model.graph.input[0].doc_string == "uint8 (N, 3, 32, 32), red, green, blue; 0 to 255"
    assert model.graph.output[0].doc_string == "yaw,pitch,roll in degrees"
    # Nothing is told of how torch got there.
    graph = model.graph
    parts = (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info)
    assert not any(part.metadata_props for part in parts)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_says_what_its_numbers_mean(
    exported: Export, runs: Mapping[str, Path], format: str
) -> None:
    input = "float" if format == "safetensors" else "uint8"
    found = metadata(exported("hopenet", input, format).path)
    found.pop("format", None)  # of safetensors: that torch wrote it
    config = Config.from_dict(json.loads(found.pop("config")))
    assert config == load_network(runs["hopenet"], torch.device("cpu"))[1]
    digest = hashlib.sha256()
    for name, tensor in sorted(weights(runs["hopenet"]).items()):
        shape = "x".join(str(side) for side in tensor.shape)
        digest.update(f"{name} {tensor.dtype} {shape}\n".encode() + tensor.numpy().tobytes())
    assert found.pop("weights_sha256") == digest.hexdigest()
    assert found.pop("signs").startswith("yaw > 0: the nose turns to the left of the image;")
    floats = (
        "(value / 255 - mean) / deviation with mean 0.485,0.456,0.406 and deviation"
        " 0.229,0.224,0.225"
    )
    assert found == {
        "hmtl_version": __version__,
        "step": "7",
        "layout": "300w-lp",
        "crop": "hopenet",
        "fit": "short-side",
        "angle_order": "yaw,pitch,roll",
        "unit": "degrees",
        "convention": "euler",
        "input_layout": f"{'float32' if input == 'float' else input} (N, 3, 32, 32), red, green,"
        " blue",
        "input_range": floats if input == "float" else "0 to 255",
    }


def test_directions_are_told_to_have_no_roll(exported: Export) -> None:
    made = exported("regression", "float", "pt2")
    told = "has no meaning: the network has learnt directions, which have no roll"
    assert f"roll {told}" in made.said
    found = metadata(made.path)
    assert found["convention"] == "direction"
    assert found["roll"] == told
    assert "roll" not in found["signs"]
    # Of a run without a log, nobody knows the data.
    assert found["crop"] == "unknown"
    assert "layout" not in found


def test_the_keys_of_the_page_are_those_of_the_files(exported: Export) -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    known = metadata(exported("hopenet", "uint8", "onnx").path)
    assert set(told) - {"boxes", "roll"} == known.keys()


def test_pretext_branches_are_not_in_the_files(exported: Export, runs: Mapping[str, Path]) -> None:
    plain = weights(runs["hopenet"])
    checkpoint = torch.load(runs["hopenet"] / "checkpoints" / "last.pt", weights_only=True)
    assert any("branches." in name for name in checkpoint["model"])
    program = torch.export.load(exported("hopenet", "float", "pt2").path)
    names = {name.removeprefix("backbone.") for name in program.state_dict}
    assert names == plain.keys()
    assert counted(program.state_dict) == counted(plain)
    copied = safetensors.torch.load_file(exported("hopenet", "float", "safetensors").path)
    assert copied.keys() == plain.keys()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in copied.items())


def test_onnx_holds_the_plain_network_with_its_normalisation_folded(
    exported: Export, runs: Mapping[str, Path]
) -> None:
    plain = weights(runs["hopenet"])
    model = onnx.load(exported("hopenet", "float", "onnx").path)
    held = {
        tensor.name: np.prod(tensor.dims, dtype=int)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    assert all(name.startswith(("backbone.", "pose.")) for name in held)
    # Of a batch normalisation, scale and shift are gone, and its convolution has got a bias.
    normal = {name for name in plain if re.search(r"(bn\d|downsample\.1)\.(weight|bias)$", name)}
    biases = sum(plain[name].numel() for name in normal if name.endswith("bias"))
    learnt = counted({name: tensor for name, tensor in plain.items() if name not in normal})
    bins = 66
    assert sum(held.values()) == learnt + biases + bins


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_files_name_nothing_of_the_machine_that_wrote_them(exported: Export, format: str) -> None:
    data = exported("hopenet", "uint8", format).path.read_bytes()
    for name in (str(CHECKOUT), str(Path(torch.__file__).parent.parent), "multi_task.py"):
        assert name.encode() not in data


def test_weights_go_where_those_of_the_run_go(
    exported: Export, runs: Mapping[str, Path], faces: Dataset, tmp_path: Path
) -> None:
    path = exported("hopenet", "float", "safetensors").path
    results = []
    for given in ("last", str(path)):
        shutil.copytree(runs["hopenet"], tmp_path / "run", dirs_exist_ok=True)
        command = ["eval", str(tmp_path / "run"), "--data", str(faces.root), "--weights", given]
        assert run([*command, "--protocol", "wrapped"]) == 0
        results.append(json.loads((tmp_path / "run" / "results.json").read_text())[-1]["mae"])
    assert results[0] == results[1]
    config = load_preset("table2/sl-aug1").config.updated(
        SMALL | {"model.init": str(path), "train.seed": 5}
    )
    fresh = build_model(config)
    initialise(fresh.backbone, config)
    assert torch.equal(fresh.backbone.conv1.weight, weights(runs["hopenet"])["conv1.weight"])
    plain = get_model("resnet18")
    fit = plain.load_state_dict(safetensors.torch.load_file(path), strict=False)
    assert fit.missing_keys == ["fc.weight", "fc.bias"]
    assert set(fit.unexpected_keys) == {"pose.linear.weight", "pose.linear.bias"}
    names: dict[str, Any] = {}
    exec(exported("hopenet", "float", "safetensors").example(), names)


def test_the_best_weights_and_those_of_a_file_are_exported(
    runs: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs["hopenet"], tmp_path / "run")
    config = load_network(tmp_path / "run", torch.device("cpu"))[1]
    tensors = weights(runs["hopenet"])
    out = tmp_path / "pose.safetensors"
    for given, name, step, crop in (
        ("best", "best.safetensors", 11, "hopenet of 300w-lp"),
        (tmp_path / "run" / "other.safetensors", "other.safetensors", 12, "unknown"),
    ):
        tensors["pose.linear.bias"] = torch.full((198,), float(step))
        save_weights(tmp_path / "run" / name, tensors, config, step)
        assert call(tmp_path / "run", out, "--weights", given) == 0
        assert f"step {step}, crop {crop}\n" in capsys.readouterr().out
        assert metadata(out)["step"] == str(step)
        assert weights(tmp_path, out.name)["pose.linear.bias"].eq(step).all()
    assert "does not exist" in refused(capsys, 1, runs["sixd"], out, "--weights", "best")


def test_a_file_with_other_poses_is_not_written(
    runs: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def of_bgr(self: formats.FromBytes, images: Tensor) -> Tensor:
        return PoseNetwork.forward(self, images.flip(1) * self.scale + self.offset)

    monkeypatch.setattr(formats.FromBytes, "forward", of_bgr)
    error = refused(capsys, 1, runs["hopenet"], tmp_path / "pose.pt2")
    assert re.search(r"pose.pt2 is not written: .* differ by [\d.]+ degrees .* may by 0.01", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["last", "best", "other"])
@pytest.mark.parametrize("name", ["weights", "best", "other"])
def test_weights_of_the_run_and_those_that_are_read_are_never_overwritten(
    runs: Mapping[str, Path],
    tmp_path: Path,
    given: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, other = tmp_path / "run", tmp_path / "other.safetensors"
    folder.mkdir()
    places = {folder / "weights.safetensors", folder / "best.safetensors", other}
    for place in places:
        shutil.copy(runs["sixd"] / "weights.safetensors", place)
    before = (folder / "weights.safetensors").read_bytes()
    (tmp_path / "link").symlink_to(folder)
    (folder / "other.safetensors").symlink_to(other)
    out = tmp_path / "link" / f"{name}.safetensors"
    options = ["--weights", other if given == "other" else given]
    if name == "other" and given != "other":
        assert call(folder, out, *options) == 0
        assert other.read_bytes() == before
        return
    assert "OUT must not be weights of the run" in refused(capsys, 2, folder, out, *options)
    assert {place.read_bytes() for place in places} == {before}
    assert out.samefile(other if name == "other" else folder / out.name)


@pytest.mark.parametrize(
    ("format", "function"),
    [("pt2", "export.save"), ("onnx", "onnx.export"), ("onnx", "export.export")],
)
def test_whatever_an_exporter_raises_is_one_line(
    runs: Mapping[str, Path],
    tmp_path: Path,
    format: str,
    function: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object, **options: object) -> None:  # noqa: ARG001
        raise ModuleNotFoundError("No module named 'onnxscript.torch_2_11'\nIt is newer.")

    monkeypatch.setattr(f"torch.{function}", fail)
    error = refused(capsys, 1, runs["sixd"], tmp_path / f"pose.{format}")
    assert error == (
        f"error: torch {torch.__version__} cannot write {format}: ModuleNotFoundError:"
        " No module named 'onnxscript.torch_2_11'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_colours_of_the_images_that_files_are_tried_on_differ() -> None:
    images = writing.random_images(5, 32)
    assert images.shape == (5, 3, 32, 32)
    assert images.equal(writing.random_images(5, 32))
    # By far more than the means of noise would.
    assert images.float().mean(dim=(2, 3)).std(dim=1).median() > 10


def test_a_failed_export_leaves_what_was_there(
    runs: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(writing, "MOST_DEG", -1.0)
    out = tmp_path / "pose.safetensors"
    out.write_bytes(b"old")
    assert "is not written" in refused(capsys, 1, runs["hopenet"], out)
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"old"


def test_weights_that_are_not_finite_are_not_exported(
    runs: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_network(runs["hopenet"], torch.device("cpu"))[1]
    broken = weights(runs["hopenet"]) | {"pose.linear.bias": torch.full((198,), float("nan"))}
    save_weights(tmp_path / "run" / "weights.safetensors", broken, config, 1)
    error = refused(capsys, 1, tmp_path / "run", tmp_path / "pose.safetensors")
    assert "differ by nan degrees" in error


def test_an_existing_file_is_replaced_and_not_written_into(
    runs: Mapping[str, Path], tmp_path: Path
) -> None:
    out, kept = tmp_path / "pose.safetensors", tmp_path / "kept"
    out.write_bytes(b"old")
    os.link(out, kept)
    assert call(runs["hopenet"], out) == 0
    assert kept.read_bytes() == b"old"
    assert metadata(out)["step"] == "7"


TWICE = """
import sys
from hmtl.cli.main import run
run_folder, out = sys.argv[1:]
# Opsets that torch does not know make it, and others, say most.
assert run(["export", run_folder, out, "--opset", "26"]) == 0
assert run(["export", run_folder, out, "--opset", "99"]) == 2
"""


@pytest.mark.slow
def test_nothing_of_the_exporter_reaches_the_terminal_but_its_failure(
    runs: Mapping[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "pose.onnx"
    done = subprocess.run(
        [sys.executable, "-P", "-c", TWICE, str(runs["sixd"]), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "error: --opset 99 cannot be reached: the network stays at 18\n"
    assert len(done.stdout.splitlines()) == 8
    assert list(tmp_path.iterdir()) == [out]
    model = onnx.load(out)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [26]


@pytest.mark.slow
def test_a_killed_export_leaves_what_was_there(runs: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "pose.pt2"
    out.write_bytes(b"old")
    arguments = ["export", str(runs["hopenet"]), str(out)]
    process = subprocess.Popen([sys.executable, "-P", "-m", "hmtl", *arguments])
    deadline = time.monotonic() + 240
    while not [path for path in tmp_path.iterdir() if path != out]:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pose.bin"], "must end in one of .onnx, .pt2, .safetensors, or --format be given, got"),
        (["pose.pt2", "--format", "onnx"], "must end in .onnx for --format onnx, got"),
        (["pose.bin", "--format", "pt2"], "must end in .pt2 for --format pt2, got"),
        (["pose.onnx", "--format", "tflite"], "'tflite' is not one of 'onnx', 'pt2', 'safeten"),
        (["pose.onnx", "--input", "bgr"], "'bgr' is not one of 'uint8', 'float'"),
        (["pose.onnx", "--opset", "17"], "--opset must be at least 18, got 17"),
        (["pose.pt2", "--opset", "18"], "--opset must be left out for pt2, got 18"),
        (["pose.safetensors", "--input", "uint8"], "--input must be left out for safetensors"),
        (["no/pose.onnx"], "OUT must be in a folder that exists, got"),
        (["folder.onnx"], "OUT must be a file, got the folder"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    name, *options = arguments
    assert message in refused(capsys, 2, "run", tmp_path / name, *options)


def test_a_name_without_a_suffix_takes_the_format_that_is_given(tmp_path: Path) -> None:
    chosen = Target.choose(tmp_path / "pose", format="pt2")
    assert (chosen.format, chosen.input) == ("pt2", "uint8")
    chosen = Target.choose(tmp_path / "pose.safetensors")
    assert (chosen.format, chosen.input) == ("safetensors", "float")


def test_runs_that_are_not_there_or_have_no_pose_head_are_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pose.safetensors"
    error = refused(capsys, 1, tmp_path / "nowhere", out)
    assert f"{tmp_path / 'nowhere' / 'weights.safetensors'} does not exist" in error
    config = load_preset("pretrain/rotation2").config.updated(SMALL)
    weights_of_it = build_model(config).weights()
    save_weights(tmp_path / "pre" / "weights.safetensors", weights_of_it, config, 1)
    assert "was pre-trained and has no pose head" in refused(capsys, 1, tmp_path / "pre", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "hidden", [["onnx"], ["onnxruntime"], ["onnxscript"], ["onnx", "onnxscript", "onnxruntime"]]
)
def test_a_missing_package_names_the_extra_before_the_run_is_looked_at(
    hidden: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    error = refused(capsys, 2, tmp_path / "nowhere", tmp_path / "pose.onnx")
    names = ", ".join(hidden)
    assert error == f"error: format 'onnx' needs {names}: pip install 'hmtl[export]'\n"
    for other in ("pt2", "safetensors"):
        require_packages(other)


def test_the_help_and_errors_of_the_command_line_import_no_torch() -> None:
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['export', '--help']) == 0\n"
        "assert run(['export', 'run', 'pose.bin']) == 2\n"
        "assert not {'torch', 'numpy', 'rich', 'onnx'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert "--format [onnx|pt2|safetensors]" in done.stdout
    assert "Example: hmtl export run pose.onnx" in done.stdout


def test_what_a_runtime_does_not_take_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pose.onnx").write_bytes(b"hello world")
    with pytest.raises(RunError, match=r"^onnxruntime [\d.]+ does not take it: .*$"):
        formats.read("onnx", tmp_path / "pose.onnx")


def test_quiet_keeps_warnings_back_and_raises_errors(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy() -> None:
        click.echo("of a library")
        click.echo("of a library", err=True)
        warnings.warn("of a library", stacklevel=1)
        logging.getLogger("torch.onnx").warning("of a library")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), formats.quiet():
        noisy()
    assert capfd.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", stacklevel=1)


def test_an_export_is_a_function_too(runs: Mapping[str, Path], tmp_path: Path) -> None:
    trained = load_trained(runs["hopenet"], "last")
    done = writing.export(trained, Target.choose(tmp_path / "pose.safetensors"))
    assert done.path == tmp_path / "pose.safetensors"
    assert done.size_bytes == done.path.stat().st_size
    assert 0 <= done.difference_deg < CLOSE_DEG


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_runs_as_it_stands(
    runs: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs["hopenet"], "run")
    shutil.copy("run/weights.safetensors", "run/best.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (13, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((240, 260), Image.Resampling.BICUBIC).save("photo.jpg")
    (bash,) = blocks("bash")
    for line in bash.splitlines():
        name, *words = line.split("#")[0].split()
        assert name in ("pip", "hmtl")
        assert name == "pip" or run(words) == 0
    capsys.readouterr()
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    said = capsys.readouterr().out
    assert "crop hopenet\n" in said
    assert "with mean 0.485,0.456,0.406 and deviation 0.229,0.224,0.225\n" in said
    assert "torch.Size([4, 3])\n['pose.linear.bias', 'pose.linear.weight']\n" in said

    # The box of the page, and some that leave the picture.
    boxes = [names["box"], (-20.5, -9, 100, 140.25), (150, 180, 260, 300), (100, 100, 120, 120)]
    lines = ["path,x0,y0,x1,y1,yaw,pitch,roll"]
    lines += [f"photo.jpg,{','.join(map(str, box))},0,0,0" for box in boxes]
    Path("labels.csv").write_text("\n".join(lines) + "\n")
    data = open_dataset(tmp_path)
    network, config = load_network(Path("run"), torch.device("cpu"))
    config = config.updated({"data.decode": "rgb"})
    with evaluation_loader(config, data, torch.device("cpu")) as loader:
        rendered = loader.render(np.arange(4)).images.permute(0, 2, 3, 1).numpy().astype(int)
    cropped = np.stack([names["crop"](Image.open("photo.jpg"), box) for box in boxes])
    assert np.abs(rendered - cropped).max() <= 1
    with torch.no_grad():
        expected = network(normalize(torch.from_numpy(names["images"])))
    found = [names["yaw"], names["pitch"], names["roll"]]
    assert found == pytest.approx(expected[0].tolist(), abs=CLOSE_DEG)
