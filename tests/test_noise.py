"""Noise: its definition to the last bit on every kernel, its statistics, its place in the order."""

from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import png, scene
from scipy import stats
from trees import write_csv

from hmtl import _core
from hmtl.data import Augmentation, Dataset, Loader, open_dataset

KERNELS = _core.noise_kernels()
WORDS = st.integers(0, 2**32 - 1)
NOISY = Augmentation(noise=1.0, noise_deviation=(0.05, 0.05))
COUNT = 6


def source_of(seed: int, view: int, sample: int, epoch: int) -> dict:
    return {
        "key": (seed & 0xFFFFFFFF, seed >> 32),
        "counter": (10 | view << 16, sample, epoch),
    }


def pixels(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kernel", [*KERNELS, ""])
@given(
    height=st.integers(1, 17),
    width=st.integers(1, 19),
    scale=st.sampled_from([1, 999, 19_988, 32_767]),
    seed=st.integers(0, 2**64 - 1),
    view=st.integers(0, 63),
    sample=WORDS,
    epoch=WORDS,
)
def test_noise_equals_the_reference(kernel, height, width, scale, seed, view, sample, epoch):
    image = pixels(1, height, width)
    ours = _core.add_noise(
        image=image, scale=scale, kernel=kernel, **source_of(seed, view, sample, epoch)
    )
    assert np.array_equal(ours, reference.add_noise(image, scale, seed, view, sample, epoch))


@pytest.mark.parametrize("size", [(224, 224), (225, 225), (97, 3), (1, 127), (43, 1)])
def test_all_kernels_give_the_same_bytes(size):
    image = pixels(2, *size)
    results = [
        _core.add_noise(image=image, scale=1500, kernel=kernel, **source_of(7, 1, 3, 2))
        for kernel in [*KERNELS, ""]
    ]
    assert not np.array_equal(results[0], image)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_the_plain_kernel_is_there_and_others_by_what_the_machine_has():
    assert KERNELS[0] == "plain"
    assert set(KERNELS) <= {"plain", "avx2", "avx512"}
    with pytest.raises(ValueError, match="this machine has no noise kernel mmx"):
        _core.add_noise(image=pixels(0, 2, 2), scale=1, kernel="mmx", **source_of(0, 0, 0, 0))


@pytest.mark.parametrize("scale", [-1, 2**15])
def test_a_scale_fits_into_sixteen_bits(scale):
    with pytest.raises(ValueError, match=rf"must lie in 0 … 32767, got {scale}"):
        _core.add_noise(image=pixels(0, 2, 2), scale=scale, **source_of(0, 0, 0, 0))


@given(st.floats(0.0, 1.0))
def test_the_scale_is_that_of_the_definition(deviation):
    assert _core.noise_scale(deviation=deviation) == reference.noise_scale(deviation)
    assert _core.noise_scale(deviation=1.0) == 19_988


def test_no_noise_changes_nothing():
    image = pixels(3, 30, 30)
    assert np.array_equal(_core.add_noise(image=image, scale=0, **source_of(1, 2, 3, 4)), image)


def noise_of(deviation: float, seed: int = 5, view: int = 0, sample: int = 9, epoch: int = 0):
    """What is added to a grey picture of 400 × 400, as floats (480,000,)."""
    grey = np.full((400, 400, 3), 128, dtype=np.uint8)
    scale = _core.noise_scale(deviation=deviation)
    noisy = _core.add_noise(image=grey, scale=scale, **source_of(seed, view, sample, epoch))
    return (noisy.astype(np.float64) - 128.0).ravel()


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.1])
def test_noise_has_the_moments_of_a_sum_of_eight_bytes(deviation):
    noise = noise_of(deviation)
    sigma = deviation * 255
    assert abs(noise.mean()) < 5 * sigma / np.sqrt(noise.size)
    # Rounding to whole grey levels adds the variance of a uniform error.
    assert noise.std() == pytest.approx(np.hypot(sigma, np.sqrt(1 / 12)), rel=0.01)
    assert abs(stats.skew(noise)) < 0.02
    assert stats.kurtosis(noise) == pytest.approx(-1.2 / 8, abs=0.03)
    assert 4.0 < np.abs(noise).max() / sigma < 5.5


def test_noise_is_that_of_all_samples_and_channels_by_themselves():
    noise = noise_of(0.05)
    for lag in (1, 2, 3, 6, 15, 16, 17, 32, 48, 64, 127, 128, 129, 1200, 1201):
        assert abs(np.corrcoef(noise[:-lag], noise[lag:])[0, 1]) < 0.008, lag
    squares = noise**2
    for lag in (1, 3, 15, 17, 128, 1200):
        assert abs(np.corrcoef(squares[:-lag], squares[lag:])[0, 1]) < 0.008, lag
    # The sums of the same eight bytes are uncorrelated, not independent. The fourth cumulant of a
    # byte, -1.2 σ⁴, correlates the squares of two of them by -9.6 / (2·64 - 9.6), and 7 of 8
    # samples have one of the same bytes 16 places behind.
    apart = np.corrcoef(squares[:-16], squares[16:])[0, 1]
    assert apart == pytest.approx(-9.6 / 118.4 * 7 / 8, abs=0.01)


@pytest.mark.parametrize(
    "other", [{"seed": 6}, {"seed": 5 + 2**40}, {"view": 1}, {"sample": 8}, {"epoch": 1}]
)
def test_every_view_of_every_sample_has_noise_of_its_own(other):
    assert abs(np.corrcoef(noise_of(0.05), noise_of(0.05, **other))[0, 1]) < 0.008


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    root = tmp_path_factory.mktemp("pictures")
    table = write_csv(root, *(f"{n}.png,5,6,65,66,0,0,0" for n in range(COUNT)))
    for n in range(COUNT):
        (root / f"{n}.png").write_bytes(png(np.asarray(scene(72, 70, n)), 8, 2))
    return open_dataset(table)


def batch_of(dataset: Dataset, augmentation: Augmentation, **options):
    settings = {"batch_size": COUNT, "size": 48, "pretext": "none", "shuffle": False, "seed": 4}
    return next(iter(Loader(dataset, augmentation=augmentation, **(settings | options))))


def image_of(view: torch.Tensor, row: int) -> np.ndarray:
    return view[row].permute(1, 2, 0).numpy()


def test_the_loader_adds_the_noise_of_each_sample_and_view(dataset):
    smooth = replace(NOISY, noise=0.0, blur=0.5)
    plain = batch_of(dataset, smooth, views=2)
    noisy = batch_of(dataset, replace(NOISY, blur=0.5), views=2)
    scale = reference.noise_scale(0.05)
    for view in range(2):
        for row in range(COUNT):
            expected = reference.add_noise(image_of(plain.views[view], row), scale, 4, view, row, 0)
            assert np.array_equal(image_of(noisy.views[view], row), expected)


def test_noise_is_moved_with_the_tiles_and_hidden_by_the_cutout(dataset):
    noisy = batch_of(dataset, NOISY)
    tiled = batch_of(dataset, NOISY, pretext="puzzle-rotation", grid=3)
    for row in range(COUNT):
        labels = tiled.permutation[row].tolist(), tiled.turns[row].tolist()
        untiled = reference.untile(image_of(tiled.images, row), 3, *labels)
        assert np.array_equal(untiled, image_of(noisy.images, row))
    hidden = batch_of(dataset, replace(NOISY, cutout=1.0, cutout_area=(0.1, 0.1)))
    for row in range(COUNT):
        changed = (image_of(hidden.images, row) != image_of(noisy.images, row)).any(axis=-1)
        assert set(map(tuple, image_of(hidden.images, row)[changed])) == {(124, 116, 104)}


def test_a_probability_decides_by_sample_and_view(dataset):
    half = batch_of(dataset, replace(NOISY, noise=0.5), views=8)
    plain = batch_of(dataset, Augmentation()).images
    touched = [
        [bool((view[row] != plain[row]).any()) for view in half.views] for row in range(COUNT)
    ]
    assert 10 < np.sum(touched) < 38


def test_time_spent_on_noise_is_counted(dataset):
    loader = Loader(dataset, augmentation=NOISY, batch_size=COUNT, size=224, pretext="none")
    list(loader)
    stages = loader.stats()["stages"]
    assert stages["noise"] > stages["filter"]
