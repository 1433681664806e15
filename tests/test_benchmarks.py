"""The loader's benchmarks: what they check before they time, what they sum up, that they run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import bench_memory, bench_normalize, bench_plain, table
from benchmarks.loader import chance, files, geometry, patches
from benchmarks.loader.checks import check_floats, check_side, one_batch, untile
from benchmarks.loader.compare import find_sides
from benchmarks.loader.draws import Drawer
from benchmarks.loader.hmtl_side import Decoding, HmtlLoader
from benchmarks.loader.peers import Labels, NormalisedBatches
from benchmarks.loader.work import Labelled, Open, Running, Work
from benchmarks.machine import machine
from benchmarks.timing import ratios, summarise, take_turns
from hmtl import _core
from hmtl.data import Augmentation, Dataset, open_dataset
from hmtl.data.augmentation import resolve_augmentation
from hmtl.synth import render_dataset

CHECKOUT = Path(__file__).resolve().parent.parent

SIDES = ("hmtl", "torchvision", "albumentations")
PROGRAMS = ("loader", "barlow", "packed", "plain", "normalize", "threads", "memory")
LEVEL2 = Work(augmentation=resolve_augmentation("level2"), size=64)
BARLOW = Work(augmentation=resolve_augmentation("barlow"), size=64, grid=1, views=2)


def opened(side: str) -> Open:
    sides, _ = find_sides()
    if side not in sides:
        pytest.skip("the extra bench is not installed")
    return sides[side]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six rendered heads, JPEG files."""
    root = tmp_path_factory.mktemp("heads")
    render_dataset(root, layout="300w-lp", count=6, subjects=3, seed=0, size=160, workers=1)
    return files.open_tree(root, 6)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight cuts of rendered heads, in two HDF5 files."""
    root = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HMTL_DATA", raising=False)
        patches.write_patches(root, 8, subjects=2)
    return patches.open_patches(root)


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    root = tmp_path_factory.mktemp("ramps")
    files.write_ramps(root / "jpeg")
    patches.write_ramps(root / "hdf5")
    return {
        "level2": open_dataset(root / "jpeg"),
        "barlow": patches.open_patches(root / "hdf5"),
    }


def drawer(dataset: Dataset, open_side: Open, work: Work, draws: int = 96) -> Drawer:
    return Drawer(name="side", open_side=open_side, dataset=dataset, work=work, draws=draws)


def test_summary_has_medians_and_what_hmtl_is_of_each_side() -> None:
    runs = {
        "decode": [{"uint8": 40.0}, {"uint8": 20.0}, {"uint8": 25.0}],
        "hmtl": [{"uint8": speed, "float32": 2 * speed} for speed in (10.0, 30.0, 20.0)],
        "torchvision": [{"uint8": 5.0, "float32": 5.0}] * 3,
    }
    results = summarise(runs, "images_per_s")
    assert ratios(runs, "hmtl", "uint8") == {"hmtl/decode": 0.8, "hmtl/torchvision": 4.0}
    assert ratios(runs, "hmtl", "float32") == {"hmtl/torchvision": 8.0}
    assert [result["side"] for result in results] == ["decode", "hmtl", "torchvision"]
    assert results[1]["images_per_s"] == {"uint8": 20.0, "float32": 40.0}
    assert len(results[1]["runs"]) == 3


def test_sides_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    sides = {
        "a": {"x": lambda: measure("ax"), "y": lambda: measure("ay")},
        "b": {"x": lambda: measure("bx")},
    }
    runs = take_turns(sides, 2)
    assert order == ["ax", "ay", "bx"] * 2
    assert runs == {"a": [{"x": 1, "y": 2}, {"x": 4, "y": 5}], "b": [{"x": 3}, {"x": 6}]}


def test_the_machine_is_named_with_how_busy_it_was() -> None:
    about = machine()
    assert {"date", "commit", "cpu", "cores", "load_before", "busy_before"} == about.keys()
    assert 0 <= about["busy_before"] <= 1


def test_untile_inverts_the_puzzle() -> None:
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 256, (21, 21, 3), dtype=np.uint8)
    order = rng.permutation(9)
    picture, permutation, _ = _core.tile(canvas, 3, order.tolist(), [0] * 9, 20)
    untiled, known = untile(picture, permutation, 3)
    assert known.sum() == 20 * 20
    assert np.array_equal(untiled[known], canvas[known])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("job", ["level2", "barlow"])
def test_sides_show_the_right_pictures(heads: Dataset, rows: Dataset, side: str, job: str) -> None:
    dataset, work = (heads, LEVEL2) if job == "level2" else (rows, BARLOW)
    check_side(side, opened(side), dataset, work)
    check_floats(side, opened(side), dataset, replace(work, floats=True))


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("job", ["level2", "barlow"])
def test_sides_draw_what_they_are_asked_to(
    heads: Dataset, rows: Dataset, ramps: dict[str, Dataset], side: str, job: str
) -> None:
    dataset, work = (heads, LEVEL2) if job == "level2" else (rows, BARLOW)
    photos, slopes = (drawer(data, opened(side), work) for data in (dataset, ramps[job]))
    chance.check_chance(photos, slopes, work.augmentation)


@pytest.mark.parametrize("fault", ["pixels", "pose", "permutation", "size", "views"])
def test_checks_find_a_wrong_side(heads: Dataset, fault: str) -> None:
    class Wrong(HmtlLoader):
        def __iter__(self) -> Iterator[Labelled]:
            for (images,), pose, permutation in super().__iter__():
                yield {
                    "pixels": Labelled((images.flip(3),), pose, permutation),
                    "pose": Labelled((images,), -pose, permutation),
                    "permutation": Labelled((images,), pose, permutation.roll(1, dims=1)),
                    "size": Labelled((images[..., 1:],), pose, permutation),
                    "views": Labelled((images, images), pose, permutation),
                }[fault]

    with pytest.raises(RuntimeError, match="hmtl"):
        check_side("hmtl", Wrong, heads, Work(augmentation=Augmentation(), size=64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"turn": 0.5}, "a turn by"),
        ({"area": (0.6, 1.0)}, "area"),
        ({"aspect": (1.0, 1.0)}, "width over height"),
        ({"off_centre": 0.0}, "place from left to right"),
        ({"brightness": (0.8, 1.2)}, "brightness"),
        ({"contrast": (1.0, 1.0)}, "contrast"),
        ({"saturation": (1.0, 1.1)}, "saturation"),
        ({"hue": (0.0, 0.0)}, "hue"),
        ({"color": 0.4}, "colour must come with probability 0.8"),
        ({"grey": 0.0}, "grey must come with probability 0.3"),
        ({"blur_or_down_scale": 0.0}, "blur or down-scale must come with probability 0.2"),
        ({"blur_or_down_scale": 0.0, "blur": 0.2}, "blur among blur or down-scale"),
        ({"noise": 0.5}, "noise must come with probability 1"),
        ({"noise_deviation": (0.04, 0.04)}, "noise must be 0 ± 12.75"),
        ({"cutout": 0.7}, "cutout must come with probability 1"),
        ({"cutout_area": (0.01, 0.05)}, "the cutout's area"),
    ],
)
def test_a_side_that_does_less_is_found(
    rows: Dataset, ramps: dict[str, Dataset], change: dict[str, Any], message: str
) -> None:
    def lazy(dataset: Dataset, work: Work, running: Running) -> HmtlLoader:
        # Only what is asked for is done otherwise: one stage is looked at after the other.
        asked, nothing = work.augmentation, Augmentation()
        if any(getattr(asked, stage) != getattr(nothing, stage) for stage in change):
            asked = replace(asked, **change)
        return HmtlLoader(dataset, replace(work, augmentation=asked), running)

    photos, slopes = (
        drawer(dataset, lazy, BARLOW, draws=256) for dataset in (rows, ramps["barlow"])
    )
    with pytest.raises(RuntimeError, match=message):
        chance.check_chance(photos, slopes, BARLOW.augmentation)


def test_noise_that_repeats_is_found(rows: Dataset) -> None:
    class Grey(HmtlLoader):
        """All channels get the same noise."""

        def __init__(self, dataset: Dataset, work: Work, running: Running) -> None:
            super().__init__(dataset, replace(work, augmentation=Augmentation()), running)
            self.deviation = 255 * work.augmentation.noise_deviation[0]

        def __iter__(self) -> Iterator[Labelled]:
            for (images,), pose, permutation in super().__iter__():
                noise = self.deviation * torch.randn(len(images), 1, *images.shape[2:])
                noisy = (images + noise).round().clamp(0, 255).to(torch.uint8)
                yield Labelled((noisy,), pose, permutation)

    work = replace(BARLOW, views=1, augmentation=replace(BARLOW.augmentation, noise=1.0))
    noise_only = Augmentation(noise=1.0, noise_deviation=BARLOW.augmentation.noise_deviation)
    with pytest.raises(RuntimeError, match="noise of neighbouring channels"):
        chance._check_noise(drawer(rows, Grey, work), noise_only)


def test_blur_is_the_kernel_in_both_directions() -> None:
    dot = np.zeros((1, 9, 9, 3), dtype=np.float32)
    dot[0, 4, 4] = 256
    spread = chance.blur(dot)[0, ..., 0]
    line = np.array([0, 0, 1, 4, 6, 4, 1, 0, 0])
    assert np.array_equal(spread, np.outer(line, line))


def test_simulated_crops_keep_to_their_square() -> None:
    augmentation = BARLOW.augmentation
    crops = geometry.simulated_crops(augmentation)
    low, high = np.log(augmentation.aspect)
    assert augmentation.area[0] <= crops["area"].min() <= crops["area"].max() <= 1.0001
    aspect = crops["logarithm of width over height"]
    assert low <= aspect.min() <= aspect.max() <= high
    for place in ("place from left to right", "place from top to bottom"):
        assert -1e-6 <= crops[place].min() <= crops[place].max() <= 1 + 1e-6
        assert crops[place].std() == pytest.approx(12**-0.5, abs=0.01)


def test_peers_crop_the_square_of_the_evaluation_without_augmentation(heads: Dataset) -> None:
    labels = Labels.of(heads)
    for index, (x0, y0, x1, y1) in enumerate(heads.box.tolist()):
        left, top, right, bottom = labels.draw_crop(index, Augmentation())
        assert right - left == bottom - top == min(x1 - x0, y1 - y0)
        assert abs((left + right) / 2 - (x0 + x1) / 2) <= 0.5
        assert abs((top + bottom) / 2 - (y0 + y1) / 2) <= 0.5


def test_floats_by_batch_are_the_normalised_pixels(heads: Dataset) -> None:
    work = Work(augmentation=Augmentation(), size=32, grid=1)
    pixels = one_batch(HmtlLoader, heads, work)
    expected = one_batch(HmtlLoader, heads, replace(work, floats=True)).views[0]
    batches = NormalisedBatches([pixels, pixels])
    first, second = (batch.views[0] for batch in batches)
    assert torch.allclose(first, expected, atol=1e-5)
    assert first.data_ptr() == second.data_ptr()


def test_decoding_alone_decodes_all_samples_of_any_codec(heads: Dataset, rows: Dataset) -> None:
    for dataset in (heads, rows):
        assert Decoding(dataset, 2).images_per_s(0.0) > 0
    shorter = heads.extent.copy()
    shorter["size"] //= 2
    with pytest.raises(_core.DecodeError, match="changed since it was indexed"):
        Decoding(replace(heads, extent=shorter), 1).images_per_s(0.0)


def test_all_ways_to_read_rows_give_the_pixels_of_the_file(rows: Dataset) -> None:
    work = Work(augmentation=Augmentation(), grid=1)
    bench_plain.check(rows, work)
    running = Running(batch_size=3, threads=1)
    for open_side in bench_plain.SIDES.values():
        batches = list(open_side(rows, work, running))
        assert [len(batch.pose) for batch in batches] == [3, 3]


def test_both_ways_to_normalise_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
    images = images.contiguous(memory_format=torch.channels_last)
    sides = bench_normalize.SIDES
    bench_normalize.check(images)
    for name, side in sides.items():
        wrong = {name: lambda images, out, side=side: side(images, out) * 1.01}
        monkeypatch.setattr(bench_normalize, "SIDES", sides | wrong)
        with pytest.raises(RuntimeError, match=name):
            bench_normalize.check(images)


def test_growth_is_counted_once_buffers_are_there() -> None:
    resident = [100, *[500] * 10, *[510] * 8, 505]
    assert bench_memory.growth(resident) == {
        "count": 20,
        "settled_bytes": 500,
        "peak_bytes": 510,
        "growth_bytes": 10,
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What HMTL_DATA may name: a few rendered heads, so that no benchmark renders its own."""
    root = tmp_path_factory.mktemp("pictures")
    render_dataset(
        root / "300W_LP", layout="300w-lp", count=4, subjects=2, seed=0, size=450, workers=1
    )
    return root


def figures(*arguments: object, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.loader_figures", *map(str, arguments)],
        cwd=CHECKOUT,
        env=os.environ | ({"HMTL_DATA": str(data)} if data else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_benchmark_runs_and_writes_one_document(
    tmp_path: Path, pictures: Path, program: str
) -> None:
    done = figures(program, "--quick", "--out", tmp_path, data=pictures)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    document = json.loads((tmp_path / f"{program}.json").read_text())
    assert json.loads(done.stdout) == document
    assert document["name"] == program
    assert {"date", "commit", "cpu", "cores", "load_before"} <= document.keys()
    for result in document.get("results", []):
        (unit,) = {"images_per_s", "ms_per_image"} & result.keys()
        assert all(figure > 0 for figure in result[unit].values())
    if program in ("loader", "barlow"):
        check_comparison(program, document)


def check_comparison(program: str, document: dict[str, Any]) -> None:
    sides = {result["side"] for result in document["results"]}
    limit = {"loader": "decode", "barlow": "expand"}[program]
    assert sides | set(document["missing"]) == {limit, *SIDES}
    assert document["ratios"].keys() == {f"hmtl/{side}" for side in sides - {"hmtl"}}
    assert document["ratios_float32"].keys() == {f"hmtl/{side}" for side in sides - {"hmtl", limit}}
    render = {"loader": table.loader_table, "barlow": table.barlow_table}[program]
    assert "**hmtl**" in render(document)


@pytest.mark.slow
def test_the_sides_there_are_suffice(tmp_path: Path, pictures: Path) -> None:
    # A module that cannot be imported, as where the extra is not installed.
    (tmp_path / "albumentations.py").write_text("raise ImportError('no albumentations')\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_loader", "--quick"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "HMTL_DATA": str(pictures)},
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)
    assert document["missing"] == ["albumentations"]
    assert "albumentations is left out: no albumentations" in done.stderr
    assert document["source"] == "copies of 4 real images"


def test_unknown_figures_are_refused_and_failures_named(tmp_path: Path) -> None:
    done = figures("speed")
    assert done.returncode == 2
    assert "unknown: speed" in done.stderr
    done = figures("normalize", "--quick", "--out", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "failed: normalize" in done.stderr
