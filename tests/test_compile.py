"""`train.compile`: the same run, through torch.compile."""

from pathlib import Path

import pytest
import torch
from fixtures_data import write_300w_lp
from runs import SMALL, configured, quiet

from hmtl import checkpoint, engine
from hmtl.assemble import load_network
from hmtl.config import Config
from hmtl.data import open_dataset
from hmtl.errors import ConfigError
from hmtl.evaluate import evaluate
from hmtl.objectives.build import build_objective
from hmtl.runlog import read_log

CPU = torch.device("cpu")
TINY = SMALL | {
    "model.dropout": 0.0,
    "train.epochs": 1,
    "train.log_steps": 1,
    "train.milestones": [],
    "train.optimizer": "sgd",
    "train.lr": 1e-4,
}


def tiny(preset: str, *, compiled: bool) -> Config:
    return configured(preset, TINY, {"train.compile": compiled})


@pytest.mark.parametrize("preset", ["table2/hmtl-puzzle2-aug1", "pretrain/barlow"])
def test_compiling_changes_no_name(preset: str) -> None:
    plain, compiled = (build_objective(tiny(preset, compiled=c), CPU) for c in (False, True))
    assert list(plain.state_dict()) == list(compiled.state_dict())
    assert list(plain.weights()) == list(compiled.weights())
    assert plain.get_submodule("model")._compiled_call_impl is None
    assert compiled.get_submodule("model")._compiled_call_impl is not None


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"'train\.compile' needs a C\+\+ compiler, no-such"):
        build_objective(tiny("table2/sl-aug1", compiled=True), CPU)


@pytest.mark.long
@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path / "data", count=8, subjects=3, size=48, seed=1)
    data = open_dataset(root)
    runs = {name: tmp_path / name for name in ("plain", "compiled")}
    for name, out in runs.items():
        engine.train(
            tiny("table2/sl-aug1", compiled=name == "compiled"),
            data=data,
            out=out,
            validation=[data],
            reporter=quiet(),
        )
    plain, compiled = (read_log(run / "log.jsonl") for run in runs.values())
    for one, two in zip(plain, compiled, strict=True):
        if one["event"] == "step":
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    tensors, others = (
        checkpoint.load_weights(run / "weights.safetensors").tensors for run in runs.values()
    )
    assert tensors.keys() == others.keys()
    # Two steps through batch-norm make much of the last bits.
    torch.testing.assert_close(others["conv1.weight"], tensors["conv1.weight"], atol=0.02, rtol=0.0)
    network, config = load_network(runs["compiled"], CPU)
    logged = [entry for entry in compiled if entry["event"] == "eval"]
    for entry, before in zip(evaluate(network, data, config), logged, strict=True):
        assert entry["mae"]["mean"] == pytest.approx(before["mae"]["mean"], abs=1e-3)
