"""Pictures that were decoded before they are rendered, and files read for another decoder."""

import gc
import weakref
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hdf5_trees import write_xgaze
from hypothesis import given
from hypothesis import strategies as st
from mixed import core_of, draw, plain_rows, slots_of, targets, with_boxes
from packed_trees import packed
from pictures import exif, scene

from hmtl import _core
from hmtl.data import Dataset, Loader, open_dataset

SETTINGS = {"planes": False, "ignore_exif": False, "max_pixels": 10**8}


def test_a_decoded_source_is_laid_out_as_the_core_reads_it():
    fields = _core.DECODED_SOURCE.fields
    assert fields is not None
    assert {name: (str(kind), offset) for name, (kind, offset, *_) in fields.items()} == {
        "pixels": ("uint64", 0),
        "stride": ("int64", 8),
        "height": ("int32", 16),
        "width": ("int32", 20),
        "top": ("int32", 24),
        "left": ("int32", 28),
        "full_height": ("int32", 32),
        "full_width": ("int32", 36),
        "denominator": ("int32", 40),
    }
    assert _core.DECODED_SOURCE.itemsize == 48


@pytest.fixture(scope="module")
def datasets(mixed: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder = tmp_path_factory.mktemp("more")
    return {
        "files": mixed,
        "chunks": open_dataset(write_xgaze(folder / "xgaze", train=[0, 3], count=5), split="train"),
        "packed": packed(folder / "raw", mixed, codec="raw", margin=2.0),
    }


def render(dataset: Dataset, params: np.ndarray, settings: _core.RenderSettings, size: int) -> Any:
    """Return the targets of all rows, rendered from their files."""
    filled = targets(len(dataset), params.shape[1], size, 9)
    core = core_of(dataset)
    ticket = core.submit(extent=dataset.extent, params=params, settings=settings, **filled)
    assert core.wait(ticket)[0] == []
    return filled


def decode(
    dataset: Dataset, params: np.ndarray, settings: _core.RenderSettings
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]:
    """Return the array of all slots, the sources in it, and the bad rows."""
    sizes = _core.slot_bytes(extent=dataset.extent, params=params, settings=settings)
    slots = slots_of(sizes)
    pixels = np.full(slots[-1], 99, np.uint8)
    sources = np.zeros(len(dataset), _core.DECODED_SOURCE)
    core = core_of(dataset)
    ticket = core.submit_decoding(
        extent=dataset.extent,
        params=params,
        slots=slots,
        pixels=pixels,
        sources=sources,
        settings=settings,
    )
    return pixels, sources, core.wait(ticket)[0]


@pytest.mark.parametrize("kind", ["files", "chunks", "packed"])
@pytest.mark.parametrize(
    ("augmentation", "pretext", "views", "size"),
    [
        ("level2", "puzzle", 1, 48),
        ("barlow", "puzzle-rotation", 2, 45),
        ("xgaze-heavy", "rotation", 1, 24),
        # Eight pixels and more for one: JPEGs are scaled down while they are decoded.
        ("barlow", "puzzle", 2, 9),
    ],
)
def test_what_is_rendered_from_slots_is_what_is_rendered_from_files(
    datasets, kind, augmentation, pretext, views, size
):
    dataset = datasets[kind]
    options = {"augmentation": augmentation, "pretext": pretext, "views": views, "size": size}
    loader = Loader(dataset, batch_size=1, **options)
    settings = _core.RenderSettings(size=size, grid=3, **SETTINGS)
    params = draw(dataset, loader)
    wanted = render(dataset, params, settings, size)

    pixels, sources, bad = decode(dataset, params, settings)
    assert bad == []
    filled = targets(len(dataset), views, size, 9)
    core = core_of(dataset)
    ticket = core.submit_decoded(
        extent=dataset.extent,
        sources=sources,
        params=params,
        settings=settings,
        pixels=pixels,
        **filled,
    )
    assert core.wait(ticket)[0] == []
    for view, wanted_view in zip(filled["images"], wanted["images"], strict=True):
        assert view.any()
        assert np.array_equal(view, wanted_view)
    for name in ("permutation", "turns", "pose"):
        assert np.array_equal(filled[name], wanted[name])
    if kind == "files" and size == 9:
        assert set(sources["denominator"]) == {1, 2}


def test_a_slot_holds_the_part_of_the_picture_that_its_source_says(mixed):
    settings = _core.RenderSettings(size=48, grid=3, **SETTINGS)
    params = draw(mixed, Loader(mixed, batch_size=1, size=48))
    pixels, sources, bad = decode(mixed, params, settings)
    assert bad == []
    starts = (sources["pixels"] - pixels.ctypes.data).astype(np.int64)
    for row, (source, start) in enumerate(zip(sources, starts, strict=True)):
        height, width = source["height"], source["width"]
        assert source["stride"] == 3 * width
        held = pixels[start : start + 3 * height * width].reshape(height, width, 3)
        codec = int(mixed.extent["codec"][row])
        data = Path(mixed.paths()[row]).read_bytes()
        whole = _core.decode(data, codec, "whole")["planes"][0]["pixels"]
        assert (source["full_height"], source["full_width"]) == whole.shape[:2]
        top, left = source["top"], source["left"]
        assert np.array_equal(held, whole[top : top + height, left : left + width])
    assert (sources["height"] < sources["full_height"]).any()


edges = st.floats(-300, 300, width=32)


@given(
    boxes=st.lists(st.tuples(edges, edges, st.floats(0.5, 900), st.floats(0.5, 900)), min_size=1),
    size=st.integers(8, 64),
)
def test_slots_are_large_enough_wherever_the_boxes_lie(mixed, boxes, size):
    crops = [(x, y, x + width, y + height) for x, y, width, height in boxes[: len(mixed)]]
    dataset = with_boxes(mixed.subset(np.arange(len(crops))), crops)
    settings = _core.RenderSettings(size=size, grid=3, **SETTINGS)
    params = draw(dataset, Loader(dataset, batch_size=1, size=size, fit="stretch"))
    _, sources, bad = decode(dataset, params, settings)
    assert bad == []
    sizes = _core.slot_bytes(extent=dataset.extent, params=params, settings=settings)
    assert (sources["stride"] * sources["height"] <= sizes).all()


def test_a_bad_file_leaves_a_source_without_height_and_is_named_as_ever(mixed):
    missing = replace(mixed, files=("gone.jpg", *mixed.files[1:]))
    settings = _core.RenderSettings(size=48, grid=3, **SETTINGS)
    params = draw(mixed, Loader(mixed, batch_size=1, size=48))
    _, sources, bad = decode(missing, params, settings)
    assert [row for row, _ in bad] == [0]
    assert "gone.jpg" in bad[0][1]
    assert np.flatnonzero(sources["height"] == 0).tolist() == [0]
    filled = targets(len(mixed), 1, 48, 9)
    core = core_of(missing)
    first = filled["images"][0][0]
    first[:] = 7
    ticket = core.submit_decoded(
        extent=mixed.extent[:1],
        sources=sources[:1],
        params=params[:1],
        settings=settings,
        pixels=None,
        images=[filled["images"][0][:1]],
        permutation=filled["permutation"][:1],
        turns=filled["turns"][:1],
        pose=filled["pose"][:1],
    )
    assert core.wait(ticket)[0] == []
    assert (first == 7).all()
    assert not filled["permutation"][0].any()


def whole_picture(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and the source that says where they lie."""
    pixels = np.asarray(scene(side, side)).copy()
    source = np.zeros(1, _core.DECODED_SOURCE)
    source["pixels"] = pixels.ctypes.data
    source["stride"] = 3 * side
    for name in ("height", "width", "full_height", "full_width"):
        source[name] = side
    source["denominator"] = 1
    return pixels, source


def render_one(dataset: Dataset, source: np.ndarray, pixels: object) -> list[tuple[int, str]]:
    """Return what was wrong with rendering a source with the params of the first row."""
    core = core_of(dataset)
    ticket = core.submit_decoded(
        extent=dataset.extent[:1],
        sources=source,
        params=draw(dataset, Loader(dataset, batch_size=1, size=48))[:1],
        settings=_core.RenderSettings(size=48, grid=3, **SETTINGS),
        pixels=pixels,
        **targets(1, 1, 48, 9),
    )
    return core.wait(ticket)[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixels", 0),
        ("stride", 3 * 131 - 1),
        ("denominator", 3),
        ("denominator", 0),
        ("top", 1),
        ("left", -1),
        ("full_width", 130),
        ("height", -5),
        ("full_height", 2**30),
    ],
)
def test_a_source_that_cannot_be_is_refused(mixed, field, value):
    pixels, source = whole_picture(131)
    assert render_one(mixed, source, pixels) == []
    source[field] = value
    assert render_one(mixed, source, pixels) == [
        (0, f"a decoded source is no part of a picture: {mixed.paths()[0]}")
    ]


def test_a_source_that_lacks_pixels_of_the_crop_is_refused(mixed):
    pixels, source = whole_picture(131)
    source["full_height"] = source["full_width"] = 140
    source["top"] = source["left"] = 9
    ((row, reason),) = render_one(with_boxes(mixed, [(0, 0, 99, 99)] * len(mixed)), source, pixels)
    assert row == 0
    assert "resampling reads rows that were not decoded" in reason


def test_the_pixels_are_kept_until_the_batch_was_waited_for(mixed):
    class Holder:
        pass

    holder, (pixels, source) = Holder(), whole_picture(131)
    gone = weakref.ref(holder)
    core = core_of(mixed)
    ticket = core.submit_decoded(
        extent=mixed.extent[:1],
        sources=source,
        params=draw(mixed, Loader(mixed, batch_size=1, size=48))[:1],
        settings=_core.RenderSettings(size=48, grid=3, **SETTINGS),
        pixels=(pixels, holder),
        **targets(1, 1, 48, 9),
    )
    del holder
    gc.collect()
    assert gone() is not None
    core.wait(ticket)
    gc.collect()
    assert gone() is None


def test_slots_that_do_not_fit_their_array_are_refused(mixed):
    settings = _core.RenderSettings(size=48, grid=3, **SETTINGS)
    params = draw(mixed, Loader(mixed, batch_size=1, size=48))
    count = len(mixed)
    wanted: dict[str, Any] = {
        "extent": mixed.extent,
        "params": params,
        "pixels": np.zeros(99, np.uint8),
        "sources": np.zeros(count, _core.DECODED_SOURCE),
        "settings": settings,
    }
    core = core_of(mixed)
    with pytest.raises(ValueError, match="slots must end within their array"):
        core.submit_decoding(slots=slots_of([100] * count), **wanted)
    with pytest.raises(ValueError, match="in order, with one end"):
        core.submit_decoding(slots=np.zeros(count, np.int64), **wanted)
    with pytest.raises(ValueError, match="in order, with one end"):
        core.submit_decoding(slots=np.arange(count, -1, -1), **wanted)
    # Slots that are too small for their pictures.
    _, reason = core.wait(core.submit_decoding(slots=np.zeros(count + 1, np.int64), **wanted))[0][3]
    assert "a decoded picture does not fit into its slot: " in reason


def read(
    dataset: Dataset, *, room: int = 0, size: int = 48, **settings: Any
) -> tuple[list[bytes], np.ndarray]:
    """Return the slots of all rows after reading, and the parts that are to be decoded."""
    slots = slots_of(dataset.extent["size"] + room)
    encoded = np.zeros(slots[-1], np.uint8)
    parts = np.ones(len(dataset), _core.DECODED_SOURCE)
    core = core_of(dataset)
    ticket = core.submit_reading(
        extent=dataset.extent,
        params=draw(dataset, Loader(dataset, batch_size=1, size=size)),
        slots=slots,
        encoded=encoded,
        sources=parts,
        settings=_core.RenderSettings(size=size, grid=3, **(SETTINGS | settings)),
    )
    assert core.wait(ticket)[:2] == ([], 0)
    assert not parts["pixels"].any()
    return [encoded[start:end].tobytes() for start, end in pairwise(slots)], parts


def test_plain_jpegs_are_read_as_they_are_and_nothing_else_is_plain(mixed):
    encoded, parts = read(mixed)
    plain = (parts["height"] > 0).tolist()
    assert plain == plain_rows(mixed)
    assert 0 < sum(plain) < len(plain)
    for path, data, is_plain in zip(mixed.paths(), encoded, plain, strict=True):
        assert not is_plain or data == Path(path).read_bytes()
    # What is to be decoded is what our own decoder decodes.
    settings = _core.RenderSettings(size=48, grid=3, **SETTINGS)
    _, sources, _ = decode(mixed, draw(mixed, Loader(mixed, batch_size=1, size=48)), settings)
    for name in ("height", "width", "top", "left", "full_height", "full_width", "denominator"):
        assert np.array_equal(parts[name][plain], sources[name][plain])


def test_what_our_decoder_would_scale_down_or_refuse_is_not_plain(mixed):
    assert not read(mixed, max_pixels=10)[1]["height"].any()
    boxes = [(0, 0, 70, 70)] * len(mixed)
    assert read(with_boxes(mixed, boxes), size=10)[1]["height"].any()
    boxes = [(0, 0, 99, 99)] * len(mixed)
    assert not read(with_boxes(mixed, boxes), size=8)[1]["height"].any()
    # No room for them.
    assert not read(mixed, room=-1)[1]["height"].any()


def marker(data: bytes, kind: int) -> int:
    """Return where a segment of the kind begins."""
    return data.index(bytes([0xFF, kind]))


def damages(data: bytes) -> dict[str, bytes]:
    """Return what may become of a JPEG with restart markers, none of which is plain."""
    middle, scan = len(data) // 2, marker(data, 0xDA)
    middle = data.index(b"\xff\xd3", scan)
    frame = marker(data, 0xC0)
    codes, numbers = marker(data, 0xC4), marker(data, 0xDB)
    return {
        "empty": b"",
        "one byte": data[:1],
        "an end": b"\xff\xd8\xff\xd9",
        "no scan": data[:scan] + data[-2:],
        "no frame": data[:frame] + b"\xff\xfe" + data[frame + 2 :],
        "two frames": data[:frame] + data[frame:scan] + data[frame:],
        "truncated": data[:middle],
        "truncated, with an end": data[:middle] + b"\xff\xd9",
        "more behind the end": data + b"\0",
        "a restart marker missing": data[:middle] + data[middle + 2 :],
        "a restart marker too many": data[:-2] + b"\xff\xd0\xff\xd9",
        "a restart marker of another number": data[:middle] + b"\xff\xd5" + data[middle + 2 :],
        "a stray marker": data[:middle] + b"\xff\xc4" + data[middle + 2 :],
        "arithmetic coding": data[: frame + 1] + b"\xc9" + data[frame + 2 :],
        "12 bits": data[: frame + 4] + b"\x0c" + data[frame + 5 :],
        "no height": data[: frame + 5] + b"\0\0" + data[frame + 7 :],
        "two components": data[: frame + 9] + b"\x02" + data[frame + 10 :],
        "unusual sampling": data[: frame + 11] + b"\x41" + data[frame + 12 :],
        "chroma finer than usual": data[: frame + 14] + b"\x22" + data[frame + 15 :],
        "a scan of one component": data[: scan + 4] + b"\x01" + data[scan + 5 :],
        "a segment beyond the end": data[:2] + b"\xff\xe5\xff\xff" + data[2:],
        "a segment without a length": data[:2] + b"\xff\xe5\0\0" + data[2:],
        "no numbers to divide by": data[:numbers] + b"\xff\xfe" + data[numbers + 2 :],
        "numbers under another name": data[: numbers + 4] + b"\x03" + data[numbers + 5 :],
        "numbers of 16 bits": data[: numbers + 4] + b"\x10" + data[numbers + 5 :],
        "no codes": data[:codes] + b"\xff\xfe" + data[codes + 2 :],
        "codes under another name": data[: codes + 4] + b"\x02" + data[codes + 5 :],
        "codes of another kind": data[: codes + 4] + b"\x20" + data[codes + 5 :],
        "more codes than there is room for": data[: codes + 5] + b"\3" + data[codes + 6 :],
        "a code of all ones": data[: codes + 5] + b"\2" + bytes(15) + data[codes + 21 :],
        "more symbols than the segment has": data[: codes + 20] + b"\xff" + data[codes + 21 :],
        "a scan that names other codes": data[: scan + 6] + b"\x22" + data[scan + 7 :],
        "a scan with a byte too many": data[: scan + 2]
        + bytes([0, data[scan + 3] + 1])
        + data[scan + 4 : scan + 14]
        + b"\0"
        + data[scan + 14 :],
        "bytes between segments": data[:2] + b"\0" + data[2:],
    }


def test_no_damaged_jpeg_is_plain(tmp_path, mixed):
    row = next(row for row, name in enumerate(mixed.name) if name.endswith("restarts.jpg"))
    data = Path(mixed.paths()[row]).read_bytes()
    files = {"whole": data, **damages(data)}
    for number, content in enumerate(files.values()):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    extent = mixed.extent[[row] * len(files)].copy()
    extent["file"] = np.arange(len(files))
    extent["size"] = [len(content) for content in files.values()]
    dataset = replace(
        mixed.subset([row] * len(files)),
        root=tmp_path,
        files=tuple(f"{number}.jpg" for number in range(len(files))),
        extent=extent,
    )
    heights = dict(zip(files, read(dataset)[1]["height"].tolist(), strict=True))
    assert [name for name, height in heights.items() if height > 0] == ["whole"]


def test_an_orientation_is_plain_only_where_it_is_ignored(tmp_path):
    scene(60, 60).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif(6))
    (tmp_path / "labels.csv").write_text("path,x0,y0,x1,y1,yaw,pitch,roll\na.jpg,0,0,60,60,0,0,0")
    dataset = open_dataset(tmp_path)
    assert read(dataset)[1]["height"] == [0]
    assert read(dataset, ignore_exif=True)[1]["height"] == [60]
