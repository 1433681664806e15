"""What is drawn: equal to the reference's drawing, in its range, and a pure function."""

from dataclasses import fields, replace

import numpy as np
import pytest
import reference
from augmentations import (
    EVERYTHING,
    FITS,
    PRETEXTS,
    UNSHRUNK,
    augmentations,
    draw_params,
    faces,
    ranges,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hmtl import _core
from hmtl.data import Augmentation
from hmtl.data.augmentation import PRESETS

NUMBERS = ("turn", "mirror", "blur", "down_scale", "noise_scale", "puzzled")
ALONE = {"pretext": "none", "grid": 1}


def source_of(noise_scale: int, seed: int, view: int, sample: int, epoch: int) -> dict:
    if noise_scale == 0:
        return {"key": [0, 0], "counter": [0, 0, 0]}
    return {
        "key": [seed & 0xFFFFFFFF, seed >> 32],
        "counter": [reference.Stream.PURPOSES.index("noise-pixels") | view << 16, sample, epoch],
    }


@settings(phases=UNSHRUNK)
@given(
    augmentation=augmentations(),
    pretext=st.sampled_from(sorted(PRETEXTS)),
    grid=st.integers(2, 8),
    size=st.integers(8, 300),
    fit=st.sampled_from(sorted(FITS)),
    puzzled_fraction=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**32 - 2),
)
def test_draws_equal_the_reference(
    augmentation, pretext, grid, size, fit, puzzled_fraction, seed, epoch, first
):
    tiles = 1 if pretext == "none" else grid
    options = {
        "pretext": pretext, "grid": tiles, "size": size, "fit": fit,
        "puzzled_fraction": puzzled_fraction, "seed": seed, "epoch": epoch,
    }  # fmt: skip
    samples = [first, first + 1]
    params = draw_params(augmentation, samples=samples, views=2, **options)
    face, box = faces(2)
    for row, sample in enumerate(samples):
        for view in range(2):
            drawn = params[row, view]
            expected = reference.draw_params(
                augmentation, sample=sample, view=view, face=face[row], box=box[row], **options
            )
            names = ("brightness", "contrast", "saturation", "hue", "grey")
            matrix = _core.color_matrix(**dict(zip(names, expected["color"], strict=True)))
            assert np.array_equal(np.array(drawn["box"].tolist(), np.float32), expected["box"])
            assert np.array_equal(drawn["color"]["m"], matrix)
            assert tuple(drawn["cutout"].tolist()) == expected["cutout"]
            assert {key: drawn[key] for key in NUMBERS} == {key: expected[key] for key in NUMBERS}
            source = source_of(expected["noise_scale"], seed, view, sample, epoch)
            assert {key: drawn["noise"][key].tolist() for key in source} == source
            for key in ("permutation", "turns"):
                assert drawn[key][: tiles**2].tolist() == expected[key]


def test_draws_do_not_depend_on_their_company():
    alone = draw_params(EVERYTHING, samples=[5], views=1)
    together = draw_params(EVERYTHING, samples=[5, 9, 11], views=2)
    assert alone[0, 0].tobytes() == together[0, 0].tobytes()


def test_a_stage_that_is_switched_off_leaves_the_others_draws_alone():
    before = draw_params(EVERYTHING, samples=range(20))
    belongs = {
        "turn": {"turn"}, "mirror": {"mirror"}, "color": {"color"}, "grey": {"color"},
        "off_centre": {"box"}, "blur": {"blur"}, "down_scale": {"down_scale"},
        "noise": {"noise", "noise_scale"}, "cutout": {"cutout"},
    }  # fmt: skip
    for name, own in belongs.items():
        after = draw_params(replace(EVERYTHING, **{name: 0.0}), samples=range(20))
        for field in before.dtype.names:
            same = before[field].tobytes() == after[field].tobytes()
            assert same == (field not in own), (name, field)


def test_views_differ_but_share_turn_mirror_and_puzzled():
    params = draw_params(EVERYTHING, samples=range(200), views=2, puzzled_fraction=0.5)
    for shared in ("turn", "mirror", "puzzled"):
        assert np.array_equal(params[shared][:, 0], params[shared][:, 1])
    assert (params["color"]["m"][:, 0] != params["color"]["m"][:, 1]).any(axis=(1, 2)).mean() > 0.8
    both = params["puzzled"][:, 0] == 1
    differ = (params["permutation"][both, 0] != params["permutation"][both, 1]).any(axis=1)
    assert differ.mean() > 0.95


def edges_of(params: np.ndarray) -> np.ndarray:
    return np.stack([params["box"][:, 0][edge] for edge in ("x0", "y0", "x1", "y1")], axis=-1)


def test_none_renders_the_centred_square_of_the_box():
    drawn = edges_of(draw_params(PRESETS["none"], samples=range(50), **ALONE))
    _, box = faces(50)
    side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    assert np.allclose(drawn[:, 2] - drawn[:, 0], side, atol=1e-4)
    assert np.allclose(drawn[:, :2] + drawn[:, 2:], box[:, :2] + box[:, 2:], atol=1e-3)
    exact = draw_params(PRESETS["none"], samples=range(50), fit="stretch", **ALONE)
    assert np.allclose(edges_of(exact), box, atol=1e-4)


def crops(augmentation: Augmentation, count: int) -> tuple[np.ndarray, ...]:
    """Centre (N, 2) and sides (N, 2) of crops as shares of the square that they are drawn in."""
    edges = edges_of(draw_params(augmentation, samples=range(count), **ALONE))
    _, box = faces(count)
    side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])[:, None]
    origin = (box[:, :2] + box[:, 2:] - side) / 2
    inside = (edges - np.concatenate([origin, origin], axis=1)) / side
    return (inside[:, :2] + inside[:, 2:]) / 2, inside[:, 2:] - inside[:, :2]


@given(area=ranges(0.05, 1.0), aspect=ranges(0.2, 5.0), off_centre=st.floats(0.0, 1.0))
def test_a_crop_keeps_its_share_of_the_area_inside_its_square(area, aspect, off_centre):
    augmentation = Augmentation(area=area, aspect=aspect, off_centre=off_centre)
    centre, sides = crops(augmentation, 40)
    kept, shape = sides.prod(axis=1), sides[:, 0] / sides[:, 1]
    assert ((area[0] - 1e-4 <= kept) & (kept <= area[1] + 1e-4)).all()
    # As near to the range as fits: a part of the square is not narrower than its own area.
    narrowest, widest = (np.clip(edge, kept, 1 / kept) for edge in aspect)
    assert ((narrowest * 0.999 <= shape) & (shape <= widest * 1.001)).all()
    room = (1 - sides) / 2
    assert (np.abs(centre - 0.5) <= off_centre * room + 1e-4).all()


def test_crops_lie_evenly_in_their_room_and_aspects_evenly_on_a_logarithmic_scale():
    augmentation = Augmentation(area=(0.3, 0.5), aspect=(0.6, 1.5), off_centre=0.6)
    centre, sides = crops(augmentation, 5000)
    place = (centre - 0.5) / (1 - sides) / 0.6 + 0.5
    for axis in range(2):
        assert stats.kstest(place[:, axis], "uniform").pvalue > 1e-4
    logarithm = np.log(sides[:, 0] / sides[:, 1])
    span = stats.uniform(np.log(0.6), np.log(1.5) - np.log(0.6))
    assert stats.kstest(logarithm, span.cdf).pvalue > 1e-4
    assert stats.kstest(sides.prod(axis=1), stats.uniform(0.3, 0.2).cdf).pvalue > 1e-4
    drawn = np.column_stack([place, logarithm, sides.prod(axis=1)])
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.06


def test_a_central_zoom_stays_in_the_middle():
    centre, sides = crops(Augmentation(area=(0.3, 1.0)), 50)
    assert np.allclose(centre, 0.5, atol=1e-5)
    assert np.allclose(sides[:, 0], sides[:, 1], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_epoch_order_equals_the_reference(count):
    order = _core.epoch_order(seed=2**40 + 3, epoch=4, count=count)
    expected = reference.Stream(2**40 + 3, "order", 0, 0, 4).shuffled(count)
    assert order.tolist() == expected


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(_core.epoch_order(seed=seed, epoch=epoch, count=50).tolist())
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(orders) == 16


def test_the_core_knows_every_stage_of_an_augmentation():
    core = EVERYTHING.to_core()
    for field in fields(Augmentation):
        assert hasattr(core, field.name)
