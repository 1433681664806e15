"""What is drawn: equal to the reference's drawing, uniform, and a pure function."""

from dataclasses import fields, replace

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hmtl import _core
from hmtl.data.augmentation import PRESETS, Augmentation, resolve_augmentation
from hmtl.errors import ConfigError

FITS = {"short-side": 0, "stretch": 1}
PRETEXTS = {"none": 0, "puzzle": 1, "rotation": 2, "puzzle-rotation": 3}

EVERYTHING = Augmentation(
    turn=0.8,
    margin=(0.5, 1.5),
    area=(0.3, 1.0),
    aspect=(0.7, 1.5),
    off_centre=0.8,
    mirror=0.5,
    color=0.7,
    brightness=(0.6, 1.4),
    contrast=(0.6, 1.4),
    saturation=(0.8, 1.2),
    hue=(-36.0, 36.0),
    grey=0.3,
    blur=0.5,
    down_scale=0.5,
    down_scale_to=(0.3, 0.5),
    noise=0.7,
    noise_deviation=(0.02, 0.1),
    cutout=0.6,
    cutout_area=(0.02, 0.3),
)
ONE_FILTER = replace(EVERYTHING, blur=0.0, down_scale=0.0, blur_or_down_scale=0.6)


def draw(augmentation, samples, *, pretext="puzzle", grid=3, size=224, views=1, **changes):
    count = len(samples)
    rng = np.random.default_rng(3)
    face = rng.uniform(50, 100, (count, 4)).astype(np.float32)
    face[:, 2:] += 100
    box = face + np.array([-30, -60, 30, 20], dtype=np.float32)
    options = {"fit": "short-side", "puzzled_fraction": 1.0, "seed": 7, "epoch": 2, **changes}
    settings = _core.DrawSettings(
        augmentation=augmentation.to_core(),
        fit=FITS[options["fit"]],
        pretext=PRETEXTS[pretext],
        grid=grid,
        size=size,
        puzzled_fraction=options["puzzled_fraction"],
    )
    params = _core.draw_params(
        settings=settings,
        seed=options["seed"],
        epoch=options["epoch"],
        samples=np.asarray(samples, dtype=np.int64),
        views=views,
        face=face,
        box=box,
    )
    return params, face, box, options


@pytest.mark.parametrize("augmentation", [EVERYTHING, ONE_FILTER])
@pytest.mark.parametrize("pretext", PRETEXTS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_draws_equal_the_reference(augmentation, pretext, fit, fraction):
    samples = [0, 1, 5, 17, 122_449, 2**31]
    grid = 1 if pretext == "none" else 3
    params, face, box, options = draw(
        augmentation, samples, pretext=pretext, grid=grid, views=2, fit=fit,
        puzzled_fraction=fraction, seed=2**63 + 11,
    )  # fmt: skip
    for row, sample in enumerate(samples):
        for view in range(2):
            expected = reference.draw_params(
                augmentation, size=224, pretext=pretext, grid=grid, sample=sample, view=view,
                face=face[row], box=box[row], **options,
            )  # fmt: skip
            drawn = params[row, view]
            b, c, s, h, grey = expected["color"]
            matrix = _core.color_matrix(brightness=b, contrast=c, saturation=s, hue=h, grey=grey)
            assert np.array_equal(np.array(drawn["box"].tolist(), np.float32), expected["box"])
            assert np.array_equal(drawn["color"]["m"], matrix)
            assert tuple(drawn["cutout"].tolist()) == expected["cutout"]
            for key in ("turn", "mirror", "blur", "down_scale", "noise_scale", "puzzled"):
                assert drawn[key] == expected[key], key
            source = {"key": [0, 0], "counter": [0, 0, 0]}
            if expected["noise_scale"]:
                seed, epoch = options["seed"], options["epoch"]
                source = {
                    "key": [seed & 0xFFFFFFFF, seed >> 32],
                    "counter": [10 | view << 16, sample, epoch],
                }
            assert {key: drawn["noise"][key].tolist() for key in source} == source
            assert drawn["permutation"][: grid**2].tolist() == expected["permutation"]
            assert drawn["turns"][: grid**2].tolist() == expected["turns"]


def test_draws_do_not_depend_on_their_company():
    alone, *_ = draw(EVERYTHING, [5], views=1)
    together, *_ = draw(EVERYTHING, [5, 9, 11], views=2)
    assert np.array_equal(alone[0, 0]["color"]["m"], together[0, 0]["color"]["m"])
    for key in ("turn", "mirror", "blur", "down_scale", "cutout", "permutation", "turns"):
        assert alone[0, 0][key].tolist() == together[0, 0][key].tolist()


def test_views_differ_but_share_turn_mirror_and_puzzled():
    params, *_ = draw(EVERYTHING, range(200), views=2, puzzled_fraction=0.5)
    for shared in ("turn", "mirror", "puzzled"):
        assert np.array_equal(params[shared][:, 0], params[shared][:, 1])
    assert (params["color"]["m"][:, 0] != params["color"]["m"][:, 1]).any(axis=(1, 2)).mean() > 0.8
    both = params["puzzled"][:, 0] == 1
    differ = (params["permutation"][both, 0] != params["permutation"][both, 1]).any(axis=1)
    assert differ.mean() > 0.95


def test_none_renders_the_centred_square_of_the_box():
    params, _, box, _ = draw(PRESETS["none"], range(50), pretext="none", grid=1)
    drawn = np.array([list(p.tolist()) for p in params["box"][:, 0]])
    side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    assert np.allclose(drawn[:, 2] - drawn[:, 0], side, atol=1e-4)
    assert np.allclose(drawn[:, :2] + drawn[:, 2:], box[:, :2] + box[:, 2:], atol=1e-3)
    exact, _, box, _ = draw(PRESETS["none"], range(50), pretext="none", grid=1, fit="stretch")
    assert np.allclose(np.array([list(p.tolist()) for p in exact["box"][:, 0]]), box, atol=1e-4)


def crops(augmentation: Augmentation, count: int) -> tuple[np.ndarray, ...]:
    """Centre (N, 2) and sides (N, 2) of crops as shares of the square that they are drawn in."""
    params, _, box, _ = draw(augmentation, range(count), pretext="none", grid=1)
    edges = np.stack([params["box"][:, 0][edge] for edge in ("x0", "y0", "x1", "y1")], axis=-1)
    side = np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])[:, None]
    origin = (box[:, :2] + box[:, 2:] - side) / 2
    inside = (edges - np.concatenate([origin, origin], axis=1)) / side
    return (inside[:, :2] + inside[:, 2:]) / 2, inside[:, 2:] - inside[:, :2]


@given(
    area=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)).map(sorted).map(tuple),
    aspect=st.tuples(st.floats(0.2, 5.0), st.floats(0.2, 5.0)).map(sorted).map(tuple),
    off_centre=st.floats(0.0, 1.0),
)
def test_a_crop_keeps_its_share_of_the_area_inside_its_square(area, aspect, off_centre):
    augmentation = Augmentation(area=area, aspect=aspect, off_centre=off_centre)
    centre, sides = crops(augmentation, 40)
    kept, shape = sides.prod(axis=1), sides[:, 0] / sides[:, 1]
    assert ((area[0] - 1e-4 <= kept) & (kept <= area[1] + 1e-4)).all()
    # As near to the range as fits: a part of the square is not narrower than its own area.
    nearest = np.clip(
        [[low, high] for low, high in [aspect] * 40], kept[:, None], 1 / kept[:, None]
    )
    assert ((nearest[:, 0] * 0.999 <= shape) & (shape <= nearest[:, 1] * 1.001)).all()
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


def test_permutations_and_turns_are_uniform():
    params, *_ = draw(PRESETS["none"], range(9000), pretext="puzzle", grid=3)
    tiles = params["permutation"][:, 0, :9]
    assert (np.sort(tiles, axis=1) == np.arange(9)).all()
    counts = np.array([np.bincount(tiles[:, cell], minlength=9) for cell in range(9)])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4
    params, *_ = draw(PRESETS["none"], range(9000), pretext="rotation", grid=2)
    turns = params["turns"][:, 0, :4].ravel()
    assert stats.chisquare(np.bincount(turns, minlength=4)).pvalue > 1e-4


def test_puzzle_rotation_turns_at_most_two_cells():
    params, *_ = draw(PRESETS["none"], range(4000), pretext="puzzle-rotation", grid=2)
    turned = (params["turns"][:, 0, :4] != 0).sum(axis=1)
    assert turned.max() == 2
    # Two cells, each upright with probability 1/4.
    expected = 4000 * np.array([1 / 16, 6 / 16, 9 / 16])
    assert stats.chisquare(np.bincount(turned, minlength=3), expected).pvalue > 1e-4


def test_probabilities_hold():
    params, *_ = draw(EVERYTHING, range(20_000), puzzled_fraction=0.25)
    one = params[:, 0]
    rates = {
        "mirror": (one["mirror"], 0.5),
        "blur": (one["blur"], 0.5),
        "down_scale": (one["down_scale"] > 0, 0.5),
        "cutout": (one["cutout"]["x1"] > 0, 0.6),
        "puzzled": (one["puzzled"], 0.25),
    }
    for name, (happened, probability) in rates.items():
        assert abs(np.mean(happened) - probability) < 0.015, name


def test_exactly_one_of_blur_and_down_scaling_is_as_likely_as_the_other():
    params, *_ = draw(ONE_FILTER, range(20_000))
    blurred, smaller = params["blur"][:, 0] == 1, params["down_scale"][:, 0] > 0
    assert not (blurred & smaller).any()
    counts = [blurred.sum(), smaller.sum(), (~blurred & ~smaller).sum()]
    assert stats.chisquare(counts, np.array([0.3, 0.3, 0.4]) * 20_000).pvalue > 1e-4


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


def test_level2_is_what_benchmarks_stand_on():
    level2 = PRESETS["level2"]
    assert (level2.area, level2.contrast) == ((0.64, 1.0), (0.6, 1.4))
    assert (level2.blur, level2.down_scale, level2.down_scale_to) == (0.5, 0.5, (1 / 3, 1 / 2))
    assert (level2.cutout, level2.cutout_area) == (0.5, (0.02, 0.10))
    level1 = PRESETS["level1"]
    assert (
        replace(level1, area=(1.0, 1.0), contrast=(1.0, 1.0), margin=(1.0, 1.0)) == Augmentation()
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blurr": 0.5}, "unknown augmentation key 'blurr', expected one of"),
        ({"blur": 1.5}, r"augmentation blur must lie in \[0, 1\], got 1.5"),
        ({"contrast": [1.4, 0.6]}, "augmentation contrast must lie in"),
        ({"contrast": 1.0}, "augmentation contrast must be a pair of numbers, got 1.0"),
        ({"area": [0.0, 1.0]}, "augmentation area must lie in"),
        (
            {"blur_or_down_scale": 0.2, "down_scale": 0.5},
            "exactly one of the two: down_scale must be 0 beside it, got 0.5",
        ),
        ({"blur_or_down_scale": 1, "blur": 0.1}, "one of the two: blur must be 0 beside it"),
    ],
)
def test_bad_augmentations_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        Augmentation.from_dict(values)


def test_an_augmentation_can_come_from_a_toml_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("mirror = 0.5\ncontrast = [0.9, 1.1]\n")
    assert resolve_augmentation(path) == Augmentation(mirror=0.5, contrast=(0.9, 1.1))
    with pytest.raises(ConfigError, match="unknown augmentation 'level9', expected one of"):
        resolve_augmentation("level9")
    with pytest.raises(ConfigError, match="cannot read augmentation"):
        resolve_augmentation(tmp_path / "missing.toml")
