"""Augmentations: the named ones, one's own, and whole samples against the references."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from augmentations import PRETEXTS, UNSHRUNK, augmentations
from fixtures_data import write_300w_lp
from hdf5_trees import write_subject
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import png, scene
from reference_render import render
from trees import write_csv

from hmtl.data import Augmentation, Dataset, Loader, open_dataset
from hmtl.data.augmentation import PRESETS, resolve_augmentation
from hmtl.errors import ConfigError

SIZES = [(40, 31), (33, 48), (52, 52), (29, 60)]
BARLOW = PRESETS["barlow"]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [np.asarray(scene(height, width, seed)) for seed, (height, width) in enumerate(SIZES)]


@pytest.fixture(scope="module")
def files(tmp_path_factory, pictures) -> Dataset:
    """PNG files with faces that lie in and beside them, and wider boxes."""
    root = tmp_path_factory.mktemp("pictures")
    table = write_csv(root, *(f"{n}.png,0,0,1,1,{9 * n},-4,2" for n in range(len(SIZES))))
    for number, picture in enumerate(pictures):
        (root / f"{number}.png").write_bytes(png(picture, 8, 2))
    face = np.array([[8, 9, 25, 30], [-3.5, 4, 20.25, 31], [10, 12, 60, 50], [3, 1, 30, 26]])
    box = face + np.array([-6, -9, 4, 5])
    dataset = open_dataset(table)
    return replace(dataset, face=face.astype(np.float32), box=box.astype(np.float32))


@settings(max_examples=60, phases=UNSHRUNK)
@given(
    augmentation=augmentations(),
    pretext=st.sampled_from(sorted(PRETEXTS)),
    grid=st.integers(2, 3),
    size=st.integers(16, 25),
    fit=st.sampled_from(["short-side", "stretch"]),
    decode=st.sampled_from(["planes", "rgb"]),
    seed=st.integers(0, 2**64 - 1),
)
def test_the_loader_renders_what_the_references_render(
    files, pictures, augmentation, pretext, grid, size, fit, decode, seed
):
    loader = Loader(
        files, batch_size=len(files), size=size, augmentation=augmentation, pretext=pretext,
        grid=grid, views=2, fit=fit, seed=seed, shuffle=False, num_threads=1, decode=decode,
        puzzled_fraction=0.7,
    )  # fmt: skip
    loader.set_epoch(3)
    batch = next(iter(loader))
    tiles = 1 if pretext == "none" else grid
    for row, picture in enumerate(pictures):
        for view in range(2):
            drawn = reference.draw_params(
                augmentation, size=size, fit=fit, pretext=pretext, grid=tiles,
                puzzled_fraction=0.7, seed=seed, epoch=3, sample=row, view=view,
                face=files.face[row], box=files.box[row],
            )  # fmt: skip
            expected = render(picture, drawn, size=size, grid=tiles, noise_of=(seed, view, row, 3))
            ours = batch.views[view][row].permute(1, 2, 0).numpy()
            assert np.array_equal(ours, expected)
            assert batch.puzzled[row] == drawn["puzzled"]
            for name in ("permutation", "turns"):
                if (labels := getattr(batch, name)) is not None:
                    assert labels[row, view].tolist() == drawn[name]


def test_level2_is_what_benchmarks_stand_on():
    level1 = Augmentation(margin=(2 / 3, 4 / 3), area=(0.64, 1.0), contrast=(0.6, 1.4))
    assert PRESETS["level1"] == level1
    assert PRESETS["level2"] == replace(
        level1, blur=0.5, down_scale=0.5, down_scale_to=(1 / 3, 1 / 2), cutout=0.5,
        cutout_area=(0.02, 0.10),
    )  # fmt: skip
    assert PRESETS["none"] == Augmentation()


def test_barlow_has_the_papers_probabilities():
    """Section 4.3; what it leaves open is in the decision on presets."""
    always, jitter, grey, one_filter = 1.0, 0.8, 0.3, 0.2
    assert Augmentation(
        turn=always, area=(0.4, 1.0), aspect=(3 / 4, 4 / 3), off_centre=1.0, color=jitter,
        brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.8, 1.2), hue=(-36.0, 36.0),
        grey=grey, blur_or_down_scale=one_filter, down_scale_to=(1 / 3, 1 / 2), noise=always,
        noise_deviation=(0.05, 0.05), cutout=always, cutout_area=(0.02, 0.10),
    ) == BARLOW  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("xgaze", {"area", "hue"}),
        (
            "xgaze-heavy",
            {
                "area", "hue", "brightness", "contrast", "noise", "noise_deviation", "cutout",
                "cutout_area",
            },
        ),
    ],
)  # fmt: skip
def test_presets_of_eth_xgaze_have_the_papers_stages_and_no_others(name, stages):
    neutral, preset = Augmentation().as_dict(), PRESETS[name].as_dict()
    assert {key for key in preset if preset[key] != neutral[key]} == stages


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory) -> Dataset:
    root = tmp_path_factory.mktemp("jpeg")
    return open_dataset(write_300w_lp(root, count=9, subjects=3, size=90))


@pytest.fixture(scope="module")
def lzf(tmp_path_factory) -> Dataset:
    root = tmp_path_factory.mktemp("lzf")
    images = np.stack([np.asarray(scene(64, 64, seed)) for seed in range(9)])
    labels = np.deg2rad(np.linspace(-40, 40, 18).reshape(9, 2))
    write_subject(root / "train" / "subject0000.h5", images, labels)
    return open_dataset(root, layout="eth-xgaze")


@pytest.mark.parametrize("source", ["jpeg", "lzf"])
@pytest.mark.parametrize("pretext", ["none", "puzzle"])
def test_two_views_for_barlow_twins(request, source, pretext):
    dataset = request.getfixturevalue(source)
    options = {"batch_size": 9, "size": 48, "views": 2, "pretext": pretext, "shuffle": False}
    batch = next(iter(Loader(dataset, augmentation="barlow", **options)))
    assert len(batch.views) == 2
    for row in range(9):
        assert not torch.equal(batch.views[0][row], batch.views[1][row])
    if pretext == "none":
        assert batch.permutation is None
        return
    assert batch.permutation.shape == (9, 2, 9)
    assert (batch.permutation[:, 0] != batch.permutation[:, 1]).any(dim=1).all()
    # Without the cutout, which comes last, untiling gives the views that are not puzzled.
    uncut = replace(BARLOW, cutout=0.0)
    whole = next(iter(Loader(dataset, augmentation=uncut, **{**options, "pretext": "none"})))
    tiled = next(iter(Loader(dataset, augmentation=uncut, **options)))
    assert torch.equal(tiled.pose.nan_to_num(1e3), whole.pose.nan_to_num(1e3))
    for view in range(2):
        for row in range(9):
            image = tiled.views[view][row].permute(1, 2, 0).numpy()
            untiled = reference.untile(image, 3, tiled.permutation[row, view].tolist(), [0] * 9)
            assert np.array_equal(untiled, whole.views[view][row].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("source", ["jpeg", "lzf"])
def test_barlow_views_are_the_same_for_any_threads_and_batches(request, source):
    dataset = request.getfixturevalue(source)
    passes = []
    for threads, size in [(1, 1), (3, 2), (7, 64)]:
        loader = Loader(
            dataset, batch_size=size, size=40, views=2, augmentation="barlow", drop_last=False,
            num_threads=threads,
        )  # fmt: skip
        passes.append(
            {
                int(batch.index[row]): [view[row].numpy().tobytes() for view in batch.views]
                for batch in loader
                for row in range(len(batch))
            }
        )
    assert passes[0] == passes[1] == passes[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blurr": 0.5}, "unknown augmentation key 'blurr', expected one of"),
        ({"blur": 1.5}, r"augmentation blur must lie in \[0, 1\], got 1.5"),
        ({"blur": "often"}, "augmentation blur must be a number, got 'often'"),
        ({"mirror": True}, "augmentation mirror must be a number, got True"),
        ({"grey": float("nan")}, r"augmentation grey must lie in \[0, 1\], got nan"),
        (
            {"contrast": [1.4, 0.6]},
            r"contrast must lie in \[0, 4\], the lower one first, got \[1.4, 0.6\]",
        ),
        ({"contrast": 1.0}, "augmentation contrast must be a pair of numbers, got 1.0"),
        ({"hue": [1, 2, 3]}, r"augmentation hue must be a pair of numbers, got \[1, 2, 3\]"),
        ({"area": [0.0, 1.0]}, r"augmentation area must lie in \[0.0001, 1\]"),
        ({"aspect": [0.01, 1.0]}, r"augmentation aspect must lie in \[0.1, 10\]"),
        ({"off_centre": -1}, r"augmentation off_centre must lie in \[0, 1\], got -1"),
        ({"noise_deviation": [0, 1.5]}, r"noise_deviation must lie in \[0, 1\]"),
        (
            {"blur_or_down_scale": 0.2, "down_scale": 0.5},
            "exactly one of the two: down_scale must be 0 beside it, got 0.5",
        ),
        ({"base": "barlow", "blur": 0.1}, "one of the two: blur must be 0 beside it, got 0.1"),
        ({"base": "level9"}, "augmentation base must be one of .*'level2'.*, got 'level9'"),
        ({"base": 2}, "augmentation base must be one of .*, got 2"),
    ],
)
def test_bad_augmentations_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        Augmentation.from_dict(values)


@given(augmentations())
def test_an_augmentation_survives_its_dictionary(augmentation):
    assert Augmentation.from_dict(augmentation.as_dict()) == augmentation


def test_an_augmentation_can_come_from_a_toml_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("mirror = 0.5\ncontrast = [0.9, 1.1]\n")
    assert resolve_augmentation(path) == Augmentation(mirror=0.5, contrast=(0.9, 1.1))
    assert resolve_augmentation(str(path)) == resolve_augmentation(path)


def test_a_toml_file_can_change_a_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "level2"\ncutout = 0\nhue = [-10, 10]\n')
    assert resolve_augmentation(path) == replace(PRESETS["level2"], cutout=0, hue=(-10, 10))


def test_an_augmentation_goes_through_to_the_loader(tmp_path, jpeg):
    path = tmp_path / "mine.toml"
    path.write_text('base = "level1"\nmirror = 1\n')
    options = {"batch_size": 9, "size": 32, "shuffle": False}
    ours = next(iter(Loader(jpeg, augmentation=path, **options)))
    theirs = replace(PRESETS["level1"], mirror=1.0)
    assert torch.equal(ours.images, next(iter(Loader(jpeg, augmentation=theirs, **options))).images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blur = 2\n", r"augmentation blur must lie in \[0, 1\], got 2 \(.*mine\.toml\)$"),
        ('base = "levle2"\n', r"augmentation base must be one of .*'levle2' \(.*mine\.toml\)$"),
        ("[color]\nhue = 1\n", r"augmentation color must be a number, .* \(.*mine\.toml\)$"),
        ("blur = \n", r"mine\.toml is not valid TOML: Invalid value"),
        (b"\xff\xfe", r"mine\.toml is not valid TOML: .*utf-8"),
    ],
)
def test_errors_of_a_toml_file_name_it(tmp_path: Path, text, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        resolve_augmentation(path)


def test_what_is_no_augmentation_is_named(tmp_path):
    with pytest.raises(ConfigError, match="unknown augmentation 'level9', expected one of"):
        resolve_augmentation("level9")
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.toml: No such file"):
        resolve_augmentation(tmp_path / "missing.toml")
