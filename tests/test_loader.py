"""What is in the batches: the same bytes whatever the company, right labels, the stages."""

import time

import numpy as np
import pytest
import reference
import torch
from loader_data import COUNT, rows_by_sample, write_small
from PIL import Image

from hmtl import _core
from hmtl.data import Augmentation, Loader, open_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("rendered"))


@pytest.mark.parametrize("pretext", ["none", "puzzle", "rotation", "puzzle-rotation"])
def test_bytes_do_not_depend_on_threads_or_batch_size(dataset, pretext):
    options = {"size": 64, "pretext": pretext, "puzzled_fraction": 0.7, "seed": 3, "views": 2}
    passes = [
        rows_by_sample(Loader(dataset, num_threads=t, batch_size=b, drop_last=False, **options))
        for t, b in [(1, 1), (1, 64), (3, 5), (7, 5), (7, 64)]
    ]
    assert sorted(passes[0]) == list(range(COUNT))
    assert all(one == passes[0] for one in passes[1:])


def test_a_batch_is_what_the_documentation_says(dataset):
    batch = next(iter(Loader(dataset, batch_size=4, size=48, views=2, pretext="puzzle-rotation")))
    assert len(batch.views) == 2
    assert batch.images is batch.views[0]
    assert batch.images.shape == (4, 3, 48, 48)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.pose.shape == (4, 3)
    assert batch.pose.dtype == torch.float32
    assert batch.permutation.shape == batch.turns.shape == (4, 2, 9)
    assert batch.permutation.dtype == batch.turns.dtype == batch.index.dtype == torch.int64
    assert batch.valid.tolist() == batch.puzzled.tolist() == [True] * 4
    single = next(iter(Loader(dataset, batch_size=4, size=48, pretext="rotation", grid=2)))
    assert single.permutation is None
    assert single.turns.shape == (4, 4)
    plain = next(iter(Loader(dataset, batch_size=4, size=48, pretext="none")))
    assert plain.permutation is None
    assert plain.turns is None
    assert not plain.puzzled.any()


@pytest.mark.parametrize("pretext", ["puzzle", "puzzle-rotation", "rotation"])
@pytest.mark.parametrize(("size", "grid"), [(48, 3), (48, 2), (64, 4)])
def test_untiling_gives_the_unpuzzled_image(dataset, pretext, size, grid):
    options = {"size": size, "batch_size": COUNT, "shuffle": False, "augmentation": "level1"}
    plain = next(iter(Loader(dataset, pretext="none", **options)))
    tiled = next(iter(Loader(dataset, pretext=pretext, grid=grid, **options)))
    identity = np.tile(np.arange(grid**2), (COUNT, 1))
    permutation = identity if tiled.permutation is None else tiled.permutation.numpy()
    turns = identity * 0 if tiled.turns is None else tiled.turns.numpy()
    for row in range(COUNT):
        image = tiled.images[row].permute(1, 2, 0).numpy()
        untiled = reference.untile(image, grid, permutation[row], turns[row])
        assert np.array_equal(untiled, plain.images[row].permute(1, 2, 0).numpy())


def test_untiling_a_size_that_the_grid_does_not_divide_gives_the_larger_canvas(dataset):
    """For size 64 the canvas is 3 × 22 px wide; the rows and columns cut off stay unknown."""
    options = {"batch_size": COUNT, "shuffle": False, "augmentation": "level1"}
    canvas = next(iter(Loader(dataset, pretext="none", size=66, **options))).images
    tiled = next(iter(Loader(dataset, pretext="puzzle", grid=3, size=64, **options)))
    for row in range(COUNT):
        image = np.full((66, 66, 3), 1, dtype=np.uint8)
        known = np.zeros((66, 66, 3), dtype=np.uint8)
        image[:64, :64] = tiled.images[row].permute(1, 2, 0).numpy()
        known[:64, :64] = 1
        labels = (tiled.permutation[row].tolist(), [0] * 9)
        untiled = reference.untile(image, 3, *labels)
        is_known = reference.untile(known, 3, *labels) == 1
        whole = canvas[row].permute(1, 2, 0).numpy()
        assert is_known.mean() > 0.93
        assert np.array_equal(untiled[is_known], whole[is_known])


def test_samples_that_are_not_puzzled_are_the_plain_ones(dataset):
    options = {"size": 64, "batch_size": COUNT, "shuffle": False, "augmentation": "level1"}
    plain = next(iter(Loader(dataset, pretext="none", **options)))
    half = next(iter(Loader(dataset, puzzled_fraction=0.5, **options)))
    intact = ~half.puzzled
    assert 0 < int(intact.sum()) < COUNT
    assert torch.equal(half.images[intact], plain.images[intact])
    assert (half.permutation[intact] == torch.arange(9)).all()


def test_mirror_negates_yaw_and_roll_with_the_pixels(dataset):
    options = {"size": 64, "batch_size": COUNT, "shuffle": False, "pretext": "none"}
    plain = next(iter(Loader(dataset, augmentation="none", **options)))
    mirrored = next(iter(Loader(dataset, augmentation=Augmentation(mirror=1.0), **options)))
    assert torch.equal(mirrored.images, plain.images.flip(-1))
    assert torch.equal(mirrored.pose, plain.pose * torch.tensor([-1.0, 1.0, -1.0]))


def test_render_is_the_stages_in_their_order(dataset):
    everything = Augmentation(
        mirror=0.5, brightness=(0.7, 1.3), hue=(-30.0, 30.0), saturation=(0.8, 1.2),
        blur=0.5, down_scale=0.5, down_scale_to=(0.3, 0.5), cutout=0.5, cutout_area=(0.05, 0.2),
    )  # fmt: skip
    loader = Loader(
        dataset, batch_size=COUNT, size=50, augmentation=everything, shuffle=False, decode="rgb",
        seed=5, puzzled_fraction=0.6,
    )  # fmt: skip
    batch = next(iter(loader))
    for row in range(COUNT):
        drawn = reference.draw_params(
            everything, size=50, fit="short-side", pretext="puzzle", grid=3, puzzled_fraction=0.6,
            seed=5, epoch=0, sample=row, view=0, face=dataset.face[row], box=dataset.box[row],
        )  # fmt: skip
        with Image.open(dataset.paths()[row]) as opened:
            source = np.asarray(opened.convert("RGB"))
        side = 51 if drawn["puzzled"] else 50
        image = reference.crop_resize(source, drawn["box"], (side, side))
        b, c, s, h, grey = drawn["color"]
        matrix = _core.color_matrix(brightness=b, contrast=c, saturation=s, hue=h, grey=grey)
        image = reference.apply_matrix(image, matrix)
        if drawn["mirror"]:
            image = image[:, ::-1]
        if drawn["blur"]:
            image = reference.blur(image)
        if drawn["down_scale"]:
            small = (drawn["down_scale"],) * 2
            image = reference.crop_resize(image, (0, 0, side, side), small)
            image = reference.crop_resize(image, (0, 0, *small), (side, side))
        if drawn["puzzled"]:
            image = reference.tile(image, 3, drawn["permutation"], drawn["turns"], 50)
        x0, y0, x1, y1 = drawn["cutout"]
        image = image.copy()
        image[y0:y1, x0:x1] = (124, 116, 104)
        assert np.array_equal(batch.images[row].permute(1, 2, 0).numpy(), image)


def test_normalized_is_the_same_for_fresh_and_given_memory(dataset):
    batch = next(iter(Loader(dataset, batch_size=3, size=33)))
    fresh = batch.normalized()
    assert fresh.is_contiguous(memory_format=torch.channels_last)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    assert torch.allclose(fresh, (batch.images / 255 - mean) / deviation, atol=1e-5)
    for given in (torch.empty_like(fresh), torch.empty(fresh.shape)):
        assert batch.normalized(out=given) is given
        assert torch.equal(given, fresh)
    assert torch.equal(batch.normalized(dtype=torch.bfloat16), fresh.bfloat16())
    with pytest.raises(ValueError, match="out must be"):
        batch.normalized(out=torch.empty(1))


@pytest.mark.data
@pytest.mark.parametrize("decode", ["planes", "rgb"])
@pytest.mark.parametrize("folder", ["300W_LP", "AFLW2000"])
def test_no_augmentation_is_pillows_resize_of_the_box(realdata, folder, decode):
    dataset = open_dataset(realdata / folder)
    loader = Loader(
        dataset, batch_size=len(dataset), augmentation="none", pretext="none", shuffle=False,
        decode=decode,
    )  # fmt: skip
    batch = next(iter(loader))
    differences = []
    for row, path in enumerate(dataset.paths()):
        x0, y0, x1, y1 = dataset.box[row].astype(float)
        half = min(x1 - x0, y1 - y0) / 2
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        box = np.concatenate([centre - half, centre + half])
        with Image.open(path) as opened:
            padded = Image.fromarray(np.pad(np.asarray(opened), ((600, 600), (600, 600), (0, 0))))
        expected = padded.resize((224, 224), Image.Resampling.BILINEAR, box=tuple(box + 600))
        ours = batch.images[row].permute(1, 2, 0).numpy().astype(int)
        differences.append(np.abs(ours - np.asarray(expected)))
        assert differences[-1].mean() <= 1.0
        assert np.percentile(differences[-1], 99) <= 4
    assert np.mean(differences) <= (0.7 if decode == "planes" else 0.3)


@pytest.mark.data
def test_real_samples_are_the_same_for_any_threads_and_batches(realdata):
    dataset = open_dataset(realdata / "300W_LP")
    passes = [
        rows_by_sample(Loader(dataset, num_threads=t, batch_size=b, drop_last=False))
        for t, b in [(1, 1), (3, 5), (7, 64)]
    ]
    assert passes[0] == passes[1] == passes[2]


def test_stats_say_how_long_each_stage_took(dataset):
    loader = Loader(dataset, batch_size=4, size=64, num_threads=2)
    assert loader.stats()["stages"] == {}
    start = time.perf_counter()
    list(loader)
    elapsed = time.perf_counter() - start
    stages = loader.stats()["stages"]
    assert list(stages) == ["read", "decode", "turn", "crop", "filter", "noise", "tile"]
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) < 2 * elapsed
    # By then the files are in memory, which they need not have been at first.
    for _ in range(5):
        before = loader.stats()["stages"]
        list(loader)
        spent = {name: total - before[name] for name, total in loader.stats()["stages"].items()}
        if spent["decode"] > spent["read"]:
            return
    raise AssertionError(spent)
