"""The engine "cuda" with its kernels on the host: the batches of "native", bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, with_files
from hdf5_trees import write_xgaze
from loader_data import write_small
from mixed import with_boxes
from packed_trees import packed
from two_engines import OPTIONS, assert_equal_epochs, assert_same, pair

from hmtl import _core
from hmtl.data import Dataset, Loader, concat, kernels, open_dataset
from hmtl.errors import ConfigError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(
    ("augmentation", "pretext", "views"),
    [
        ("none", "none", 1),
        ("level1", "rotation", 1),
        ("level2", "puzzle", 2),
        ("xgaze", "puzzle-rotation", 1),
        ("xgaze-heavy", "puzzle", 1),
        ("barlow", "puzzle", 2),
    ],
)
def test_batches_equal_those_of_the_core_bit_for_bit(mixed, augmentation, pretext, views):
    options = {"augmentation": augmentation, "pretext": pretext, "views": views}
    native, cuda = pair(mixed, "cuda", **options, puzzled_fraction=0.7)
    assert assert_equal_epochs(native, cuda) == 0
    rows = np.arange(5)
    assert np.array_equal(native.draw(rows, 7), cuda.draw(rows, 7))
    assert_same(native.render([4, 0, 17], 7), cuda.render([4, 0, 17], 7))
    assert cuda.stats()["engine"] == "cuda"


@pytest.mark.parametrize("batch_size", [1, 43, 44])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batches_nor_threads_change_a_byte(mixed, batch_size, threads):
    options = {"batch_size": batch_size, "num_threads": threads, "size": 20}
    assert_equal_epochs(*pair(mixed, "cuda", shuffle=False, **options))


def test_arrays_and_packed_samples_are_decoded_too(mixed, small, tmp_path):
    chunks = open_dataset(write_xgaze(tmp_path / "xgaze", train=[0, 3], count=7), split="train")
    # Its roll is unknown: mirrored too, not a number has its bits.
    native, cuda = pair(chunks, "cuda", augmentation="xgaze", size=24)
    assert_equal_epochs(native, cuda)
    poses = [loader.render(range(5)).pose.numpy().tobytes() for loader in (native, cuda)]
    assert poses[0] == poses[1]
    both = concat([mixed, packed(tmp_path / "raw", small, codec="raw", margin=2.0)])
    assert_equal_epochs(*pair(both, "cuda", size=24))


def test_what_is_scaled_down_while_it_is_decoded_is_cropped_right(mixed):
    near = with_boxes(mixed, [(0, 0, 90, 90)] * len(mixed))
    assert_equal_epochs(*pair(near, "cuda", size=8, augmentation="none"))


@pytest.mark.data
def test_real_photos_are_equal_bit_for_bit(realdata):
    dataset = open_dataset(realdata / "300W_LP")
    assert_equal_epochs(*pair(dataset, "cuda", size=224, augmentation="level2"))


def test_padding_of_a_rank_is_black(small):
    ranks = {"rank": 1, "world_size": 2, "size": 16}
    native, cuda = pair(small, "cuda", **ranks)
    *_, last = cuda
    assert not last.valid.all()
    assert not last.images[~last.valid].any()
    *_, expected = native
    assert last.images.equal(expected.images)
    assert last.valid.equal(expected.valid)


def test_two_ranks_have_what_one_has(mixed):
    options = OPTIONS | {"size": 16}
    one = Loader(mixed, engine="cuda", **(options | {"batch_size": 6}))
    ranks = [
        Loader(mixed, engine="cuda", **(options | {"batch_size": 3}), rank=rank, world_size=2)
        for rank in range(2)
    ]
    for whole, first, second in zip(one, *ranks, strict=True):
        for rank, part in enumerate((first, second)):
            real = part.index >= 0
            assert whole.images[rank::2].equal(part.images[real])
            assert whole.index[rank::2].equal(part.index[real])


@pytest.mark.parametrize(("theirs", "ours"), [("cuda", "cuda"), ("native", "cuda")])
def test_a_pass_goes_on_from_a_state_of_either_engine(mixed, theirs, ours):
    options = OPTIONS | {"decode": "rgb", "size": 16}
    whole = list(Loader(mixed, engine="native", **options))
    first = Loader(mixed, engine=theirs, **options)
    iterator = iter(first)
    for _ in range(3):
        next(iterator)
    again = Loader(mixed, engine=ours, **options)
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for batch, known in zip(again, whole[3:], strict=True):
        assert_same(batch, known)


@pytest.mark.parametrize("shuffle", [True, False])
def test_bad_files_are_replaced_or_marked_as_ever(tmp_path, shuffle):
    dataset = write_small(tmp_path)
    changes = dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    bad = with_files(dataset, changes)
    Path(bad.paths()[13]).unlink()
    options = {"on_error": "substitute", "shuffle": shuffle, "views": 2, "size": 20}
    native, cuda = pair(bad, "cuda", **options)
    for one, other in zip(native, cuda, strict=True):
        # Labels of rows that are black say nothing.
        valid = one.valid
        assert valid.equal(other.valid)
        assert one.index.equal(other.index)
        assert one.permutation is not None
        assert other.permutation is not None
        assert one.permutation[valid].equal(other.permutation[valid])
        for view, other_view in zip(one.views, other.views, strict=True):
            assert view.equal(other_view)
    for key in ("bad", "bad_in_epoch", "substituted", "samples"):
        assert cuda.stats()[key] == native.stats()[key]


def test_a_bad_file_raises_as_ever_and_the_loader_goes_on(tmp_path):
    bad = with_files(write_small(tmp_path), {4: DAMAGES["cut"]})
    native, cuda = pair(bad, "cuda", size=20)
    reasons = []
    for loader in (native, cuda):
        with pytest.raises(_core.DecodeError) as caught:
            list(loader)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    good = [row for row in range(len(bad)) if row != 4][:5]
    assert_same(native.render(good), cuda.render(good))


def test_a_loader_may_be_left_in_the_middle(small):
    loader = Loader(small, engine="cuda", **OPTIONS)
    for _ in range(3):
        next(iter(loader))
    iterator = iter(loader)
    next(iterator)
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        list(iterator)


def test_what_the_engine_cannot_do_is_refused(small, monkeypatch):
    with pytest.raises(ConfigError, match="engine 'cuda' decodes to RGB: decode must be 'rgb'"):
        Loader(small, engine="cuda", decode="planes", **OPTIONS)
    monkeypatch.setattr(kernels, "cuda", None)
    with pytest.raises(ConfigError, match="the CUDA kernels were not built: install the CUDA"):
        Loader(small, engine="cuda", device="cuda", **OPTIONS)
