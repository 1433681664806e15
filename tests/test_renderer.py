"""The compiled renderer by itself: what it refuses, and whose memory it writes to until when."""

import os
import resource
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loader_data import write_small
from pictures import scene
from trees import write_csv

from hmtl import _core
from hmtl.data import Dataset, Loader, open_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return write_small(tmp_path_factory.mktemp("files"), count=4)


def request(dataset: Dataset, views: int = 1, size: int = 32, grid: int = 3) -> dict[str, Any]:
    """Return what renders all samples of a dataset, as `submit` takes it."""
    count, tiles = len(dataset), abs(grid) ** 2
    params = _core.draw_params(
        settings=_core.DrawSettings(
            augmentation=_core.Augmentation(), fit=0, pretext=1, grid=3, size=32, puzzled_fraction=1
        ),
        seed=0,
        epoch=0,
        samples=np.arange(count),
        views=views,
        face=dataset.face,
        box=dataset.box,
    )
    side = abs(size)
    return {
        "extent": dataset.extent,
        "params": params,
        "images": [np.zeros((count, side, side, 3), np.uint8) for _ in range(views)],
        "permutation": np.zeros((count, views, tiles), np.int64),
        "turns": np.zeros((count, views, tiles), np.int64),
        "pose": np.zeros((count, 3), np.float32),
        "settings": _core.RenderSettings(
            size=size, grid=grid, planes=True, ignore_exif=False, max_pixels=10**8
        ),
    }


def renderer_of(dataset: Dataset) -> _core.BatchRenderer:
    return _core.BatchRenderer([os.fsencode(path) for path in dataset.paths()], 1)


@pytest.mark.parametrize(("size", "grid"), [(32, 0), (32, -3), (32, 9), (0, 3)])
def test_a_size_or_grid_that_cannot_be_is_refused(dataset, size, grid):
    with pytest.raises(ValueError, match=rf"got size {size} and grid {grid}$"):
        renderer_of(dataset).submit(**request(dataset, size=size, grid=grid))


def test_views_of_one_sample_cannot_be_mirrored_differently(dataset):
    wanted = request(dataset, views=2)
    wanted["params"]["mirror"][1] = [0, 1]
    wanted["params"]["mirror"][2] = [1, 1]
    renderer = renderer_of(dataset)
    bad, _, _ = renderer.wait(renderer.submit(**wanted))
    assert [row for row, _ in bad] == [1]
    assert "the views of a sample are all mirrored or none" in bad[0][1]


def test_a_batch_is_whole_once_all_of_its_rows_are_rendered(dataset):
    renderer = renderer_of(dataset)
    wanted = request(dataset, views=2)
    ticket = renderer.submit(**wanted)
    deadline = time.monotonic() + 10
    while not renderer.is_whole(ticket):
        assert time.monotonic() < deadline
    assert all(image.any() for image in wanted["images"])
    assert renderer.wait(ticket)[0] == []
    assert not renderer.is_whole(ticket)
    assert not renderer.is_whole(ticket + 1)


def test_a_batch_with_a_bad_row_that_was_cancelled_or_has_no_threads_is_not_whole(dataset):
    renderer = renderer_of(dataset)
    wanted = request(dataset, views=2)
    wanted["params"]["mirror"][1] = [0, 1]
    bad, cancelled = renderer.submit(**wanted), renderer.submit(**request(dataset))
    renderer.wait(renderer.submit(**request(dataset)))
    renderer.cancel(cancelled)
    assert not renderer.is_whole(bad)
    assert not renderer.is_whole(cancelled)
    assert len(renderer.wait(bad)[0]) == 1
    last = renderer.submit(**request(dataset))
    while not renderer.is_whole(last):
        time.sleep(0.001)
    renderer.close()
    assert not renderer.is_whole(last)


def test_a_renderer_that_is_dropped_keeps_the_arrays_until_its_threads_are_gone(tmp_path):
    count, size = 6, 64
    table = write_csv(tmp_path, *(f"large.jpg,0,0,1500,1500,{n},0,0" for n in range(count)))
    scene(1500, 1500).save(tmp_path / "large.jpg")
    dataset = open_dataset(table)
    memory = bytearray(count * size * size * 3)
    at_release = []
    wanted = request(dataset, size=size)
    image = np.frombuffer(memory, np.uint8).reshape(count, size, size, 3)
    weakref.finalize(image, lambda: at_release.append(bytes(memory)))
    wanted["images"] = [image]
    renderer = renderer_of(dataset)
    renderer.submit(**wanted)
    del wanted, image
    while not any(memory):
        time.sleep(0.0005)
    assert not at_release
    del renderer
    assert len(at_release) == 1
    time.sleep(0.3)
    assert at_release[0] == memory


def missing(tmp_path: Path) -> Dataset:
    """A data set of which one file is missing, whose name is not UTF-8."""
    dataset = write_small(tmp_path, count=6)
    files = (os.fsdecode(b"nothing-\xff.jpg"), *dataset.files[1:])
    return replace(dataset, files=files)


def test_a_bad_sample_may_have_a_name_that_is_not_utf8(tmp_path):
    bad = missing(tmp_path)
    loader = Loader(bad, batch_size=3, size=32, on_error="substitute")
    assert len(list(loader)) == 2
    (entry,) = loader.stats()["bad"]
    assert os.fsencode(entry["reason"]).endswith(b"nothing-\xff.jpg")
    with pytest.raises(_core.DecodeError) as caught:
        list(Loader(bad, batch_size=3, size=32, on_error="raise"))
    assert os.fsencode(str(caught.value)).endswith(b"nothing-\xff.jpg")


def test_files_that_are_kept_open_give_way_where_no_more_may_be_opened(tmp_path):
    count, side = 20, 40
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    alone = write_small(tmp_path, count=count + 1)
    names = [f"{number}.raw" for number in range(count)]
    for name, array in zip(names, pixels, strict=True):
        (alone.root / name).write_bytes(array.tobytes())
    # Arrays in files that stay open, and at last a picture in a file of its own.
    extent = alone.extent.copy()
    for field, value in {"codec": 2, "offset": 0, "height": side, "width": side, "row": 0}.items():
        extent[field][:count] = value
    extent["file"] = np.arange(count + 1)
    extent["size"][:count] = pixels[0].size
    dataset = replace(alone, files=(*names, alone.files[count]), extent=extent)
    renderer = renderer_of(dataset)
    wanted = request(dataset)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(number.name) for number in Path("/proc/self/fd").iterdir()}
    seventh = [number for number in range(1000) if number not in used][6]
    resource.setrlimit(resource.RLIMIT_NOFILE, (seventh, limits[1]))
    try:
        bad, _, _ = renderer.wait(renderer.submit(**wanted))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert bad == []
