"""The formats: how a network is written to a file, and run from one that was read back."""

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hmtl import _core, checkpoint
from hmtl.assemble import plain_network
from hmtl.errors import ConfigError, RunError
from hmtl.export.target import Format, Target
from hmtl.export.trained import Trained, facts
from hmtl.models.multi_task import PoseNetwork
from hmtl.tensor_files import write_tensors

INPUT, OUTPUT = "images", "pose"
METADATA_FILE = "hmtl.json"
"""The file inside a .pt2 that holds the facts."""

Run = Callable[[Tensor], Tensor]
"""Gives the poses (N, 3) of images (N, 3, S, S)."""


class FromBytes(PoseNetwork):
    """The plain network behind ImageNet's normalisation: it takes what `Batch.images` holds."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__(network.backbone, network.pose)
        numbers = torch.tensor(_core.normalize_coefficients()).view(2, 1, 3, 1, 1)
        self.register_buffer("scale", numbers[0])
        self.register_buffer("offset", numbers[1])

    def forward(self, images: Tensor) -> Tensor:
        """Return the poses (N, 3) in degrees of uint8 RGB images (N, 3, S, S)."""
        return super().forward(images * self.scale + self.offset)


def write(trained: Trained, target: Target, path: Path) -> None:
    """Write what `target` asks for to `path`.

    RunError where torch or ONNX cannot, ConfigError where the opset cannot be had.
    """
    said = facts(trained, target.input)
    if target.format == "safetensors":
        write_tensors(path, trained.weights, said)
        return
    network = FromBytes(trained.network) if target.input == "uint8" else trained.network
    try:
        with quiet():
            program = _traced(network.eval(), target, trained.config.data.size)
            if target.format == "pt2":
                with path.open("wb") as file:
                    torch.export.save(program, file, extra_files={METADATA_FILE: json.dumps(said)})
            else:
                _write_onnx(program, target.opset, said, path)
    except ConfigError:
        raise
    except Exception as error:
        # Of torch or onnxscript it can be anything; one is that they do not fit each other.
        reason = next(iter(str(error).strip().splitlines()), "")
        raise RunError(
            f"torch {torch.__version__} cannot write {target.format}:"
            f" {type(error).__name__}: {reason}"
        ) from error


def read(format: Format, path: Path) -> Run:
    """Return what runs the network in a file, as other programs would."""
    if format == "safetensors":
        network = plain_network(checkpoint.load_weights(path), torch.device("cpu"))
        return network.to(memory_format=torch.contiguous_format)
    with quiet():
        return _read_onnx(path) if format == "onnx" else _read_pt2(path)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what exporters print, log and warn of; errors are raised as ever."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _traced(network: nn.Module, target: Target, size: int) -> torch.export.ExportedProgram:
    # Two images: of one, torch would make a constant.
    dtype = torch.uint8 if target.input == "uint8" else torch.float32
    images = torch.zeros(2, 3, size, size, dtype=dtype)
    shapes = {INPUT: {0: torch.export.Dim("N")}}
    program = torch.export.export(network, (images,), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        # It names files of this machine.
        node.meta.pop("stack_trace", None)
    return program


def _write_onnx(
    program: torch.export.ExportedProgram, opset: int, said: Mapping[str, str], path: Path
) -> None:
    exported: Any = torch.onnx.export(
        program,
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=opset,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={INPUT: {0: "N"}},
        custom_translation_table={torch.ops.aten.hypot.default: _hypot},
    )
    model = exported.model
    if model.opset_imports[""] != opset:
        # It is kept at another one, and a line in a log is all that tells.
        raise ConfigError(
            f"--opset {opset} cannot be reached: the network stays at {model.opset_imports['']}"
        )
    graph = model.graph
    for part in (model, graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        # Notes of the exporter about how it came about.
        part.metadata_props.clear()
    model.metadata_props.update(said)
    model.doc_string = (
        f"Head poses by hmtl: {said['angle_order']} in {said['unit']}; {said['signs']}"
    )
    graph.inputs[0].doc_string = f"{said['input_layout']}; {said['input_range']}"
    graph.outputs[0].doc_string = f"{said['angle_order']} in {said['unit']}"
    exported.save(path, external_data=False)


def _hypot(first: Any, second: Any) -> Any:
    """Return √(a² + b²), which torch's exporter has no ONNX for; the head of six numbers needs it.

    The numbers are entries of a rotation: their squares cannot overflow.
    """
    op = importlib.import_module("onnxscript").opset18
    return op.Sqrt(op.Add(op.Mul(first, first), op.Mul(second, second)))


def _read_onnx(path: Path) -> Run:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors have nothing in common; one is that it is older than the opset.
        reason = str(error).splitlines()[0]
        raise RunError(f"onnxruntime {runtime.__version__} does not take it: {reason}") from error

    def run(images: Tensor) -> Tensor:
        (poses,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return torch.from_numpy(poses)

    return run


def _read_pt2(path: Path) -> Run:
    with path.open("rb") as file:
        return torch.export.load(file).module()
