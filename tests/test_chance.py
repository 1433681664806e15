"""Chance is fair: chi-square tests of what is drawn, at fixed seeds, so that they never flicker."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from augmentations import EVERYTHING, draw_params, faces
from scipy import stats

from hmtl import _core
from hmtl.data import Augmentation

ENOUGH = 1e-4
"""A p-value below this means that chance is not what it should be."""
COUNT = 20_000
NOTHING = Augmentation()


def assert_even(values: npt.ArrayLike, sorts: int) -> None:
    """Check that whole numbers below `sorts` are all as frequent."""
    counts = np.bincount(np.ravel(values), minlength=sorts)
    assert len(counts) == sorts
    assert stats.chisquare(counts).pvalue > ENOUGH


def assert_independent(first: npt.ArrayLike, second: npt.ArrayLike) -> None:
    """Check that one number tells nothing of the other."""
    table = stats.contingency.crosstab(np.ravel(first), np.ravel(second)).count
    assert stats.chi2_contingency(table).pvalue > ENOUGH


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_every_tile_is_as_often_in_every_cell(grid):
    tiles = grid**2
    params = draw_params(NOTHING, samples=range(COUNT), grid=grid)
    permutations = params["permutation"][:, 0, :tiles]
    assert (np.sort(permutations, axis=1) == np.arange(tiles)).all()
    for cell in range(tiles):
        assert_even(permutations[:, cell], tiles)


def test_all_permutations_of_four_tiles_are_as_frequent():
    params = draw_params(NOTHING, samples=range(COUNT), grid=2)
    seen = Counter(map(tuple, params["permutation"][:, 0, :4].tolist()))
    everyone = list(itertools.permutations(range(4)))
    assert set(seen) == set(everyone)
    assert stats.chisquare([seen[permutation] for permutation in everyone]).pvalue > ENOUGH


def test_tiles_are_turned_evenly_and_one_by_one():
    params = draw_params(NOTHING, samples=range(COUNT), pretext="rotation", grid=2)
    turns = params["turns"][:, 0, :4].astype(int)
    for cell in range(4):
        assert_even(turns[:, cell], 4)
    assert_even(turns @ [64, 16, 4, 1], 256)


def test_puzzle_rotation_turns_at_most_two_cells_evenly():
    params = draw_params(NOTHING, samples=range(COUNT), pretext="puzzle-rotation", grid=2)
    turns = params["turns"][:, 0, :4]
    turned = (turns != 0).sum(axis=1)
    assert turned.max() == 2
    # Two cells, each upright with probability 1/4.
    expected = COUNT * np.array([1, 6, 9]) / 16
    assert stats.chisquare(np.bincount(turned, minlength=3), expected).pvalue > ENOUGH
    assert_even(turns[turns != 0] - 1, 3)
    cells = [np.flatnonzero(row) for row in turns[turned == 2]]
    pairs = list(itertools.combinations(range(4), 2))
    assert_even([pairs.index(tuple(pair)) for pair in cells], 6)


def test_whole_images_are_turned_evenly():
    always = draw_params(Augmentation(turn=1.0), samples=range(COUNT))
    assert_even(always["turn"], 4)
    sometimes = draw_params(Augmentation(turn=0.4), samples=range(COUNT))["turn"]
    expected = COUNT * np.array([0.7, 0.1, 0.1, 0.1])
    assert stats.chisquare(np.bincount(sometimes[:, 0]), expected).pvalue > ENOUGH


def test_every_sample_is_as_often_in_every_place_of_an_order():
    keys = [{"seed": seed, "epoch": epoch} for seed in range(60) for epoch in range(60)]
    orders = np.array([_core.epoch_order(count=10, **key) for key in keys])
    for place in (0, 1, 4, 9):
        assert_even(orders[:, place], 10)
    assert_independent(orders[:-1, 0], orders[1:, 0])


@pytest.mark.parametrize(
    ("stage", "field"),
    [
        ("mirror", lambda params: params["mirror"]),
        ("blur", lambda params: params["blur"]),
        ("down_scale", lambda params: params["down_scale"] > 0),
        ("noise", lambda params: params["noise_scale"] > 0),
        ("cutout", lambda params: params["cutout"]["x1"] > 0),
        ("turn", lambda params: params["turn"] > 0),
    ],
)
def test_probabilities_hold(stage, field):
    for probability in (0.1, 0.5):
        params = draw_params(replace(EVERYTHING, **{stage: probability}), samples=range(COUNT))
        happened = int(np.sum(field(params)))
        expected = probability * (0.75 if stage == "turn" else 1.0)
        assert stats.binomtest(happened, COUNT, expected).pvalue > ENOUGH


def test_a_part_of_the_samples_is_puzzled():
    params = draw_params(NOTHING, samples=range(COUNT), puzzled_fraction=0.25)
    assert stats.binomtest(int(params["puzzled"].sum()), COUNT, 0.25).pvalue > ENOUGH


def test_colour_and_grey_are_drawn_apart_from_each_other():
    colours = draw_params(replace(EVERYTHING, grey=0.3), samples=range(COUNT))["color"]["m"][:, 0]
    grey = (colours[:, 0, :3] == colours[:, 1, :3]).all(axis=1)
    jittered = colours[:, 0, 3] != 0  # contrast moves the offset
    assert stats.binomtest(int(grey.sum()), COUNT, 0.3).pvalue > ENOUGH
    assert stats.binomtest(int(jittered.sum()), COUNT, 0.7).pvalue > ENOUGH
    assert_independent(grey, jittered)


def test_exactly_one_of_blur_and_down_scaling_is_as_likely_as_the_other():
    one = replace(EVERYTHING, blur=0.0, down_scale=0.0, blur_or_down_scale=0.6)
    params = draw_params(one, samples=range(COUNT))
    blurred, smaller = params["blur"][:, 0] == 1, params["down_scale"][:, 0] > 0
    assert not (blurred & smaller).any()
    counts = [blurred.sum(), smaller.sum(), (~blurred & ~smaller).sum()]
    assert stats.chisquare(counts, np.array([0.3, 0.3, 0.4]) * COUNT).pvalue > ENOUGH


def stages_of(params: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return of each stage (N, V) whether it happens, or another number of few values."""
    _, box = faces(len(params))
    side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])[:, None]
    zoom = (params["box"]["x1"] - params["box"]["x0"]) / side
    return {
        "turn": params["turn"],
        "crop": zoom > np.median(zoom),
        "mirror": params["mirror"],
        "colour": params["color"]["m"][..., 0, 3] > 0,
        "blur": params["blur"],
        "down_scale": params["down_scale"] > 0,
        "noise": params["noise_scale"] > 0,
        "cutout": params["cutout"]["x1"] > 0,
        "permutation": params["permutation"][..., 0],
    }


def test_stages_are_drawn_apart_from_each_other():
    stages = stages_of(draw_params(EVERYTHING, samples=range(COUNT)))
    for first, second in itertools.combinations(stages.values(), 2):
        assert_independent(first, second)


def test_nothing_tells_of_the_next_sample():
    for stage in stages_of(draw_params(EVERYTHING, samples=range(COUNT))).values():
        assert_independent(stage[:-1], stage[1:])


def test_one_view_tells_nothing_of_the_other_but_what_they_share():
    stages = stages_of(draw_params(EVERYTHING, samples=range(COUNT), views=2))
    for name in ("turn", "mirror"):
        shared = stages.pop(name)
        assert np.array_equal(shared[:, 0], shared[:, 1])
    for stage in stages.values():
        assert_independent(stage[:, 0], stage[:, 1])


@pytest.mark.parametrize("other", [{"epoch": 3}, {"seed": 8}, {"seed": 7 + 2**32}])
def test_nothing_tells_of_the_next_epoch_or_seed(other):
    first, second = (
        stages_of(draw_params(EVERYTHING, samples=range(COUNT), **changes))
        for changes in ({}, other)
    )
    for stage in first:
        assert_independent(first[stage], second[stage])
