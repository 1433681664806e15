"""The splits of ETH-XGaze: the split file, incomplete copies, and where the folder is found."""

import logging
import os
from pathlib import Path

import pytest
from hdf5_trees import (
    angles,
    patches,
    subject_file,
    write_split,
    write_subject,
    write_xgaze,
)
from problems import read_collecting

from hmtl.data import open_dataset
from hmtl.data.layouts.layout import Problem
from hmtl.data.layouts.xgaze import LAYOUT, audit
from hmtl.errors import ConfigError, DataError

PUBLISHED_TRAIN = """0 3 4 5 6 7 8 9 10 13 14 15 16 18 19 21 24 26 27 28 29 30 31 32 33 35 36 38 39
    40 41 43 44 45 46 48 50 51 52 55 56 57 58 59 60 61 62 63 65 66 67 69 72 73 75 76 78 79 80 81 83
    84 85 88 90 92 95 98 99 100 101 102 103 104 105 106 107 108 109 111"""
VAL = ["subject0108", "subject0109", "subject0111"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="hmtl")
    return caplog


def test_the_published_train_list_is_split_as_in_the_paper(tmp_path: Path) -> None:
    numbers = [int(number) for number in PUBLISHED_TRAIN.split()]
    assert len(numbers) == 80
    write_xgaze(tmp_path, train=reversed(numbers), count=1)
    names = {
        split: [Path(name).stem for name in open_dataset(tmp_path, split=split).files]
        for split in ("train", "fit", "val")
    }
    assert names["val"] == VAL
    assert names["train"] == [f"subject{number:04}" for number in numbers]
    assert names["fit"] == [name for name in names["train"] if name not in VAL]


@pytest.mark.parametrize("key", ["test_person_specific", "test_specific"])
@pytest.mark.parametrize("folder", ["test_person_specific", "test_specific"])
def test_both_names_of_the_person_specific_split_are_known(
    tmp_path: Path, key: str, folder: str
) -> None:
    write_split(tmp_path, train=[], test=[], **{key: [subject_file(22)]})
    write_subject(tmp_path / folder / subject_file(22), patches(2), angles(2), gaze=False)
    dataset = open_dataset(tmp_path, split="test-person-specific")
    assert dataset.name == [f"{folder}/subject0022.h5#0", f"{folder}/subject0022.h5#1"]


def test_without_a_split_file_the_folder_is_the_split(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[5, 3, 109], test=[1], listed=False)
    assert [Path(f).stem for f in open_dataset(tmp_path).files] == [
        "subject0003",
        "subject0005",
        "subject0109",
    ]
    assert f"no train_test_split.json in {tmp_path}: taking the files in train" in log.text
    assert open_dataset(tmp_path, split="val").subjects == ("subject0109",)
    assert open_dataset(tmp_path, split="fit").subjects == ("subject0003", "subject0005")
    assert audit(tmp_path) == []


def test_files_that_are_not_listed_are_not_taken(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 5], test=[1])
    write_split(tmp_path, train=[subject_file(5)], test=[subject_file(1)])
    assert open_dataset(tmp_path).files == ("train/subject0005.h5",)
    assert audit(tmp_path) == [
        Problem(
            kind="unlisted file",
            path="train/subject0003.h5",
            message="file is not listed in train_test_split.json: "
            f"{tmp_path / 'train' / 'subject0003.h5'}",
        )
    ]


def test_a_copy_that_is_not_complete_yet_opens_with_a_warning(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4, 5], test=[1])
    for number in (3, 5):
        (tmp_path / "train" / subject_file(number)).unlink()
    missing = tmp_path / "train" / "subject0003.h5"
    for _ in range(2):
        log.clear()
        assert open_dataset(tmp_path).subjects == ("subject0004",)
        said = f"2 of the 3 files of split 'train' are not there, the first is {missing}"
        assert [r.message for r in log.records if r.levelno == logging.WARNING] == [said]
    assert [(p.kind, p.path) for p in audit(tmp_path)] == [
        ("missing file", "train/subject0003.h5"),
        ("missing file", "train/subject0005.h5"),
    ]
    assert audit(tmp_path)[0].message == (
        f"file that train_test_split.json lists is not there: {missing}"
    )
    log.clear()
    open_dataset(tmp_path, split="test")
    assert "not there" not in log.text


def test_a_file_that_arrives_later_is_indexed(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    path = tmp_path / "train" / subject_file(4)
    content = path.read_bytes()
    path.unlink()
    before = open_dataset(tmp_path)
    path.write_bytes(content)
    log.clear()
    after = open_dataset(tmp_path)
    assert "changed files" in log.text
    assert (len(before), len(after)) == (3, 6)
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("what", ["a subject", "the list"])
def test_changed_files_are_read_again(
    tmp_path: Path, log: pytest.LogCaptureFixture, what: str
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    open_dataset(tmp_path)
    log.clear()
    open_dataset(tmp_path)
    assert "made anew" not in log.text
    if what == "a subject":
        path = tmp_path / "train" / subject_file(3)
        write_subject(path, patches(7), angles(7))
        os.utime(path, ns=(1, 1))
    else:
        write_split(tmp_path, train=[subject_file(4)])
    dataset = open_dataset(tmp_path)
    assert "changed files" in log.text
    assert len(dataset) == (10 if what == "a subject" else 3)


def test_the_order_of_the_list_does_not_matter(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_xgaze(tmp_path, train=[3, 4])
    before = open_dataset(tmp_path).fingerprint
    write_split(tmp_path, train=[subject_file(4), subject_file(3)], test=[subject_file(9)])
    assert open_dataset(tmp_path).fingerprint == before
    assert "made anew" not in log.text


def test_each_split_has_an_index_of_its_own(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 108], test=[1])
    prints = {open_dataset(tmp_path, split=split).fingerprint for split in ("train", "fit", "test")}
    assert len(prints) == 3
    assert sorted(path.name for path in (tmp_path / ".hmtl-index").iterdir()) == [
        "eth-xgaze-box-fit.npz",
        "eth-xgaze-box-test.npz",
        "eth-xgaze-box-train.npz",
    ]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("val", r"'val' \(subject0108.h5, subject0109.h5, subject0111.h5\) that .* in .*train$"),
        ("test", r"'test' that train_test_split.json lists in .*test$"),
        ("test-person-specific", r"'test-person-specific' that .* in .*test_person_specific$"),
    ],
)
def test_a_split_without_files_is_an_error(tmp_path: Path, split: str, said: str) -> None:
    write_xgaze(tmp_path, train=[3])
    with pytest.raises(DataError, match=f"^no files of split {said}"):
        open_dataset(tmp_path, split=split)
    columns, problems = read_collecting(tmp_path, split=split)
    assert ([problem.kind for problem in problems], len(columns.extent)) == (["split"], 0)


def test_a_split_without_list_or_folder_is_an_error(tmp_path: Path) -> None:
    write_xgaze(tmp_path, test=[1], listed=False)
    with pytest.raises(DataError, match=f"^no files of split 'train' in {tmp_path / 'train'}$"):
        open_dataset(tmp_path)
    write_split(tmp_path, test=[subject_file(1)])
    with pytest.raises(DataError, match="no files of split 'train' that train_test"):
        open_dataset(tmp_path)
    assert audit(tmp_path) == []


def test_a_subject_in_two_splits_keeps_its_name(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3, 4], test=[3])
    train, test = (open_dataset(tmp_path, split=split) for split in ("train", "test"))
    assert set(train.subjects) & set(test.subjects) == {"subject0003"}
    assert not set(train.files) & set(test.files)


def test_unknown_splits_and_crops_are_refused(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=[3])
    with pytest.raises(ConfigError, match="unknown split 'dev' of layout 'eth-xgaze'"):
        open_dataset(tmp_path, split="dev")
    with pytest.raises(ConfigError, match="unknown crop rule 'hopenet'"):
        open_dataset(tmp_path, crop="hopenet")


@pytest.mark.parametrize("place", ["ETH-XGaze", "xgaze", "xgaze_224", "xgaze_448"])
def test_the_folder_is_found_in_its_parent(tmp_path: Path, place: str) -> None:
    write_xgaze(tmp_path / place, train=[3])
    assert open_dataset(tmp_path).root == tmp_path / place


@pytest.mark.parametrize("folder", ["train", "test", "test_person_specific", "test_specific"])
def test_a_part_of_the_data_set_is_known_for_what_it_is(tmp_path: Path, folder: str) -> None:
    write_subject(tmp_path / folder / subject_file(1), patches(1), angles(1))
    split = "test-person-specific" if "specific" in folder else folder
    assert open_dataset(tmp_path, split=split).layout == "eth-xgaze"


def test_other_folders_with_a_split_file_are_not_taken(tmp_path: Path) -> None:
    write_split(tmp_path, train=["a", "b"])
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.h5").write_bytes(b"")
    assert LAYOUT.find(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot read {path}: Expecting property name"),
        (b"\xff\xfe\x00", "cannot read {path}: 'utf"),
        (b"[" * 100_000, "cannot read {path}: "),
        (b"[]", r"split file must hold an object of lists, got \[\] in {path}"),
        (b'{"train": "subject0003.h5"}', "'train' must be a list of file names, got 'subject"),
        (b'{"train": [3]}', "'train' must list names ending in .h5, got 3 in {path}"),
        (b'{"train": ["a.txt"]}', "'train' must list names ending in .h5, got 'a.txt' in"),
        (b'{"train": ["../train/subject0003.h5"]}', r"got '\.\./train/subject0003.h5' in {path}"),
        (
            b'{"train": ["subject0003.h5", "subject0003.h5"]}',
            "'train' must list each file once, got 'subject0003.h5' twice in {path}",
        ),
    ],
)
def test_a_split_file_that_makes_no_sense_is_named(
    tmp_path: Path, content: bytes, said: str
) -> None:
    write_xgaze(tmp_path, train=[3])
    path = tmp_path / "train_test_split.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said.format(path=path)) as error:
        open_dataset(tmp_path)
    assert "\n" not in str(error.value)
