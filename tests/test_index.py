"""The index: when it is used, when it is made anew, and where it lies."""

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import write_aflw2000, write_csv, write_labels, write_pair, write_w300lp

from hmtl.data import Dataset, index, open_dataset
from hmtl.data.layouts import aflw2000
from hmtl.data.layouts.layout import Request
from hmtl.data.layouts.scan import Scan, from_rows

pytestmark = pytest.mark.usefixtures("user_cache")

COLUMNS = ("extent", "pose", "face", "box", "subject")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="hmtl")
    return caplog


def reopen(root: Path, log: pytest.LogCaptureFixture) -> str:
    """Open once more and return what was said about indexing ("" where the index was used)."""
    log.clear()
    open_dataset(root)
    return "\n".join(m for m in log.messages if m.startswith("indexing"))


def assert_equal(first: Dataset, second: Dataset) -> None:
    for name in COLUMNS:
        expected = getattr(first, name)
        assert getattr(second, name).dtype == expected.dtype
        assert np.array_equal(getattr(second, name), expected)
    assert second.files == first.files
    assert second.subjects == first.subjects
    assert second.fingerprint == first.fingerprint


def test_the_index_gives_what_was_read(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    write_w300lp(tmp_path)
    first = open_dataset(tmp_path)
    assert "no index yet" in log.text
    log.clear()
    assert_equal(first, open_dataset(tmp_path))
    assert "indexing" not in log.text
    assert [path.name for path in (tmp_path / ".hmtl-index").iterdir()] == ["300w-lp-hopenet.npz"]


def test_from_the_index_no_label_file_is_opened(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    first = open_dataset(tmp_path)
    labels = tmp_path / "image00002.mat"
    status = labels.stat()
    labels.write_bytes(bytes(status.st_size))
    os.utime(labels, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert_equal(first, open_dataset(tmp_path))


def test_each_crop_rule_has_an_index_of_its_own(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    points = np.array([[100.0, 200.0, -1.0], [100.0, 200.0, 452.0]])
    write_pair(tmp_path, "image00002", pt2d=points)
    first = open_dataset(tmp_path)
    visible = open_dataset(tmp_path, crop="visible")
    assert first.fingerprint != visible.fingerprint
    assert reopen(tmp_path, log) == ""
    assert_equal(visible, open_dataset(tmp_path, crop="visible"))


def test_changed_labels_are_read_again(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    write_aflw2000(tmp_path)
    before = open_dataset(tmp_path).fingerprint
    labels = tmp_path / "image00002.mat"
    write_labels(labels, pose_rad=(0.5, 0.0, 0.0))
    os.utime(labels, ns=(1, 1))
    assert "changed files" in reopen(tmp_path, log)
    dataset = open_dataset(tmp_path)
    assert dataset.pose[0, 1] == pytest.approx(np.rad2deg(0.5), abs=1e-4)
    assert dataset.fingerprint != before


def test_a_new_pair_is_found(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    write_aflw2000(tmp_path)
    open_dataset(tmp_path)
    write_pair(tmp_path, "image00099")
    assert "changed files" in reopen(tmp_path, log)
    assert len(open_dataset(tmp_path)) == 4


def test_a_changed_csv_is_read_again(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    table = write_csv(tmp_path, "a.jpg,1,2,3,4,5,6,7")
    open_dataset(table)
    assert reopen(table, log) == ""
    table.write_text(table.read_text().replace("5,6,7", "5,6,8"))
    os.utime(table, ns=(1, 1))
    assert "changed files" in reopen(table, log)
    assert open_dataset(table).pose.tolist() == [[5, 6, 8]]


def test_two_tables_in_one_folder_have_an_index_each(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    table = write_csv(tmp_path, "a.jpg,1,2,3,4,5,6,7")
    other = table.with_name("other.csv")
    other.write_text(table.read_text())
    open_dataset(table)
    open_dataset(other)
    assert reopen(table, log) == reopen(other, log) == ""


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1])
def test_a_torn_index_is_made_anew(
    tmp_path: Path, log: pytest.LogCaptureFixture, kept: float
) -> None:
    write_aflw2000(tmp_path)
    first = open_dataset(tmp_path)
    path = tmp_path / ".hmtl-index" / "aflw2000-hopenet.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if kept == 0.5 else int(kept)])
    assert "unreadable index" in reopen(tmp_path, log)
    assert reopen(tmp_path, log) == ""
    assert_equal(first, open_dataset(tmp_path))


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00\x02\x00(\n", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["version", "files", "extent", "pose"])
def test_an_index_of_other_things_than_arrays_is_made_anew(
    tmp_path: Path, log: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    write_aflw2000(tmp_path)
    first = open_dataset(tmp_path)
    path = tmp_path / ".hmtl-index" / "aflw2000-hopenet.npz"
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, kept in (members | {f"{name}.npy": content}).items():
            archive.writestr(member, kept)
    assert "unreadable index" in reopen(tmp_path, log)
    assert_equal(first, open_dataset(tmp_path))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_flipped_byte_of_an_index_changes_the_dataset(
    tmp_path: Path, data: st.DataObject
) -> None:
    if not (tmp_path / "image00002.mat").exists():
        write_aflw2000(tmp_path)
    first = open_dataset(tmp_path)
    path = tmp_path / ".hmtl-index" / "aflw2000-hopenet.npz"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert_equal(first, open_dataset(tmp_path))


def test_an_index_of_another_version_is_made_anew(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_aflw2000(tmp_path)
    monkeypatch.setattr(index, "VERSION", index.VERSION - 1)
    open_dataset(tmp_path)
    monkeypatch.undo()
    expected = f"version {index.VERSION - 1} of the index, expected {index.VERSION}"
    assert expected in reopen(tmp_path, log)
    assert reopen(tmp_path, log) == ""


def test_beside_a_folder_that_cannot_be_written_the_user_cache_is_used(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_aflw2000(tmp_path)
    (tmp_path / ".hmtl-index").write_text("a file where the folder would be")
    first = open_dataset(tmp_path)
    kept = list((Path(os.environ["XDG_CACHE_HOME"]) / "hmtl").iterdir())
    assert [path.name.startswith("aflw2000-hopenet-") for path in kept] == [True]
    assert reopen(tmp_path, log) == ""
    assert_equal(first, open_dataset(tmp_path))


def test_where_nothing_can_be_written_the_data_are_read_each_time(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_aflw2000(tmp_path)
    blocked = tmp_path / ".hmtl-index"
    blocked.write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert len(open_dataset(tmp_path)) == 3
    assert "index not kept" in log.text
    assert len(open_dataset(tmp_path)) == 3


def test_nothing_temporary_is_left_behind(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    open_dataset(tmp_path)
    assert [path.suffix for path in (tmp_path / ".hmtl-index").iterdir()] == [".npz"]


def test_the_fingerprint_does_not_depend_on_where_the_data_lie(tmp_path: Path) -> None:
    write_aflw2000(tmp_path / "here")
    request = Request(crop="hopenet")
    scan = aflw2000.LAYOUT.scan(tmp_path / "here", request)
    (tmp_path / "here").rename(tmp_path / "there")
    assert aflw2000.LAYOUT.scan(tmp_path / "there", request) == scan


def fingerprint(scan: Scan, layout: str = "aflw2000", **request: Any) -> str:
    return index.fingerprint_of(
        scan, layout=layout, request=Request(**{"crop": "hopenet", **request})
    )


@pytest.mark.parametrize(
    "other",
    [
        [("a.jpg", 4, 1), ("b.jpg", 5, 2), ("c.jpg", 0, 0)],
        [("a.jpg", 4, 1)],
        [("a.jpg", 4, 1), ("c.jpg", 5, 2)],
        [("a.jpg", 4, 1), ("b.jpg", 6, 2)],
        [("a.jpg", 4, 1), ("b.jpg", 5, 3)],
        [("a.jpg", 5, 1), ("b.jpg", 4, 2)],
        [("a.jpg\0b.jpg", 4, 1), ("", 5, 2)],
    ],
)
def test_the_fingerprint_changes_with_every_name_size_and_time(
    other: list[tuple[str, int, int]],
) -> None:
    rows = [("b.jpg", 5, 2), ("a.jpg", 4, 1)]
    assert fingerprint(from_rows(rows)) == fingerprint(from_rows(reversed(rows)))
    assert fingerprint(from_rows(rows)) != fingerprint(from_rows(other))


def test_the_fingerprint_depends_on_layout_and_request(tmp_path: Path) -> None:
    scan = from_rows([("image00002.jpg", 4, 1)])
    boxes = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in boxes:
        path.write_text("the same")
    prints = [
        fingerprint(scan),
        fingerprint(scan, crop="visible"),
        fingerprint(scan, "csv"),
        fingerprint(scan, split="train"),
        *(fingerprint(scan, boxes=path) for path in boxes),
    ]
    os.utime(boxes[0], ns=(1, 1))
    prints.append(fingerprint(scan, boxes=boxes[0]))
    assert len(set(prints)) == len(prints)


def test_each_request_has_an_index_of_its_own(tmp_path: Path) -> None:
    requests = [
        Request(crop="box"),
        Request(crop="hopenet"),
        Request(crop="box", split="train"),
        Request(crop="box", boxes=tmp_path / "here/list.csv"),
        Request(crop="box", boxes=tmp_path / "there/list.csv"),
    ]
    for place in zip(
        *(index.index_paths("biwi", tmp_path, each) for each in requests), strict=True
    ):
        assert len(set(place)) == len(requests)
