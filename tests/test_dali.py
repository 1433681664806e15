"""The engine "dali" beside "native": the same batches, whatever is decoded by which of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from loader_data import write_small
from mixed import plain_rows, with_boxes, write_mixed
from packed_trees import packed

from hmtl import _core
from hmtl.data import Batch, Dataset, Loader, concat, open_dataset
from hmtl.data.augmentation import PRESETS
from hmtl.errors import ConfigError

pytestmark = pytest.mark.dali

OPTIONS: dict[str, Any] = {"batch_size": 5, "size": 48, "drop_last": False, "seed": 3}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_mixed(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_small(tmp_path_factory.mktemp("small"))


def pair(dataset: Dataset, **options: Any) -> tuple[Loader, Loader]:
    """Return a native loader and one with DALI, of the same settings."""
    settings = OPTIONS | options
    native = Loader(dataset, decode="rgb", **settings)
    return native, Loader(dataset, engine="dali", **settings)


def fields(batch: Batch) -> Iterator[tuple[str, Any]]:
    for name in ("pose", "permutation", "turns", "index", "valid", "puzzled"):
        yield name, getattr(batch, name)


def assert_same(one: Batch, other: Batch) -> None:
    """Check that batches are equal bit for bit, pixels and all."""
    for (name, value), (_, theirs) in zip(fields(one), fields(other), strict=True):
        same = value is theirs if value is None else np.array_equal(value, theirs, equal_nan=True)
        assert same if name != "pose" else np.array_equal(value, theirs, equal_nan=True), name
    for view, other_view in zip(one.views, other.views, strict=True):
        assert view.stride() == other_view.stride()
        assert view.equal(other_view)


def assert_equal_epochs(native: Loader, dali: Loader) -> int:
    """Check that a pass of both is the same; return how many rows DALI decoded."""
    before = dali.stats()
    batches = 0
    for one, other in zip(native, dali, strict=True):
        assert_same(one, other)
        batches += 1
    assert batches == len(native)
    after = dali.stats()
    rows = after["samples"] - before["samples"]
    return rows - (after["decoded_by_core"] - before["decoded_by_core"])


@pytest.mark.parametrize("augmentation", sorted(PRESETS))
@pytest.mark.parametrize("pretext", ["none", "puzzle", "rotation", "puzzle-rotation"])
@pytest.mark.parametrize("views", [1, 2])
def test_batches_equal_those_of_the_core_bit_for_bit(mixed, augmentation, pretext, views):
    options = {"augmentation": augmentation, "pretext": pretext, "views": views}
    native, dali = pair(mixed, **options)
    by_dali = assert_equal_epochs(native, dali)
    assert by_dali == sum(plain_rows(mixed))
    rows = np.arange(5)
    assert np.array_equal(native.draw(rows, 7), dali.draw(rows, 7))
    assert_same(native.render([4, 0, 17], 7), dali.render([4, 0, 17], 7))
    assert dali.stats()["engine"] == "dali"


@pytest.mark.parametrize("batch_size", [1, 2, 43, 44])
@pytest.mark.parametrize("threads", [1, 3])
def test_neither_batches_nor_threads_change_a_byte(mixed, batch_size, threads):
    native, dali = pair(mixed, batch_size=batch_size, num_threads=threads, shuffle=False)
    assert assert_equal_epochs(native, dali) == sum(plain_rows(mixed))


def test_chunks_of_hdf5_and_packed_pixels_go_past_dali(mixed, tmp_path):
    chunks = open_dataset(write_xgaze(tmp_path / "xgaze", train=[0, 3], count=7), split="train")
    assert assert_equal_epochs(*pair(chunks, augmentation="xgaze")) == 0
    raw = packed(tmp_path / "raw", mixed, codec="raw", margin=2.0)
    assert assert_equal_epochs(*pair(raw)) == 0
    jpeg = packed(tmp_path / "jpeg", mixed, margin=2.0)
    assert assert_equal_epochs(*pair(jpeg)) == len(jpeg)


def test_a_set_of_several_layouts_is_decoded_row_by_row(mixed, small, tmp_path):
    both = concat([mixed, small, packed(tmp_path / "raw", small, codec="raw", margin=2.0)])
    assert assert_equal_epochs(*pair(both)) == sum(plain_rows(mixed)) + len(small)


def test_what_our_decoder_scales_down_it_decodes(mixed):
    near = with_boxes(mixed, [(0, 0, 90, 90)] * len(mixed))
    assert assert_equal_epochs(*pair(near, size=8, augmentation="none")) == 0
    assert assert_equal_epochs(*pair(near, size=12, augmentation="none")) > 0


@pytest.mark.data
def test_real_photos_are_equal_bit_for_bit(realdata):
    for name in ("300W_LP", "AFLW2000"):
        dataset = open_dataset(realdata / name)
        native, dali = pair(dataset, size=224, augmentation="level2")
        assert assert_equal_epochs(native, dali) == len(dataset) > 0


def test_several_passes_at_once_and_several_epochs(mixed):
    native, dali = pair(mixed)
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
    with pytest.raises(ConfigError, match="renders on the CPU: device must be 'cpu', got 'cuda:0'"):
        Loader(small, engine="dali", device="cuda:0", **OPTIONS)
    assert Loader(small, engine="dali", decode="rgb", **OPTIONS).stats()["engine"] == "dali"


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_and_ended(data: bytes) -> bytes:
    return data[: len(data) // 2].rstrip(b"\xff") + b"\xff\xd9"


def without_tables(data: bytes) -> bytes:
    """Return a JPEG without quantisation tables, whose structure is sound."""
    at = data.index(b"\xff\xdb")
    return data[:at] + b"\xff\xfe" + data[at + 2 :]


def overfull_codes(data: bytes) -> bytes:
    at = data.index(b"\xff\xc4")
    return data[: at + 5] + b"\xff" * 16 + data[at + 21 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": cut,
    "empty": lambda _: b"",
    "garbage": lambda data: bytes(range(256)) * (len(data) // 256),
    "no tables": without_tables,
    "overfull codes": overfull_codes,
}


def with_files(dataset: Dataset, changes: dict[int, Callable[[bytes], bytes]]) -> Dataset:
    """Change the files of rows, and what the dataset knows of their sizes."""
    extent = dataset.extent.copy()
    for row, change in changes.items():
        path = Path(dataset.paths()[row])
        path.write_bytes(change(path.read_bytes()))
        extent["size"][row] = path.stat().st_size
    return replace(dataset, extent=extent)


@pytest.mark.parametrize("shuffle", [True, False])
def test_bad_files_are_replaced_or_marked_as_ever(tmp_path, caplog, shuffle):
    dataset = write_small(tmp_path)
    changes = dict(zip((2, 5, 6, 11, 20), DAMAGES.values(), strict=True))
    bad = with_files(dataset, changes)
    Path(bad.paths()[13]).unlink()
    native, dali = pair(bad, on_error="substitute", shuffle=shuffle, views=2)
    assert_equal_epochs(native, dali)
    assert [entry["index"] for entry in dali.stats()["bad"]] == sorted([*changes, 13])
    for key in ("bad", "bad_in_epoch", "substituted", "samples"):
        assert dali.stats()[key] == native.stats()[key]
    # Two of them are for DALI to find, each with its batch.
    failures = [text for text in caplog.messages if text.startswith("DALI failed at a batch")]
    assert 1 <= len(failures) <= 2
    assert all("\n" not in text and "Failed to decode sample #" in text for text in failures)


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_bad_file_raises_as_ever_and_the_loader_goes_on(tmp_path, damage):
    bad = with_files(write_small(tmp_path), {4: DAMAGES[damage]})
    native, dali = pair(bad)
    reasons = []
    for loader in (native, dali):
        with pytest.raises(_core.DecodeError) as caught:
            list(loader)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    assert Path(bad.paths()[4]).name in reasons[0]
    good = [row for row in range(len(bad)) if row != 4][:5]
    for _ in range(2):
        assert_same(native.render(good), dali.render(good))


def test_an_error_of_dali_costs_no_good_row_and_its_pipeline_is_made_anew(tmp_path, caplog):
    bad = with_files(write_small(tmp_path), {9: without_tables})
    native, dali = pair(bad, on_error="substitute", shuffle=False, batch_size=23)
    for _ in range(3):
        assert_equal_epochs(native, dali)
    assert len([text for text in caplog.messages if text.startswith("DALI failed")]) == 3
    # The next batch is DALI's again.
    before = dali.stats()["decoded_by_core"]
    good = [row for row in range(23) if row != 9]
    assert_same(native.render(good), dali.render(good))
    assert dali.stats()["decoded_by_core"] == before


def test_an_end_that_somebody_put_behind_a_cut_is_not_noticed(tmp_path):
    """DALI fills up with grey what its decoder only warns of; `hmtl data check` finds the file."""
    bad = with_files(write_small(tmp_path), {4: cut_and_ended})
    native, dali = pair(bad, augmentation="none")
    assert len(list(dali)) == len(dali)
    with pytest.raises(_core.DecodeError, match="truncated JPEG"):
        list(native)


def test_orientations_are_refused_or_ignored(tmp_path):
    dataset = write_300w_lp(tmp_path / "turned", count=3, subjects=1, size=90)
    data = open_dataset(dataset)
    exif = (
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    turned = with_files(data, {1: lambda jpeg: jpeg[:2] + exif + jpeg[2:]})
    with pytest.raises(_core.DecodeError, match="EXIF orientation is 6"):
        list(Loader(turned, engine="dali", **OPTIONS))
    native, dali = pair(turned, exif="ignore")
    assert assert_equal_epochs(native, dali) == 3
