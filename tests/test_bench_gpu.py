"""The benchmark of one GPU: its blocks, ratios, comparisons and goals, and that it runs."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.append(str(CHECKOUT))

from benchmarks.gpu import __main__ as program  # noqa: E402 — see above
from benchmarks.gpu import verdict  # noqa: E402
from benchmarks.gpu.blocks import Block, Side, described, ratio, run_stretch, take_turns  # noqa: E402
from benchmarks.gpu.engines import NATIVE_CPU, Job, opened  # noqa: E402
from benchmarks.gpu.feeds import rendered  # noqa: E402
from benchmarks.gpu.parity import compared  # noqa: E402
from benchmarks.gpu.peer import Twins  # noqa: E402
from benchmarks.gpu.plan import PARTS, Task  # noqa: E402
from benchmarks.gpu.scale import TINY  # noqa: E402
from benchmarks.gpu.yardsticks import our_views, torchvision_views  # noqa: E402
from hmtl.bench.trial import trial  # noqa: E402
from hmtl.data import Batch, Dataset, Loader, open_dataset  # noqa: E402
from hmtl.preset import load_preset  # noqa: E402
from hmtl.redundancy import barlow_twins  # noqa: E402
from hmtl.synth import render_dataset  # noqa: E402


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("heads")
    render_dataset(root, layout="300w-lp", count=6, subjects=3, seed=0, size=80, workers=1)
    return open_dataset(root)


def blocks_of(*rates: float) -> list[Block]:
    return [Block(images=100, wall_s=100 / rate, device_s=50 / rate) for rate in rates]


def test_a_ratio_is_the_median_of_neighbouring_blocks() -> None:
    blocks = {"R": blocks_of(90, 40, 99), "S0": blocks_of(100, 50, 100), "S1": []}
    found = ratio(blocks, "R", "S0")
    assert found == pytest.approx({"median": 0.9, "p10": 0.82, "p90": 0.972})
    assert ratio(blocks, "R", "nothing") is None


def test_figures_are_medians_by_both_clocks() -> None:
    found = described({"R": blocks_of(90, 40, 99)})["R"]
    assert found == {
        "images_per_s": 90,
        "images_per_s_by_events": 180,
        "runs": [90, 40, 99],
    }
    on_cpu = [replace(block, device_s=None) for block in blocks_of(10)]
    assert described({"R": on_cpu})["R"]["images_per_s_by_events"] is None


def test_sides_take_turns_forwards_and_backwards_after_their_warm_up() -> None:
    order: list[str] = []
    sides = {
        "a": Side(step=lambda: order.append("a"), images=2),
        "b": Side(step=lambda: order.append("b"), images=3, warm_up=2),
    }
    found = take_turns(sides, blocks=2, block_s=0.0, warm_up=1, device=torch.device("cpu"))
    warm_up = ["a"] * 4 + ["b"] * 6
    assert order == warm_up + ["a"] * 2 + ["b"] * 3 + ["b"] * 3 + ["a"] * 2
    assert [[block.images for block in runs] for runs in found.values()] == [[2, 2], [3, 3]]


def test_a_stretch_lasts_so_long_or_as_long_as_there_are_batches() -> None:
    used: list[int] = []
    cpu = torch.device("cpu")
    run_stretch(iter(range(5)), used.append, 0.0, cpu)
    assert used == [0]
    assert run_stretch(iter(range(5)), used.append, 60.0, cpu) < 60
    assert used == [0, 0, 1, 2, 3, 4]


def batches(dataset: Dataset) -> list[Batch]:
    with Loader(dataset, batch_size=3, size=32, views=2, num_threads=1) as loader:
        return list(loader)


@pytest.mark.parametrize(
    ("fault", "levels", "labels", "agrees"),
    [("nothing", 0, True, True), ("a level", 1, True, False), ("a label", 0, False, False)],
)
def test_batches_that_differ_are_found(
    heads: Dataset, fault: str, levels: int, labels: bool, agrees: bool
) -> None:
    wanted, found = batches(heads), batches(heads)
    if fault == "a level":
        pixel = found[1].views[1][2, 1, 5]
        pixel[7] = pixel[7] + 1 if pixel[7] < 255 else 254
    if fault == "a label":
        found[1].pose[2, 1] += 1e-3
    report = compared(found, wanted, most_levels=0)
    assert (report["levels"], report["labels_equal"], report["agrees"]) == (levels, labels, agrees)
    assert report["differing"] * sum(v.numel() for b in wanted for v in b.views) == levels
    assert compared(found, wanted, most_levels=1)["agrees"] == labels


def test_engines_that_are_not_there_are_named_with_the_reason(
    heads: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "nvidia" in name else find(name)
    )
    job = Job(name="job", dataset=heads, options={"num_threads": 1})
    found = {
        engine.name: loader if isinstance(loader, str) else len(loader)
        for engine, loader in opened(job, TINY, batch_size=2)
    }
    assert found.keys() == {NATIVE_CPU, "cuda, cpu", "dali, cpu"}
    assert found[NATIVE_CPU] == found["cuda, cpu"] == 3
    assert "engine 'dali' needs NVIDIA DALI" in str(found["dali, cpu"])


def run_of(ready: float, real: float, plain: float) -> dict[str, Any]:
    sides = {"S0": ready, "S0 again": ready, "R": real, "S0, plain loop": plain}
    blocks = {side: blocks_of(rate, rate) for side, rate in sides.items()}
    pairs = [("S0 again", "S0"), ("R", "S0"), ("R", "S1"), ("S0", "S0, plain loop")]
    return {
        "sides": described(blocks),
        "ratios": {f"{one}/{other}": ratio(blocks, one, other) for one, other in pairs},
    }


def test_goals_are_reached_missed_or_not_measured() -> None:
    training = {
        "supervised, batch 256": run_of(4000, 3900, 3500),
        "barlow, batch 256": run_of(3900, 3700, 3500),
        "supervised, batch 64": run_of(3500, 3500, 3500),
    }
    loaders = {"supervised": {NATIVE_CPU: {"images_per_s": 34000}, "cuda": {"missing": "no"}}}
    alone = {"hmtl": {"views_per_s": 130_000}, "kornia, compiled": {"views_per_s": 30_000}}
    document = {"training": training, "loaders": loaders, "parity": {}, "yardsticks": alone}
    found = {goal["goal"]: goal["reached"] for goal in verdict.goals(document, (64, 256))}
    assert found == {
        "supervised: R/S1": None,
        "supervised: R/S0": True,
        "supervised: S1/S0 (the chain on the GPU)": None,
        "supervised: S0 again/S0 (noise)": True,
        "barlow: R/S1": None,
        "barlow: R/S0": True,
        "barlow: S1/S0 (the chain on the GPU)": None,
        "barlow: S0 again/S0 (noise)": True,
        "loader alone / supervised S0": True,
        "barlow views/s with the loader / supervised images/s on S0": True,
        "views/s of the chain on the GPU alone": True,
        "the same / kornia, compiled": False,
        "supervised: batch 64 / batch 256": False,
        "supervised: ours / plain loop, batch 256": False,
    }
    assert verdict.judged(document, (64, 256))["of_mlperf"] == pytest.approx(4000 / 7946)
    nothing = verdict.goals({}, (64, 256))
    assert len(nothing) == len(found)
    assert {goal["reached"] for goal in nothing} == {None}


def test_an_engine_that_differs_is_no_success() -> None:
    parity = {"barlow": {"cuda, cuda": {"agrees": False}, "dali, cuda": {"missing": "no"}}}
    assert verdict.disagreeing(parity) == ["barlow: cuda, cuda"]
    document = {"failed": {}, "goals": [], "disagreeing": verdict.disagreeing(parity)}
    assert not program.is_well(document)
    assert program.is_well(document | {"disagreeing": []})
    assert not program.is_well(document | {"disagreeing": [], "failed": {"peer": "no"}})


def test_a_measurement_that_fails_ends_no_other() -> None:
    document: dict[str, Any] = {"failed": {}, "seconds": {}}

    def fail() -> None:
        raise RuntimeError("no memory\nat all")

    program._measure(Task(part="peer", name="", measure=fail), document)
    program._measure(Task(part="training", name="a", measure=lambda: 1), document)
    assert document["failed"] == {"peer": "RuntimeError: no memory"}
    assert document["training"] == {"a": 1}


def test_the_peers_loss_is_that_of_barlow_twins() -> None:
    torch.manual_seed(0)
    twins = Twins("resnet18", 8)
    views = [torch.rand(6, 3, 32, 32) for _ in range(2)]
    embeddings = [twins.projector(twins.backbone(view)) for view in views]
    expected = barlow_twins(*embeddings, 0.0051).loss
    torch.testing.assert_close(twins(*views), expected, atol=1e-3, rtol=1e-3)


def test_every_sample_of_the_yardstick_has_its_own_chance() -> None:
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    views = torchvision_views(TINY)(picture.expand(4, -1, -1, -1))
    assert views.shape == (4, 3, 32, 32)
    assert views.dtype == torch.float32
    assert all(not torch.equal(views[0], view) for view in views[1:])


def test_our_views_have_their_own_chance_each_time() -> None:
    picture = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    pictures = picture.expand(3, -1, -1, -1)
    augment = our_views(TINY)
    first, second = augment(pictures), augment(pictures)
    assert first.shape == (3, 3, 32, 32)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("preset", ["table2/hmtl-puzzle3-aug2", "pretrain/barlow-puzzle3"])
def test_batches_rendered_on_the_device_have_the_loaders_labels(
    heads: Dataset, preset: str
) -> None:
    settings = {**TINY.settings, "train.batch_size": 2}
    with trial(load_preset(preset).config.updated(settings), heads) as trainer:
        batches = rendered(trainer, count=2, side_px=80)
        found = [next(batches) for _ in range(4)]
        wanted = [trainer.loader.render(rows) for rows in ([0, 1], [2, 3])]
        for batch, other in zip(found, wanted * 2, strict=True):
            assert [view.shape for view in batch.views] == [view.shape for view in other.views]
            for name, label in other.labels().items():
                assert torch.equal(getattr(batch, name), label), name
        assert torch.equal(found[0].images, found[2].images)
        assert not torch.equal(found[0].images, found[1].images)


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)],
        cwd=CHECKOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_program_runs_on_a_cpu_and_gives_no_verdict(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = called("--smoke", "--out", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert document.keys() >= {"name", "date", "commit", "cpu", "cores", "source", *PARTS}
    assert (document["scale"], document["device"]) == ("smoke", "cpu, no verdict")
    assert "goals" not in document
    assert document["left_out"] == []
    assert document["failed"] == {}
    names = {f"{n}, batch {size}" for n in ("supervised", "barlow") for size in (2, 4)}
    assert document["training"].keys() == names
    for found in document["training"].values():
        assert all(side["images_per_s"] > 0 for side in found["sides"].values())
        assert found["ratios"]["R/S0"]["median"] > 0
        assert found["ratios"]["R/S1"]["median"] > 0
        assert found["missing"] == {}
    assert document["peer"]["views_per_s"] > 0
    for found in document["parity"].values():
        assert (found["cuda, cpu"]["levels"], found["cuda, cpu"]["agrees"]) == (0, True)
    assert "cuda, cpu: {'labels_equal': True, 'levels': 0" in done.stdout


@pytest.mark.slow
def test_what_is_not_asked_for_or_comes_too_late_is_named(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = called("--smoke", "--out", out, "--parts", "parity")
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["left_out"][0] == "loaders"
    assert "left out: training supervised, batch 4" in done.stdout


def test_a_machine_without_a_gpu_is_told_how_to_try(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = called("--out", tmp_path / "gpu.json")
    assert done.returncode == 2
    assert "PyTorch finds no GPU: --smoke shows" in done.stderr
    done = called("--smoke")
    assert done.returncode == 2
    assert "--smoke needs --out FILE" in done.stderr
