"""What the benchmark of one GPU compares: engines with one another, kernels with yardsticks."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures_data import write_300w_lp

from benchmarks.gpu import yardsticks
from benchmarks.gpu.engines import NATIVE_CPU, Job, engines, of_each, open_loader
from benchmarks.gpu.failures import failures
from benchmarks.gpu.parity import EXACT, OF_NVJPEG, compared, limits_of
from benchmarks.gpu.peer import Twins
from benchmarks.gpu.scale import TINY
from benchmarks.gpu.yardsticks import our_views, torchvision_views
from hmtl.data import Batch, Dataset, Loader, open_dataset
from hmtl.redundancy import barlow_twins

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("heads")
    return open_dataset(write_300w_lp(root, count=6, subjects=3, size=80, seed=0))


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
    report = compared(found, wanted, EXACT)
    assert report["levels"]["most"] == levels
    assert (report["labels_equal"], report["agrees"]) == (labels, agrees)
    count = sum(view.numel() for batch in wanted for view in batch.views)
    assert report["differing"] * count == pytest.approx(levels)
    assert report["levels"]["mean"] * count == pytest.approx(levels)
    assert compared(found, wanted, OF_NVJPEG)["agrees"] == labels


@pytest.mark.parametrize(
    ("share", "levels", "agrees"),
    [(0.4, 1, True), (0.6, 1, False), (0.002, 4, True), (0.002, 5, False), (0.0005, 120, True)],
)
def test_nvjpeg_may_round_otherwise_but_not_decode_otherwise(
    heads: Dataset, share: float, levels: int, agrees: bool
) -> None:
    wanted, found = batches(heads), batches(heads)
    for view in (view for batch in found for view in batch.views):
        rows = view.permute(0, 2, 3, 1).reshape(-1)
        assert rows.data_ptr() == view.data_ptr()
        changed = rows[: round(share * len(rows))]
        changed += torch.where(changed < 128, levels, -levels).to(torch.uint8)
    report = compared(found, wanted, OF_NVJPEG)
    assert report["levels"]["mean"] == pytest.approx(share * levels, rel=0.1)
    assert (report["levels"]["most"], report["agrees"]) == (levels, agrees)


def test_only_what_nvjpeg_decodes_may_differ() -> None:
    limits = {engine.name: limits_of(engine) for engine in engines("cuda")}
    assert list(limits) == ["native, cpu", "native, cuda", "cuda, cuda", "dali, cuda"]
    assert [name for name, found in limits.items() if found != EXACT] == ["dali, cuda"]
    assert limits["dali, cuda"] == OF_NVJPEG
    assert {limits_of(engine).most for engine in engines("cpu")} == {0}


def counted(dataset: Dataset) -> dict[str, Any]:
    """Return by engine the batches of an epoch."""
    job = Job(name="job", dataset=dataset, options={"num_threads": 1})
    return of_each(
        engines("cpu"),
        lambda engine: open_loader(engine, job, TINY, batch_size=2),
        lambda engine, loader: {engine.engine: len(list(loader))},
    )


@pytest.mark.usefixtures("without_dali")
def test_engines_that_are_not_there_are_named_with_the_reason(heads: Dataset) -> None:
    found = counted(heads)
    assert found.keys() == {NATIVE_CPU.name, "cuda, cpu", "dali, cpu"}
    assert found[NATIVE_CPU.name] == {"native": 3}
    assert found["cuda, cpu"] == {"cuda": 3}
    assert found["dali, cpu"]["missing"].startswith("engine 'dali' needs NVIDIA DALI")


def test_an_engine_that_fails_costs_no_other(heads: Dataset) -> None:
    gone = replace(heads, files=("gone.jpg", *heads.files[1:]))
    found = counted(gone)
    assert found.keys() == {engine.name for engine in engines("cpu")}
    # DALI need not be installed.
    failed = {name: one["failed"] for name, one in found.items() if "missing" not in one}
    assert failed.keys() >= {"native, cpu", "cuda, cpu"}
    for reason in failed.values():
        assert reason.startswith("DecodeError: ")
        assert "gone.jpg" in reason
    assert {path for path, _ in failures({"job": found})} == {("job", name) for name in failed}


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


KORNIA = """
class Stage:
    def __init__(self, *sizes, **settings):
        self.calls = 0

    def __call__(self, pictures):
        self.calls += 1
        if self.calls == 4:
            raise RuntimeError("no memory")
        return pictures

RandomResizedCrop = ColorJitter = RandomGrayscale = RandomGaussianNoise = Stage
RandomGaussianBlur = RandomErasing = AugmentationSequential = Stage
"""
CHANGED = """
def RandomGaussianBlur(kernel_size, p):
    return Stage()
"""


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("", "AttributeError: module 'kornia.augmentation' has no attribute"),
        (KORNIA + CHANGED, "TypeError: RandomGaussianBlur() got multiple values for argument 'p'"),
        (KORNIA, "RuntimeError: no memory"),
    ],
)
def test_a_yardstick_that_fails_costs_no_other_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, reason: str
) -> None:
    (tmp_path / "kornia").mkdir()
    (tmp_path / "kornia" / "__init__.py").write_text("")
    (tmp_path / "kornia" / "augmentation.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("kornia", "kornia.augmentation"):
        # What is put back at the end is what was there, not this.
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]
    found = yardsticks.measure(replace(TINY, blocks=4))
    assert found.keys() == {"hmtl", "torchvision v2", "kornia"}
    assert found["hmtl"]["views_per_s"] > 0
    assert found["torchvision v2"]["views_per_s"] > 0
    assert found["kornia"].keys() == {"missing"}
    assert found["kornia"]["missing"].startswith(reason)
