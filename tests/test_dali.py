"""The engine "dali" beside "native": the same batches, whatever is decoded by which of them."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from damages import DAMAGES, with_files
from hdf5_trees import write_xgaze
from loader_data import write_small
from mixed import plain_rows, with_boxes
from packed_trees import packed
from two_engines import OPTIONS, assert_equal_epochs, assert_same, pair

from hmtl.assemble import evaluation_loader, training_loader
from hmtl.cli.main import run
from hmtl.config import Config
from hmtl.data import Dataset, Loader, concat, engines, open_dataset
from hmtl.data.augmentation import PRESETS
from hmtl.errors import ConfigError

pytestmark = pytest.mark.dali


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("augmentation", sorted(PRESETS))
@pytest.mark.parametrize("pretext", ["none", "puzzle", "rotation", "puzzle-rotation"])
@pytest.mark.parametrize("views", [1, 2])
def test_batches_equal_those_of_the_core_bit_for_bit(mixed, augmentation, pretext, views):
    options = {"augmentation": augmentation, "pretext": pretext, "views": views}
    native, dali = pair(mixed, "dali", **options)
    by_dali = assert_equal_epochs(native, dali)
    assert by_dali == sum(plain_rows(mixed))
    rows = np.arange(5)
    assert np.array_equal(native.draw(rows, 7), dali.draw(rows, 7))
    assert_same(native.render([4, 0, 17], 7), dali.render([4, 0, 17], 7))
    assert dali.stats()["engine"] == "dali"


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernels for devices render what DALI decodes, on the host."""
    monkeypatch.setattr(engines, "_ends_in_pictures", lambda _engine, _device: True)


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize(("augmentation", "views"), [("level2", 1), ("barlow", 2), ("none", 1)])
def test_kernels_render_what_dali_has_decoded_beside_what_the_core_has(mixed, augmentation, views):
    native, dali = pair(mixed, "dali", augmentation=augmentation, views=views, size=24)
    assert assert_equal_epochs(native, dali) == sum(plain_rows(mixed))
    assert_same(native.render([4, 0, 17], 7), dali.render([4, 0, 17], 7))


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize("shuffle", [True, False])
def test_kernels_get_what_replaces_bad_files(tmp_path, shuffle):
    changes = dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    bad = with_files(write_small(tmp_path), changes)
    native, dali = pair(bad, "dali", on_error="substitute", shuffle=shuffle, size=24)
    for one, other in zip(native, dali, strict=True):
        assert one.valid.equal(other.valid)
        assert one.index.equal(other.index)
        assert one.images.equal(other.images)
    assert dali.stats()["bad"] == native.stats()["bad"]


@pytest.mark.parametrize("batch_size", [1, 2, 43, 44])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batches_nor_threads_change_a_byte(mixed, batch_size, threads):
    native, dali = pair(mixed, "dali", batch_size=batch_size, num_threads=threads, shuffle=False)
    assert assert_equal_epochs(native, dali) == sum(plain_rows(mixed))


def test_chunks_of_hdf5_and_packed_pixels_go_past_dali(mixed, tmp_path):
    chunks = open_dataset(write_xgaze(tmp_path / "xgaze", train=[0, 3], count=7), split="train")
    assert assert_equal_epochs(*pair(chunks, "dali", augmentation="xgaze")) == 0
    raw = packed(tmp_path / "raw", mixed, codec="raw", margin=2.0)
    assert assert_equal_epochs(*pair(raw, "dali")) == 0
    jpeg = packed(tmp_path / "jpeg", mixed, margin=2.0)
    assert assert_equal_epochs(*pair(jpeg, "dali")) == len(jpeg)


def test_a_set_of_several_layouts_is_decoded_row_by_row(mixed, small, tmp_path):
    both = concat([mixed, small, packed(tmp_path / "raw", small, codec="raw", margin=2.0)])
    assert assert_equal_epochs(*pair(both, "dali")) == sum(plain_rows(mixed)) + len(small)


def test_what_our_decoder_scales_down_it_decodes(mixed):
    near = with_boxes(mixed, [(0, 0, 90, 90)] * len(mixed))
    assert assert_equal_epochs(*pair(near, "dali", size=8, augmentation="none")) == 0
    assert assert_equal_epochs(*pair(near, "dali", size=12, augmentation="none")) > 0


@pytest.mark.data
def test_real_photos_are_equal_bit_for_bit(realdata):
    for name in ("300W_LP", "AFLW2000"):
        dataset = open_dataset(realdata / name)
        native, dali = pair(dataset, "dali", size=224, augmentation="level2")
        assert assert_equal_epochs(native, dali) == len(dataset) > 0


def test_several_passes_at_once_and_several_epochs(mixed):
    native, dali = pair(mixed, "dali")
    first, second = iter(dali), iter(dali)
    for batch in native:
        assert_same(batch, next(first))
        assert_same(batch, next(second))
    assert next(first, None) is next(second, None) is None
    assert_equal_epochs(native, dali)
    assert native.epoch == dali.epoch == 2


def test_two_ranks_have_what_one_has(mixed):
    one = Loader(mixed, engine="dali", **(OPTIONS | {"batch_size": 6}))
    ranks = [
        Loader(mixed, engine="dali", **(OPTIONS | {"batch_size": 3}), rank=rank, world_size=2)
        for rank in range(2)
    ]
    for whole, first, second in zip(one, *ranks, strict=True):
        images = np.zeros(whole.images.shape, np.uint8)
        for rank, part in enumerate((first, second)):
            real = part.index >= 0
            images[rank::2] = part.images[real]
            assert whole.index[rank::2].equal(part.index[real])
        assert np.array_equal(whole.images, images)


@pytest.mark.parametrize(("theirs", "ours"), [("dali", "dali"), ("native", "dali")])
def test_a_pass_goes_on_from_a_state_of_either_engine_and_of_other_ranks(mixed, theirs, ours):
    options = OPTIONS | {"decode": "rgb", "batch_size": 6}
    whole = list(Loader(mixed, engine="native", **options))
    ranks = [
        Loader(mixed, engine=theirs, rank=rank, world_size=2, **(options | {"batch_size": 3}))
        for rank in range(2)
    ]
    for loader in ranks:
        iterator = iter(loader)
        for _ in range(3):
            next(iterator)
    state = json.loads(json.dumps(ranks[0].state_dict()))
    again = Loader(mixed, engine=ours, **options)
    again.load_state_dict(state)
    for batch, known in zip(again, whole[3:], strict=True):
        assert_same(batch, known)
    back = Loader(mixed, engine="native", **options)
    back.load_state_dict(again.state_dict())
    assert back.epoch == 1


def test_a_state_of_planes_is_refused(small):
    planes = Loader(small, **OPTIONS)
    dali = Loader(small, engine="dali", **OPTIONS)
    with pytest.raises(ConfigError, match="decode = 'planes', this loader has 'rgb'"):
        dali.load_state_dict(planes.state_dict())


def test_what_the_engine_cannot_do_is_refused(small):
    with pytest.raises(ConfigError, match="decodes to RGB: decode must be 'rgb', got 'planes'"):
        Loader(small, engine="dali", decode="planes", **OPTIONS)
    assert Loader(small, engine="dali", decode="rgb", **OPTIONS).stats()["engine"] == "dali"


def test_a_batch_is_whole_once_it_is_rendered_without_a_bad_row(small):
    missing = replace(small, files=(*small.files[:9], "gone.jpg", *small.files[10:]))
    work = list(range(5)), list(range(5, 10))
    for dataset, rows, is_whole in [(small, work[0], True), (missing, work[1], False)]:
        loader = Loader(dataset, engine="dali", **OPTIONS)
        pending = loader._renderer.start(np.array(rows), 0)
        deadline = time.monotonic() + 20
        while not pending.ticket.decoded.done():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        while is_whole and not loader._renderer.is_whole(pending):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert loader._renderer.is_whole(pending) == is_whole
        assert loader._renderer.finish(pending).bad == [] or not is_whole


def test_a_config_chooses_the_engine_of_training_and_evaluation(small):
    with pytest.raises(ConfigError, match=r"'data\.decode' must be 'rgb' where 'data\.engine'"):
        Config.from_dict({"data": {"engine": "dali"}})
    config = Config.from_dict({"data": {"engine": "dali", "decode": "rgb", "size": 32}})
    for make in (training_loader, evaluation_loader):
        loader = make(config, concat([small] * 3), torch.device("cpu"))
        assert len(next(iter(loader))) == 64
        assert (loader.stats()["engine"], loader.stats()["decoded_by_core"]) == ("dali", 0)


def test_the_bench_times_it(small, capsys):
    arguments = ["bench", "loader", str(small.root), "--engine", "dali", "--seconds", "0.05"]
    assert run([*arguments, "--size", "32", "--batch-size", "4"]) == 0
    assert "engine: dali" in capsys.readouterr().out
