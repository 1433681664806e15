"""Pre-training runs: what they learn from, what they log, and what starts from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_data import write_300w_lp
from runs import SMALL, configured, interrupting, quiet, same, weights
from torch import nn
from torchvision.models import resnet18

from hmtl import checkpoint, engine
from hmtl.assemble import training_loader
from hmtl.cli.main import run as hmtl
from hmtl.config import Config
from hmtl.data import Dataset, normalize, open_dataset
from hmtl.data.people import people_to_hold_out, split_off
from hmtl.errors import ConfigError, DataError
from hmtl.evaluate import evaluate
from hmtl.objectives.build import build_objective
from hmtl.preset import preset_names, read_config
from hmtl.redundancy import barlow_twins, lower_bound
from hmtl.runlog import read_log

CPU = torch.device("cpu")
TINY = SMALL | {
    "data.num_threads": 1,
    "train.epochs": 2,
    "train.log_steps": 2,
    "train.deterministic": True,
    "barlow.projector": [16, 16, 12],
    "probe.neighbours": 2,
}
SETTINGS = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}".lower())]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("heads"), count=15, subjects=5, size=48, seed=1)


@pytest.fixture(scope="module")
def faces(root: Path) -> Dataset:
    return open_dataset(root)


def tiny(preset: str = "pretrain/barlow", **changes: object) -> Config:
    return configured(preset, TINY, changes)


@pytest.fixture(scope="module", params=["pretrain/barlow", "pretrain/puzzle2"])
def pretrained(
    request: pytest.FixtureRequest, faces: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of two epochs of three steps, which held out one of five people."""
    out = tmp_path_factory.mktemp("pretrained")
    learnt, held_out = split_off(faces, people_to_hold_out(faces))
    engine.train(tiny(request.param), data=learnt, out=out, validation=[held_out], reporter=quiet())
    return out


def test_the_probe_is_logged_before_the_first_update_and_after_every_epoch(
    pretrained: Path,
) -> None:
    entries = [entry for entry in read_log(pretrained / "log.jsonl") if entry["event"] == "eval"]
    assert [(entry["step"], entry["protocol"]) for entry in entries] == [
        (step, protocol) for step in (0, 3, 6) for protocol in ("probe-ridge", "probe-knn")
    ]
    assert all(entry["n"] == 3 and entry["learnt"] == 12 for entry in entries)
    assert all(0.0 < entry["mae"]["mean"] < 180.0 for entry in entries)


def test_a_barlow_run_logs_its_lower_bound_and_what_the_correlation_is_like(
    faces: Dataset, tmp_path: Path
) -> None:
    engine.train(tiny(train__epochs=1), data=faces, out=tmp_path, reporter=quiet())
    (step,) = (entry for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "step")
    assert step["lower_bound"] == pytest.approx(lower_bound(4, 12, 0.0051), rel=1e-5)
    assert step["loss"] > step["lower_bound"]
    assert -1.0 <= step["mean_diagonal"] <= 1.0
    assert 0.0 <= step["rms_off_diagonal"] <= 1.0


@pytest.mark.parametrize(
    "preset", [name for name in preset_names() if name.startswith("pretrain/")]
)
def test_every_preset_learns(preset: str, faces: Dataset, tmp_path: Path) -> None:
    config = tiny(preset, train__epochs=1)
    fresh = build_objective(config, CPU).weights()
    engine.train(config, data=faces, out=tmp_path, reporter=quiet())
    learnt = checkpoint.load_weights(tmp_path / "weights.safetensors").tensors
    assert learnt.keys() == fresh.keys()
    assert all(tensor.isfinite().all() for tensor in learnt.values())
    for name in ("conv1.weight", "layer4.1.conv2.weight", "layer4.1.bn2.running_mean"):
        assert not torch.equal(learnt[name], fresh[name])


def test_the_barlow_objective_takes_the_views_one_after_the_other(faces: Dataset) -> None:
    config = tiny(train__amp="bf16")
    objective = build_objective(config, CPU).train()
    with training_loader(config, faces, CPU) as loader:
        batch = next(iter(loader))
    assert len(batch.views) == 2
    losses = objective(batch)
    assert losses["loss"].dtype == torch.float32
    tracked = objective.kept().bn1.num_batches_tracked
    assert int(tracked) == 2
    again = build_objective(config, CPU).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first, second = (again.model(normalize(view, dtype=torch.bfloat16)) for view in batch.views)
    expected = barlow_twins(first, second, 0.0051).loss
    torch.testing.assert_close(losses["loss"], expected)


def test_the_weights_are_a_backbone_of_torchvision(pretrained: Path) -> None:
    weights = dict(checkpoint.load_weights(pretrained / "weights.safetensors").tensors)
    network = resnet18()
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert sorted(missing) == ["fc.bias", "fc.weight"]
    assert not unexpected


@pytest.mark.parametrize("init", ["", "/weights.safetensors"])
def test_training_starts_from_a_pretrained_run(
    pretrained: Path, root: Path, tmp_path: Path, init: str
) -> None:
    out = tmp_path / "run"
    command = ["train", "table2/sl-aug1", "--data", str(root), "--out", str(out)]
    settings = [*SETTINGS, "--set", "train.lr=0", "--set", "train.epochs=1"]
    assert hmtl([*command, *settings, "--init", f"{pretrained}{init}"]) == 0
    before = checkpoint.load_weights(pretrained / "weights.safetensors").tensors
    after = checkpoint.load_weights(out / "weights.safetensors").tensors
    learnt = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learnt)


def test_a_run_without_weights_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    command = ["train", "table2/sl-aug1", "--data", str(root), "--out", str(tmp_path / "run")]
    assert hmtl([*command, *SETTINGS, "--init", str(tmp_path / "empty")]) == 2
    error = capsys.readouterr().err
    assert "'model.init' must be imagenet, a file or a run, got" in error
    assert error.count("\n") == 1


def test_a_pretrained_run_is_not_evaluated(
    pretrained: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hmtl(["eval", str(pretrained), "--data", str(root)]) == 1
    assert "was pre-trained and has no pose head" in capsys.readouterr().err


def test_the_command_holds_people_out_and_resumes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["pretrain", "pretrain/barlow", "--data", str(root), "--out", str(out), *SETTINGS]
    chosen = [*command, "--probe-subjects", "AFW/AFW_10001_1,AFW/AFW_10003_1"]
    assert hmtl(chosen) == 0
    start, *rest = read_log(out / "log.jsonl")
    assert (start["data"]["samples"], start["data"]["subjects"]) == (9, 3)
    assert {entry["n"] for entry in rest if entry["event"] == "eval"} == {6}
    assert read_config(out / "config.toml").barlow.projector == (16, 16, 12)
    assert hmtl([*chosen, "--resume"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(
    faces: Dataset, pretrained: Path, tmp_path: Path
) -> None:
    config = read_config(pretrained / "config.toml")
    learnt, held_out = split_off(faces, people_to_hold_out(faces))
    config = config.updated({"train.checkpoint_steps": 4})
    with pytest.raises(KeyboardInterrupt):
        engine.train(
            config, data=learnt, out=tmp_path, validation=[held_out], reporter=interrupting(5)
        )
    engine.train(
        config, data=learnt, out=tmp_path, validation=[held_out], resume=True, reporter=quiet()
    )
    assert same(weights(tmp_path), weights(pretrained))
    starts = [e["step"] for e in read_log(tmp_path / "log.jsonl") if e["event"] == "start"]
    assert starts == [0, 4]


def test_one_person_is_told_how_to_go_without_a_probe(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "pretrain/barlow", "--data", str(root), "--out", str(tmp_path / "run")]
    one = [*command, *SETTINGS, "--subjects", "1"]
    assert hmtl(one) == 2
    assert "--set probe.samples=0 trains without a probe" in capsys.readouterr().err
    without = ["--set", "probe.samples=0", "--set", "train.batch_size=3", "--set", "train.epochs=1"]
    assert hmtl([*one, *without]) == 0


@pytest.fixture(scope="module")
def pictures(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for path in root.rglob("*.jpg"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_pictures_without_labels_are_pretrained_on(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["pretrain", "pretrain/barlow", "--data", str(pictures), "--layout", "images"]
    assert hmtl([*command, "--out", str(out), *SETTINGS]) == 0
    assert "has no poses: the features are not probed" in capsys.readouterr().err
    events = [entry["event"] for entry in read_log(out / "log.jsonl")]
    assert "eval" not in events
    assert (out / "weights.safetensors").is_file()
    asked = [*command, "--out", str(tmp_path / "other"), *SETTINGS, "--probe-subjects", "2"]
    assert hmtl(asked) == 2
    assert "--probe-subjects needs poses" in capsys.readouterr().err


def test_a_pose_is_not_learnt_from_pictures_without_labels(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "table2/sl-aug1", "--data", str(pictures), "--layout", "images"]
    assert hmtl([*command, "--out", str(tmp_path / "run"), *SETTINGS]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "has no poses to learn: `hmtl pretrain` takes pictures without labels" in error


def test_nothing_is_evaluated_on_pictures_without_labels(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"pictures.* has no poses to compare with"):
        evaluate(nn.Identity(), open_dataset(pictures, "images"), Config())


@pytest.mark.parametrize(
    ("command", "preset", "other"),
    [("train", "pretrain/barlow", "pretrain"), ("pretrain", "table2/sl-aug1", "train")],
)
def test_each_command_refuses_the_others_presets(
    command: str,
    preset: str,
    other: str,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert hmtl([command, preset, "--data", str(root), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert preset in error
    assert f"`hmtl {other}` trains" in error


def test_each_command_lists_its_own_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert hmtl(["pretrain", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "pretrain/barlow" in listed
    assert "table2" not in listed
    assert hmtl(["train", "--list"]) == 0
    assert "pretrain/" not in capsys.readouterr().out


def test_a_pretext_run_logs_how_many_tiles_are_named_right(faces: Dataset, tmp_path: Path) -> None:
    config = tiny("pretrain/rotation2", train__epochs=1, train__lr=0.0)
    engine.train(config, data=faces, out=tmp_path, reporter=quiet())
    (step,) = (entry for entry in read_log(tmp_path / "log.jsonl") if entry["event"] == "step")
    assert step["loss"] == pytest.approx(step["rotation"])
    # Four cells, each with one of four turns: chance is 4·ln 4, and a quarter.
    assert step["rotation"] == pytest.approx(4 * np.log(4), rel=0.4)
    assert 0.0 <= step["rotation_accuracy"] <= 0.7


def test_the_pretext_loss_is_that_of_the_puzzled_samples(faces: Dataset) -> None:
    config = tiny("pretrain/puzzle2", pretext__task="puzzle-rotation", pretext__dropout=0.0)
    config = config.updated({"pretext.puzzled_fraction": 0.5, "train.batch_size": 12})
    objective = build_objective(config, CPU).train()
    with training_loader(config, faces, CPU) as loader:
        batch = next(iter(loader))
    assert 0 < int(batch.puzzled.sum()) < 12
    assert batch.permutation is not None
    assert batch.turns is not None
    losses = objective(batch)
    answers = build_objective(config, CPU).train().model(batch.normalized())
    expected = 0.0
    for task, labels in (("puzzle", batch.permutation), ("rotation", batch.turns)):
        logs = answers[task].detach().double().log_softmax(dim=-1)
        cells = -logs.gather(2, labels[:, :, None])[:, :, 0]
        of_task = float(cells.sum(dim=1)[batch.puzzled].mean())
        right = (answers[task].argmax(dim=-1) == labels)[batch.puzzled].float().mean()
        assert float(losses[task].detach()) == pytest.approx(of_task, rel=1e-5)
        assert losses[f"{task}_accuracy"].item() == pytest.approx(float(right), abs=1e-6)
        expected += of_task
    assert float(losses["loss"].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretext__task": "none"}, "must name a task and have heads for it"),
        ({"pretext__heads": False}, "must name a task and have heads for it"),
        ({"pretext__branch_point": 3}, "'pretext.branch_point' must be 4"),
    ],
)
def test_a_pretext_task_that_does_not_train_the_backbone_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objective(tiny("pretrain/puzzle2", **changes), CPU)


def test_a_batch_of_one_is_refused_by_barlow_twins() -> None:
    with pytest.raises(ConfigError, match=r"must leave each process two samples .*, got 1 for 1"):
        build_objective(tiny(train__batch_size=1), CPU)


def test_linear_evaluation_leaves_the_backbone_as_it_is(root: Path, tmp_path: Path) -> None:
    init = tmp_path / "backbone.pth"
    torch.save(resnet18().state_dict(), init)
    out = tmp_path / "run"
    command = ["train", "table4/sl-linear-barlow", "--data", str(root), "--out", str(out)]
    assert hmtl([*command, *SETTINGS, "--init", str(init)]) == 0
    before = torch.load(init, weights_only=True)
    after = checkpoint.load_weights(out / "weights.safetensors").tensors
    backbone = {name: tensor for name, tensor in after.items() if not name.startswith("pose.")}
    assert backbone.keys() == {name for name in before if not name.startswith("fc.")}
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.items())
    fresh = build_objective(read_config(out / "config.toml"), CPU).weights()
    assert not torch.equal(after["pose.linear.weight"], fresh["pose.linear.weight"])


def test_a_row_that_starts_from_weights_asks_for_them(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "table4/barlow-puzzle3", "--data", str(root), "--out", str(tmp_path / "r")]
    assert hmtl(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "give --init the run of `hmtl pretrain pretrain/barlow-puzzle3`" in error


@pytest.mark.usefixtures("quick_plan")
def test_a_dry_run_shows_the_backbone_and_the_people_held_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "pretrain/barlow", "--data", str(root), *SETTINGS, "--dry-run"]
    assert hmtl([*command, "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "projector = [16, 16, 12]" in shown
    kept = sum(p.numel() for p in resnet18().parameters()) - 512 * 1000 - 1000
    projector = 512 * 16 + 2 * 16 + 16 * 16 + 2 * 16 + 16 * 12
    assert f"parameters: {kept + projector:,} in training, {kept:,} at evaluation" in shown
    assert "training: 12 of 12 samples" in shown
    assert "validation: 3 samples" in shown
    assert not (tmp_path / "run").exists()
