"""The numbers and drawings of `hmtl data stats`."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_data import write_300w_lp, write_labels
from hdf5_trees import SIDES, write_xgaze
from PIL import Image

from hmtl.data import open_dataset
from hmtl.data.stats import dataset_stats, known_angles
from hmtl.plots import png, pose_histograms


def write_table(root: Path, *lines: str) -> Path:
    (root / "labels.csv").write_text("\n".join(["path,x0,y0,x1,y1,yaw,pitch,roll,subject", *lines]))
    return root


def write_image(path: Path, height: int, width: int, **options: object) -> None:
    Image.new("RGB", (width, height)).save(path, **options)


def test_the_numbers_of_a_table_by_hand(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 40, 60)
    write_image(tmp_path / "b.png", 20, 30)
    write_table(
        tmp_path,
        "a.jpg,10,10,30,50,-180,0,5,x",
        "a.jpg,10,10,20,20,-180.5,9.99,5,x",
        "b.png,0,0,10,10,179.9,10,5,x",
        "b.png,0,0,10,10,180,-0.01,5,y",
    )
    stats = dataset_stats(open_dataset(tmp_path))
    assert json.loads(json.dumps(stats, allow_nan=False)) == stats
    assert (stats["layout"], stats["n"], stats["split"]) == ("csv", 4, None)
    assert stats["subjects"]["n"] == 2
    assert stats["subjects"]["samples"] == {"min": 1, "5%": 1.1, "median": 2, "95%": 2.9, "max": 3}
    # Two images, although each is in two samples.
    assert stats["images"] == {"n": 2, "unreadable": 0}
    assert stats["sizes"]["image"]["height"]["median"] == 30
    assert stats["sizes"]["image"]["width"]["max"] == 60
    assert stats["sizes"]["face"]["height"]["max"] == 40
    assert stats["sizes"]["face"]["width"]["max"] == 20
    assert stats["beyond_99"] == {"n": 4, "share": 1.0}
    assert stats["flipped"] is None

    yaw = stats["pose"]["yaw"]
    assert (yaw["n"], yaw["min"], yaw["max"]) == (4, -180.5, 180)
    assert (yaw["histogram"]["below"], yaw["histogram"]["above"]) == (1, 1)
    counts = dict(zip(yaw["histogram"]["edges"], yaw["histogram"]["counts"], strict=False))
    assert {edge: count for edge, count in counts.items() if count} == {-180: 1, 170: 1}
    pitch = stats["pose"]["pitch"]["histogram"]
    counts = dict(zip(pitch["edges"], pitch["counts"], strict=False))
    assert {edge: count for edge, count in counts.items() if count} == {-10: 1, 0: 2, 10: 1}


def test_mirrored_copies_are_counted_in_300w_lp(tmp_path: Path) -> None:
    write_300w_lp(tmp_path, count=3, subjects=1, size=32)
    (tmp_path / "AFW_Flip").mkdir()
    for path in sorted((tmp_path / "AFW").iterdir())[:2]:
        (tmp_path / "AFW_Flip" / path.name).write_bytes(path.read_bytes())
    stats = dataset_stats(open_dataset(tmp_path))
    assert stats["flipped"] == {"n": 1, "share": 0.25}
    assert stats["subjects"]["n"] == 1


def test_a_direction_has_no_roll_and_arrays_tell_their_size(tmp_path: Path) -> None:
    stats = dataset_stats(open_dataset(write_xgaze(tmp_path, train=[0, 108])))
    assert (stats["split"], stats["convention"]) == ("train", "direction")
    assert list(known_angles(stats)) == ["yaw", "pitch"]
    roll = stats["pose"]["roll"]
    assert (roll["n"], roll["mean"], roll["median"]) == (0, None, None)
    assert sum(roll["histogram"]["counts"]) == 0
    assert stats["beyond_99"]["n"] == 0
    assert stats["images"] == {"n": 6, "unreadable": 0}
    sizes = stats["sizes"]["image"]
    assert (sizes["height"]["min"], sizes["width"]["max"]) == SIDES


def test_images_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=3, subjects=3, size=32)
    sorted(root.rglob("*.jpg"))[1].write_bytes(b"")
    stats = dataset_stats(open_dataset(root))
    assert stats["images"] == {"n": 3, "unreadable": 1}
    assert stats["sizes"]["image"]["height"]["min"] == 32


def test_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40)).save(buffer, "JPEG")
    data = buffer.getvalue()
    padding = b"\xff\xe5\xff\xff" + bytes(0xFFFD)
    (tmp_path / "a.jpg").write_bytes(data[:2] + padding + data[2:])
    root = write_table(tmp_path, "a.jpg,1,1,9,9,0,0,0,x")
    assert dataset_stats(open_dataset(root))["sizes"]["image"]["width"]["min"] == 50


def test_the_drawn_bars_are_the_counts(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path, count=5, subjects=5, size=32)
    write_labels(sorted(root.rglob("*.mat"))[0], [500.0, 0.0, 0.0], 32)
    stats = dataset_stats(open_dataset(root))
    figure = pose_histograms(known_angles(stats), title="heads")
    assert len(figure.axes) == 3
    assert figure.get_suptitle() == "heads"
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == stats["pose"]["yaw"]["histogram"]["counts"]
    assert sum(heights) == 4
    assert figure.axes[0].get_title(loc="left") == "yaw, 1 beyond"
    assert png(figure).startswith(b"\x89PNG")


def histogram(**counts: int) -> dict[str, object]:
    """Return an angle's `histogram`; bins are named by their lower edge: m20 is -20 to -10."""
    edges = list(range(-180, 181, 10))
    filled = {int(name.replace("m", "-").lstrip("p")): count for name, count in counts.items()}
    values = [filled.get(edge, 0) for edge in edges[:-1]]
    return {"histogram": {"edges": edges, "counts": values, "below": 0, "above": 0}}


@pytest.mark.parametrize(
    ("counts", "limits", "ticks"),
    [
        ({"m20": 1, "p20": 2}, (-30, 30), [-30, 0, 30]),
        ({"m30": 1, "p30": 2}, (-30, 60), [-30, 0, 30, 60]),
        ({"p0": 1}, (0, 30), [0, 30]),
        ({"m100": 1, "p170": 7}, (-120, 180), [-120, -60, 0, 60, 120, 180]),
        ({}, (-30, 30), [-30, 0, 30]),
    ],
)
def test_the_plot_is_as_wide_as_the_data_and_counts_whole_samples(
    counts: dict[str, int], limits: tuple[int, int], ticks: list[int]
) -> None:
    (axes,) = pose_histograms({"yaw": histogram(**counts)}, title="").axes
    assert axes.get_xlim() == limits
    assert [tick for tick in axes.get_xticks() if limits[0] <= tick <= limits[1]] == ticks
    assert all(float(tick).is_integer() for tick in axes.get_yticks())
    assert axes.get_ylim()[1] >= max(counts.values(), default=1)


@pytest.mark.data
def test_the_real_samples_have_the_published_sizes(realdata: Path) -> None:
    stats = dataset_stats(open_dataset(realdata / "300W_LP"))
    assert stats["sizes"]["image"]["height"] == dict.fromkeys(
        ["min", "5%", "median", "95%", "max"], 450
    )
    assert stats["flipped"] == {"n": 4, "share": 0.4}
    assert np.isclose(stats["pose"]["yaw"]["max"], 31.867, atol=1e-3)
