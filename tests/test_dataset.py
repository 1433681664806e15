"""The columnar dataset: what cannot be changed, how it is divided and joined, and listed names."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import write_aflw2000, write_csv, write_w300lp

from hmtl.data import Dataset, concat, open_dataset
from hmtl.data.columns import EXTENT_DTYPE, Codec, file_extents
from hmtl.data.dataset import within_range
from hmtl.errors import DataError

# The images of AFLW2000-3D with an angle beyond ±99°.
# fmt: off
BEYOND = [
    32, 88, 91, 139, 150, 179, 188, 260, 290, 339, 352, 392, 400, 450, 617, 734, 983, 1486, 1530,
    1547, 1845, 1916, 2000, 2958, 3123, 3162, 3173, 3174, 3273, 3286, 4157,
]
# fmt: on


def make_dataset(subject: list[int], root: Path = Path("/data/set"), **fields: Any) -> Dataset:
    count = len(subject)
    extent = file_extents(np.zeros(count), Codec.JPEG)
    values = {
        "root": root,
        "layout": "csv",
        "crop": "box",
        "files": tuple(f"{i}.jpg" for i in range(count)),
        "extent": extent,
        "pose": np.arange(count * 3).reshape(count, 3),
        "face": np.tile([0.0, 0.0, 5.0, 5.0], (count, 1)),
        "box": np.tile([0.0, 0.0, 9.0, 9.0], (count, 1)),
        "subject": np.array(subject),
        "subjects": tuple(f"s{i}" for i in range(max(subject, default=0) + 1)),
        "fingerprint": "f",
    }
    return Dataset(**(values | fields))


def test_extents_have_the_memory_layout_of_the_core() -> None:
    assert EXTENT_DTYPE.itemsize == 40
    assert [EXTENT_DTYPE.fields[name][1] for name in EXTENT_DTYPE.names] == [
        0,
        4,
        8,
        16,
        24,
        26,
        28,
        32,
    ]


def test_columns_take_their_type_and_cannot_be_written() -> None:
    dataset = make_dataset([0, 0, 1])
    assert (dataset.pose.dtype, dataset.subject.dtype) == (np.float32, np.int32)
    for column in (dataset.extent, dataset.pose, dataset.face, dataset.box, dataset.subject):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = column[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.root = Path()


def test_the_arrays_passed_in_stay_writable() -> None:
    pose = np.zeros((1, 3), dtype=np.float32)
    dataset = make_dataset([0], pose=pose)
    assert pose.flags.writeable
    assert not dataset.subset([0]).pose.flags.writeable


@pytest.mark.parametrize("name", ["pose", "face", "box"])
def test_columns_of_other_lengths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be of shape"):
        make_dataset([0, 1], **{name: np.zeros((3, 4))})


def test_subset_takes_ids_in_their_order_and_more_than_once() -> None:
    part = make_dataset([0, 1, 2]).subset([2, 0, 2])
    assert part.name == ["2.jpg", "0.jpg", "2.jpg"]
    assert part.pose[:, 0].tolist() == [6, 0, 6]
    assert part.subject.tolist() == [2, 0, 2]


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_mask_and_its_ids_give_the_same_subset(mask: list[bool]) -> None:
    dataset = make_dataset([0] * len(mask))
    by_mask, by_ids = dataset.subset(mask), dataset.subset(np.flatnonzero(mask))
    assert by_mask.name == by_ids.name == [f"{i}.jpg" for i, keep in enumerate(mask) if keep]
    assert by_mask.fingerprint == by_ids.fingerprint


def test_the_fingerprint_of_a_subset_tells_which_samples_it_has() -> None:
    dataset = make_dataset([0, 0, 0])
    other = make_dataset([0, 0, 0], fingerprint="g")
    prints = {
        dataset.fingerprint,
        dataset.subset([0, 1]).fingerprint,
        dataset.subset([1, 0]).fingerprint,
        dataset.subset([0, 1]).subset([0]).fingerprint,
        other.subset([0, 1]).fingerprint,
    }
    assert len(prints) == 5
    assert dataset.subset([0, 1]).fingerprint == dataset.subset([0, 1]).fingerprint


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([0, 3], r"sample ids must lie in \[0, 3\), got 3"),
        ([-1], r"sample ids must lie in \[0, 3\), got -1"),
        ([True, False], "a mask of 2 does not fit 3 samples"),
        ([0.0, 1.0], "must be a mask or ids of one dimension, got float64"),
        ([[0, 1]], r"must be a mask or ids of one dimension, got int64 of shape \(1, 2\)"),
    ],
)
def test_samples_that_there_are_not_are_refused(samples: list[Any], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        make_dataset([0, 0, 0]).subset(samples)


def test_a_subset_may_be_empty() -> None:
    assert len(make_dataset([0, 0]).subset([])) == 0


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=60).filter(lambda s: len(set(s)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_a_split_divides_the_samples_and_no_subject(
    subject: list[int], fraction: float, seed: int
) -> None:
    dataset = make_dataset(subject)
    first, second = dataset.split_by_subject(fraction, seed)
    assert sorted(first.name + second.name) == sorted(dataset.name)
    assert len(first) > 0
    assert len(second) > 0
    assert not set(first.subject) & set(second.subject)
    largest = max(subject.count(number) for number in set(subject))
    assert abs(len(first) - fraction * len(dataset)) <= largest


def test_a_split_depends_on_its_seed_alone() -> None:
    dataset = make_dataset(list(range(40)))
    first = dataset.split_by_subject(0.25, seed=1)[0]
    assert first.name == dataset.split_by_subject(0.25, seed=1)[0].name
    assert first.name != dataset.split_by_subject(0.25, seed=2)[0].name
    assert len(first) == 10


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_split_of_nothing_or_all_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"fraction must lie in \(0, 1\)"):
        make_dataset([0, 1]).split_by_subject(fraction, seed=0)


def test_one_subject_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="a split needs two subjects, got 1"):
        make_dataset([0, 0]).split_by_subject(0.5, seed=0)


def test_concat_keeps_equal_names_of_different_roots_apart() -> None:
    joined = concat([make_dataset([0, 1], Path("/data/a")), make_dataset([0], Path("/data/b"))])
    assert joined.root == Path("/data")
    assert joined.name == ["a/0.jpg", "a/1.jpg", "b/0.jpg"]
    assert joined.paths() == ["/data/a/0.jpg", "/data/a/1.jpg", "/data/b/0.jpg"]
    assert joined.subjects == ("a/s0", "a/s1", "b/s0")
    assert joined.subject.tolist() == [0, 1, 2]
    assert joined.pose[2].tolist() == [0, 1, 2]


def test_concat_of_the_parts_of_a_dataset_is_the_dataset() -> None:
    dataset = make_dataset([0, 1, 0])
    joined = concat([dataset.subset([0]), dataset.subset([1, 2])])
    assert joined.root == dataset.root
    assert joined.files == dataset.files
    assert joined.name == dataset.name
    assert joined.subjects == dataset.subjects
    assert joined.subject.tolist() == dataset.subject.tolist()


def test_concat_of_a_root_below_another_finds_both() -> None:
    joined = concat([make_dataset([0], Path("/data")), make_dataset([0], Path("/data/b"))])
    assert joined.paths() == ["/data/0.jpg", "/data/b/0.jpg"]


def test_concat_names_every_layout_and_crop_rule_once() -> None:
    parts = [make_dataset([0]), make_dataset([0], layout="300w-lp", crop="hopenet")]
    joined = concat([*parts, make_dataset([0])])
    assert (joined.layout, joined.crop) == ("csv+300w-lp", "box+hopenet")


def test_concat_has_a_fingerprint_of_its_parts_in_order() -> None:
    one, two = make_dataset([0]), make_dataset([0], fingerprint="g")
    assert concat([one, two]).fingerprint == concat([one, two]).fingerprint
    assert concat([one, two]).fingerprint != concat([two, one]).fingerprint


def test_names_may_be_listed_as_the_peers_list_them(tmp_path: Path) -> None:
    root = tmp_path / "hpdb"
    (root / "01").mkdir(parents=True)
    files = [f"01/frame_{number:05}_rgb.png" for number in range(4)]
    write_csv(root, *(f"{name},1,2,3,4,5,6,7" for name in files))
    table = tmp_path / "list.txt"
    table.write_text("./01/frame_00000_rgb\r\n01/frame_00002\nhpdb/01/frame_00003_rgb.png")
    assert open_dataset(root, "csv", names=table).name == [files[0], files[2], files[3]]


def test_samples_of_one_file_are_named_by_their_rows() -> None:
    dataset = make_dataset([0, 0, 0])
    extent = dataset.extent.copy()
    extent["file"], extent["row"] = [0, 0, 1], [3, 17, -1]
    rows = make_dataset([0, 0, 0], extent=extent, files=("train/subject0003.h5", "a.jpg"))
    assert rows.name == ["train/subject0003.h5#3", "train/subject0003.h5#17", "a.jpg"]


def test_concat_converts_to_the_convention_that_is_named() -> None:
    euler = make_dataset([0], pose=[[60.0, 40.0, 5.0]])
    facing = make_dataset([0], pose=[[60.0, 40.0, np.nan]], convention="direction")
    directions = concat([euler, facing], convention="direction")
    assert directions.convention == "direction"
    assert np.isnan(directions.pose[:, 2]).all()
    assert directions.pose[1, :2].tolist() == [60.0, 40.0]
    # p' = asin(sin p · cos y), y' = atan2(sin y, cos p · cos y)
    yaw, pitch = np.deg2rad([60.0, 40.0])
    expected = [
        np.arctan2(np.sin(yaw), np.cos(pitch) * np.cos(yaw)),
        np.arcsin(np.sin(pitch) * np.cos(yaw)),
    ]
    assert np.allclose(directions.pose[0, :2], np.rad2deg(expected), atol=1e-4)
    angles = concat([euler, facing], convention="euler")
    assert angles.pose[0].tolist() == [60.0, 40.0, 5.0]
    assert angles.pose[1, 0] == pytest.approx(41.56, abs=0.01)
    assert np.isnan(angles.pose[1, 2])
    assert angles.fingerprint != directions.fingerprint


def test_concat_of_two_conventions_is_refused() -> None:
    with pytest.raises(DataError, match=r"must agree on the pose convention, .*\(direction\)"):
        concat([make_dataset([0]), make_dataset([0], convention="direction")])


def test_concat_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one dataset"):
        concat([])


def test_data_sets_of_different_layouts_can_be_joined(tmp_path: Path) -> None:
    write_w300lp(tmp_path / "300W_LP")
    write_csv(tmp_path / "mine", "a.jpg,1,2,3,4,5,6,7")
    joined = concat([open_dataset(tmp_path / "300W_LP"), open_dataset(tmp_path / "mine")])
    assert len(joined) == 6
    assert joined.name[-1] == "mine/a.jpg"
    assert all(Path(path).is_file() for path in joined.paths())


def test_listed_names_choose_samples_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    write_w300lp(tmp_path)
    dataset = open_dataset(tmp_path, names=["./HELEN/HELEN_7_1_0", "AFW/AFW_1_1_1.jpg"])
    assert dataset.name == ["AFW/AFW_1_1_1.jpg", "HELEN/HELEN_7_1_0.jpg"]
    assert dataset.fingerprint != open_dataset(tmp_path).fingerprint


def test_names_may_come_from_a_file(tmp_path: Path) -> None:
    write_w300lp(tmp_path / "300W_LP")
    names = tmp_path / "names.txt"
    names.write_text("./HELEN/HELEN_7_1_0\r\n\nAFW/AFW_1_1_0")
    for given_as in (names, str(names)):
        dataset = open_dataset(tmp_path, names=given_as)
        assert dataset.name == ["AFW/AFW_1_1_0.jpg", "HELEN/HELEN_7_1_0.jpg"]


def test_unknown_names_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    message = "2 of 3 listed names are not in .*, the first is 'image00098'"
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path, names=["image00099", "image00002", "image00098"])
    names = tmp_path / "names.txt"
    names.write_text("image00099\nimage00002\nimage00098\n")
    with pytest.raises(DataError, match=rf"{message} \({names}\)"):
        open_dataset(tmp_path, names=names)


def test_an_empty_or_missing_list_of_names_is_refused(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    with pytest.raises(DataError, match=r"no names are listed$"):
        open_dataset(tmp_path, names=[])
    (tmp_path / "blank.txt").write_text("\n")
    with pytest.raises(DataError, match=r"no names are listed \(.*blank\.txt\)"):
        open_dataset(tmp_path, names=tmp_path / "blank.txt")
    with pytest.raises(DataError, match=r"cannot read list of names .*gone\.txt: No such file"):
        open_dataset(tmp_path, names=tmp_path / "gone.txt")


def test_within_range_counts_the_limit_in_and_missing_roll_not() -> None:
    poses = [[99, -99, 0], [0, 0, 99.5], [-100, 0, 0], [1, 2, np.nan], [np.inf, 0, 0]]
    assert within_range(np.array(poses)).tolist() == [True, False, False, True, False]
    assert within_range(np.array(poses), limit=100).tolist() == [True, True, True, True, False]


@pytest.mark.data
def test_31_published_labels_of_aflw2000_are_out_of_range(realdata: Path) -> None:
    table = realdata / "labels" / "aflw2000_pose.csv"
    names = np.loadtxt(table, dtype=str, delimiter=",", skiprows=1, usecols=0)
    poses = np.loadtxt(table, delimiter=",", skiprows=1, usecols=(1, 2, 3))
    inside = within_range(poses)
    assert np.count_nonzero(inside) == 1969
    assert names[~inside].tolist() == [f"image{number:05}" for number in BEYOND]
