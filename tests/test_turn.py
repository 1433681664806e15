"""Turns of the whole image: turned first, then cropped, with its planes, box and pose."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from hdf5_trees import write_subject
from hypothesis import given
from hypothesis import strategies as st
from pictures import png, rgb, scene
from reference_render import turned_box
from trees import write_csv

from hmtl import _core, pose
from hmtl.data import Augmentation, Dataset, Loader, open_dataset

SEED = 22
TURNED = Augmentation(turn=1.0)
# Height, width and box of each picture: odd and even sides, boxes that leave them on every side.
PICTURES = [
    (61, 75, (10.0, 12.5, 58.0, 49.75)),
    (60, 75, (-9.5, 4.0, 30.25, 70.0)),
    (61, 74, (30.0, -20.0, 90.0, 30.5)),
    (33, 34, (0.0, 0.0, 34.0, 33.0)),
    (120, 47, (5.0, 80.0, 46.0, 119.0)),
    (47, 121, (70.25, 3.0, 133.0, 52.0)),
    (90, 90, (20.0, 25.0, 61.0, 66.0)),
    (91, 45, (-30.0, -40.0, 75.0, 131.0)),
]
COUNT = len(PICTURES)
OPTIONS = {"batch_size": COUNT, "shuffle": False, "seed": SEED, "size": 32, "pretext": "none"}


def turns_of(samples: int, epoch: int = 0) -> list[int]:
    """What the definition draws for a probability of 1."""
    drawn = []
    for sample in range(samples):
        stream = reference.Stream(SEED, "turn", 0, sample, epoch)
        assert stream.chance(1.0)
        drawn.append(stream.below(4))
    return drawn


def poses(roll: float = 5.0) -> np.ndarray:
    angles = np.linspace(-50.0, 50.0, COUNT)
    return np.stack([angles, -0.6 * angles[::-1], np.full(COUNT, roll)], axis=-1).astype(np.float32)


def write_files(root: Path, files: list[bytes], suffix: str, boxes: list) -> Dataset:
    """Write pictures with a CSV of their boxes."""
    rows = [
        f"{number}.{suffix},{','.join(map(str, box))},0,0,0" for number, box in enumerate(boxes)
    ]
    table = write_csv(root, *rows)
    for number, data in enumerate(files):
        (root / f"{number}.{suffix}").write_bytes(data)
    return open_dataset(table)


def turned_beforehand(root: Path, pixels: list[np.ndarray]) -> Dataset:
    """Write what the loader should make of pictures: PNG files that are turned already."""
    turns = turns_of(COUNT)
    assert set(turns) == {0, 1, 2, 3}
    files = [png(np.rot90(p, k), 8, 2) for p, k in zip(pixels, turns, strict=True)]
    boxes = [
        turned_box(box, k, height, width)
        for (height, width, box), k in zip(PICTURES, turns, strict=True)
    ]
    return write_files(root, files, "png", boxes)


def with_pose(dataset: Dataset, angles: np.ndarray, convention: str = "euler") -> Dataset:
    return replace(dataset, pose=angles.astype(np.float32), convention=convention)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Dataset:
    pixels = [np.asarray(scene(h, w, seed)) for seed, (h, w, _) in enumerate(PICTURES)]
    files = [png(p, 8, 2) for p in pixels]
    return write_files(tmp_path_factory.mktemp("a"), files, "png", [box for *_, box in PICTURES])


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> Dataset:
    pixels = [np.asarray(scene(h, w, seed)) for seed, (h, w, _) in enumerate(PICTURES)]
    return turned_beforehand(tmp_path_factory.mktemp("turned"), pixels)


@given(
    seed=st.integers(0, 100),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    quarters=st.integers(0, 3),
)
def test_a_turn_moves_pixels_as_rot90_does(seed, height, width, channels, quarters):
    shape = (height, width, channels)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    turned = _core.turn(image=image, quarters=quarters)
    assert np.array_equal(turned, np.rot90(image, quarters))
    assert np.array_equal(_core.turn(image=turned, quarters=-quarters % 4), image)


@pytest.mark.parametrize("quarters", [-1, 4])
def test_a_turn_is_0_to_3_quarters(quarters):
    with pytest.raises(ValueError, match=f"cannot be turned by {quarters} quarters"):
        _core.turn(image=np.zeros((3, 5, 3), np.uint8), quarters=quarters)


@pytest.mark.parametrize("decode", ["planes", "rgb"])
@pytest.mark.parametrize("fit", ["short-side", "stretch"])
@pytest.mark.parametrize(("convention", "roll"), [("euler", 5.0), ("direction", np.nan)])
def test_turning_is_loading_pictures_that_were_turned(
    stored, turned, decode, fit, convention, roll
):
    angles = poses(roll)
    clockwise = [-90.0 * k for k in turns_of(COUNT)]
    after = pose.in_plane_turn(angles, clockwise, convention)
    options = {**OPTIONS, "fit": fit, "decode": decode}
    ours = Loader(with_pose(stored, angles, convention), augmentation=TURNED, **options)
    theirs = Loader(with_pose(turned, after, convention), augmentation="none", **options)
    ours, theirs = next(iter(ours)), next(iter(theirs))
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.pose.nan_to_num(1e3), theirs.pose.nan_to_num(1e3))


def test_pixels_of_a_jpeg_turn_as_those_of_a_png(tmp_path):
    """Only a part of a JPEG is decoded; it must be the part that the turned crop needs."""
    files = []
    for seed, (height, width, _) in enumerate(PICTURES):
        file = io.BytesIO()
        scene(height, width, seed).save(file, "jpeg", quality=95)
        files.append(file.getvalue())
    boxes = [box for *_, box in PICTURES]
    jpeg = write_files(tmp_path / "jpeg", files, "jpg", boxes)
    pixels = [rgb(_core.decode(data=data, codec=0, name="a")) for data in files]
    options = {**OPTIONS, "size": 64, "decode": "rgb"}  # too fine for a scaled transform
    theirs = Loader(turned_beforehand(tmp_path / "png", pixels), augmentation="none", **options)
    ours = next(iter(Loader(jpeg, augmentation=TURNED, **options)))
    assert torch.equal(ours.images, next(iter(theirs)).images)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [64, 9])
def test_the_planes_of_a_jpeg_are_turned_one_by_one(tmp_path, subsampling, size):
    """Chroma of odd sides reaches half a sample beyond the picture and turns with it."""
    files = []
    for seed, (height, width, _) in enumerate(PICTURES):
        file = io.BytesIO()
        scene(height, width, seed).save(file, "jpeg", quality=95, subsampling=subsampling)
        files.append(file.getvalue())
    dataset = write_files(tmp_path, files, "jpg", [box for *_, box in PICTURES])
    options = {**OPTIONS, "size": size, "fit": "stretch"}
    batch = next(iter(Loader(dataset, augmentation=TURNED, **options)))
    for row, k in enumerate(turns_of(COUNT)):
        box = PICTURES[row][2]
        finest = min(box[2] - box[0], box[3] - box[1]) / size
        whole = _core.decode(
            data=files[row], codec=0, name="a", planes=True, pixels_per_output=finest
        )
        small = []
        for number, plane in enumerate(whole["planes"]):
            sx, sy = plane["scale_x"], plane["scale_y"]
            scaled = (box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy)
            grid = plane["pixels"]
            edges = turned_box(scaled, k, *grid.shape[:2])
            border = 128 if number else 0
            small.append(reference.crop_resize(np.rot90(grid, k), edges, (size, size), border))
        expected = small[0]  # RGB where the inverse transform was scaled
        if whole["space"] == "ycc":
            expected = _core.apply_color_ycc(
                y=small[0], cb=small[1], cr=small[2], matrix=_core.color_matrix()
            )
        assert np.array_equal(batch.images[row].permute(1, 2, 0).numpy(), expected)


def test_chunks_turn_with_their_directions(tmp_path):
    images = np.stack([np.asarray(scene(40, 40, seed)) for seed in range(COUNT)])
    angles = np.deg2rad(poses()[:, [1, 0]])
    write_subject(tmp_path / "train" / "subject0000.h5", images[..., ::-1], angles)
    dataset = open_dataset(tmp_path, layout="eth-xgaze")
    assert dataset.convention == "direction"
    batch = next(iter(Loader(dataset, augmentation=TURNED, **{**OPTIONS, "size": 40})))
    left, up = np.moveaxis(np.deg2rad(poses()[:, :2]), -1, 0)
    facing = np.stack([np.cos(up) * np.sin(left), np.sin(up)], axis=-1)
    for row, k in enumerate(turns_of(COUNT)):
        image = batch.images[row].permute(1, 2, 0).numpy()
        assert np.array_equal(image, np.rot90(images[row], k))
        x, y = facing[row]
        for _ in range(k):  # counter-clockwise: what was up is left now
            x, y = y, -x
        yaw, pitch = np.deg2rad(batch.pose[row, :2].numpy())
        assert np.allclose([np.cos(pitch) * np.sin(yaw), np.sin(pitch)], [x, y], atol=1e-5)
        assert torch.isnan(batch.pose[row, 2])


def test_views_share_the_turn_and_the_mirror_comes_after_it(stored):
    dataset = with_pose(stored, poses())
    options = {**OPTIONS, "views": 2}
    both = next(iter(Loader(dataset, augmentation=TURNED, **options)))
    assert torch.equal(both.views[0], both.views[1])
    mirrored = replace(TURNED, mirror=1.0)
    after = next(iter(Loader(dataset, augmentation=mirrored, **options)))
    assert torch.equal(after.images, both.images.flip(-1))
    assert np.array_equal(after.pose.numpy(), pose.mirror(both.pose.numpy()))


def test_epochs_turn_anew(stored):
    loader = Loader(stored, augmentation=TURNED, **OPTIONS)
    first, second = next(iter(loader)), None
    loader.set_epoch(1)
    second = next(iter(loader))
    same = [a == b for a, b in zip(turns_of(COUNT), turns_of(COUNT, epoch=1), strict=True)]
    assert not all(same)
    for row in range(COUNT):
        assert torch.equal(first.images[row], second.images[row]) == same[row]


def test_views_of_one_sample_cannot_be_turned_differently(stored):
    draw = _core.draw_params(
        settings=_core.DrawSettings(
            augmentation=TURNED.to_core(), fit=0, pretext=0, grid=1, size=32, puzzled_fraction=1.0
        ),
        seed=0, epoch=0, samples=np.array([0]), views=2, face=stored.face[:1], box=stored.box[:1],
    )  # fmt: skip
    renderer = _core.BatchRenderer([path.encode() for path in stored.paths()], 1)
    for turns in ((0, 1), (4, 4)):
        draw["turn"][0] = turns
        ticket = renderer.submit(
            extent=stored.extent[:1],
            params=draw,
            images=[np.zeros((1, 32, 32, 3), np.uint8) for _ in range(2)],
            permutation=np.zeros((1, 2, 1), np.int64),
            turns=np.zeros((1, 2, 1), np.int64),
            pose=np.zeros((1, 3), np.float32),
            settings=_core.RenderSettings(
                size=32, grid=1, planes=True, ignore_exif=False, max_pixels=10**6
            ),
        )
        bad, _, _ = renderer.wait(ticket)
        assert "the views of a sample have one turn of 0 … 3 quarters" in bad[0][1]
