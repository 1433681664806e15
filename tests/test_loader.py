"""The loader: the same bytes whatever the company, right labels, order, resuming, errors."""

import json
import time

import numpy as np
import pytest
import reference
import torch
from fixtures_data import write_300w_lp
from PIL import Image

from hmtl import _core
from hmtl.data import Augmentation, Loader, open_dataset
from hmtl.data.order import BatchPlan
from hmtl.errors import ConfigError

COUNT = 23


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_300w_lp(tmp_path_factory.mktemp("rendered"), count=COUNT, subjects=5, size=90)
    return open_dataset(root)


def rows_by_sample(loader: Loader) -> dict[int, tuple[bytes, ...]]:
    """One pass as {sample: its bytes in every field}."""
    rows = {}
    for batch in loader:
        for row in range(len(batch)):
            fields = [*batch.views, batch.pose, batch.permutation, batch.turns, batch.puzzled]
            rows[int(batch.index[row])] = tuple(
                field[row].numpy().tobytes() for field in fields if field is not None
            )
    return rows


@pytest.mark.parametrize("pretext", ["none", "puzzle", "rotation", "puzzle-rotation"])
def test_bytes_do_not_depend_on_threads_or_batch_size(dataset, pretext):
    options = {"size": 64, "pretext": pretext, "puzzled_fraction": 0.7, "seed": 3, "views": 2}
    passes = [
        rows_by_sample(Loader(dataset, num_threads=t, batch_size=b, drop_last=False, **options))
        for t, b in [(1, 1), (1, 64), (3, 5), (7, 5), (7, 64)]
    ]
    assert sorted(passes[0]) == list(range(COUNT))
    assert all(one == passes[0] for one in passes[1:])


def test_ranks_share_the_samples_of_one_process(dataset):
    alone = rows_by_sample(Loader(dataset, batch_size=6, size=32, drop_last=False))
    joined = {}
    lengths = set()
    for rank in range(3):
        loader = Loader(dataset, batch_size=2, size=32, drop_last=False, rank=rank, world_size=3)
        lengths.add(len(loader))
        joined |= rows_by_sample(loader)
    joined.pop(-1)
    assert joined == alone
    assert lengths == {4}


@pytest.mark.parametrize("count", range(1, 14))
@pytest.mark.parametrize("drop_last", [True, False])
def test_every_rank_has_the_same_number_of_rows(count, drop_last):
    if drop_last and count < 6:
        with pytest.raises(ConfigError, match=f"{count} samples, a global batch of 6"):
            BatchPlan(count=count, batch_size=2, rank=0, world_size=3, drop_last=True)
        return
    plans = [
        BatchPlan(count=count, batch_size=2, rank=rank, world_size=3, drop_last=drop_last)
        for rank in range(3)
    ]
    seen = []
    for batch in range(len(plans[0])):
        rows = [plan.positions(batch) for plan in plans]
        assert len({len(r) for r in rows}) == 1
        seen += [int(p) for r in rows for p in r if p >= 0]
    assert sorted(seen) == list(range(len(seen)))
    assert len(seen) == (count // 6 * 6 if drop_last else count)


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
    """Design: the canvas of 3 × 22 px for size 64; the rows and columns cut off stay unknown."""
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


@pytest.mark.parametrize("taken_at", [0, 1, 3, 5])
def test_a_restored_loader_continues_bit_for_bit(dataset, taken_at):
    options = {"batch_size": 4, "size": 32, "seed": 9}
    unbroken = Loader(dataset, **options)
    all_batches = [batch.images for _ in range(2) for batch in unbroken]

    first = Loader(dataset, **options)
    iterator = iter(first)
    for _ in range(taken_at):
        next(iterator)
    state = json.loads(json.dumps(first.state_dict()))
    iterator.close()
    second = Loader(dataset, num_threads=3, prefetch=1, **options)
    second.load_state_dict(state)
    second.set_epoch(0)
    rest = [batch.images for batch in second] + [batch.images for batch in second]
    assert len(rest) == len(all_batches) - taken_at
    assert all(torch.equal(a, b) for a, b in zip(rest, all_batches[taken_at:], strict=True))


def test_a_state_continues_on_another_number_of_ranks(dataset):
    whole = Loader(dataset, batch_size=6, size=32, rank=0, world_size=1)
    iterator = iter(whole)
    next(iterator)
    state = whole.state_dict()
    rest = {
        int(i): image
        for batch in iterator
        for i, image in zip(batch.index, batch.images, strict=True)
    }
    for rank in range(2):
        part = Loader(dataset, batch_size=3, size=32, rank=rank, world_size=2)
        part.load_state_dict(state)
        for batch in part:
            for i, image in zip(batch.index, batch.images, strict=True):
                assert torch.equal(rest.pop(int(i)), image)
    assert not rest


def test_a_state_of_other_settings_is_refused_with_the_difference(dataset):
    state = Loader(dataset, batch_size=4, size=32).state_dict()
    with pytest.raises(ConfigError, match="state was taken with size = 32, this loader has 48"):
        Loader(dataset, batch_size=4, size=48).load_state_dict(state)
    with pytest.raises(ConfigError, match="with seed = 0, this loader has 1"):
        Loader(dataset, batch_size=4, size=32, seed=1).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"with dataset\.samples = 23, this loader has 8"):
        Loader(dataset.subset(np.arange(8)), batch_size=4, size=32).load_state_dict(state)


def test_epochs_differ_and_set_epoch_brings_one_back(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    first = [batch.images for batch in loader]
    assert loader.epoch == 1
    second = [batch.images for batch in loader]
    assert not torch.equal(first[0], second[0])
    loader.set_epoch(0)
    assert all(torch.equal(a, b.images) for a, b in zip(first, loader, strict=True))


def test_breaking_out_and_starting_again_starts_the_epoch_again(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    whole = [batch.images for batch in loader]
    loader.set_epoch(0)
    for _ in range(3):
        for batch in loader:
            assert torch.equal(batch.images, whole[0])
            break
    assert all(torch.equal(a, b.images) for a, b in zip(whole, loader, strict=True))


def test_a_batch_that_is_kept_is_never_written_again(dataset):
    loader = Loader(dataset, batch_size=4, size=32)
    kept = [batch.images for _ in range(3) for batch in loader]
    copies = [image.clone() for image in kept]
    for _ in range(3):
        for _ in loader:
            pass
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_memory_of_batches_that_are_dropped_is_used_again(dataset):
    loader = Loader(dataset, batch_size=4, size=32, prefetch=2)
    places = set()
    for _ in range(4):
        for batch in loader:
            places.add(batch.images.data_ptr())
            del batch
    assert len(places) <= 4


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
    assert list(stages) == ["read", "decode", "turn", "crop", "filter", "tile"]
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) < 2 * elapsed
    assert stages["decode"] > stages["read"]
