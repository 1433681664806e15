"""The CSV layout: its columns, its paths, and errors that name the line."""

from pathlib import Path

import numpy as np
import pytest
from trees import write_aflw2000, write_csv

from hmtl.data import open_dataset
from hmtl.data.layouts import csv
from hmtl.data.layouts.layout import Problem, Request
from hmtl.errors import DataError

ROW = "a.jpg,10,20,110.5,140,1.5,-2,3"


def test_csv_columns_come_through_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_csv(tmp_path, "b/z.PNG,1,2,3,4,-5,6,700", ROW, "./b/../a.jpg,0,0,5,5,0,0,0")
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.crop, dataset.root) == ("csv", "box", tmp_path)
    assert dataset.files == ("b/z.PNG", "a.jpg")
    assert dataset.name == ["b/z.PNG", "a.jpg", "a.jpg"]
    assert dataset.extent["codec"].tolist() == [1, 0, 0]
    assert dataset.pose.tolist() == [[-5, 6, 700], [1.5, -2, 3], [0, 0, 0]]
    assert dataset.face.tolist()[:2] == [[1, 2, 3, 4], [10, 20, 110.5, 140]]
    assert np.array_equal(dataset.face, dataset.box)
    assert [dataset.subjects[number] for number in dataset.subject] == ["b/z", "a", "a"]


def test_csv_may_name_subjects(tmp_path: Path) -> None:
    header = "path,x0,y0,x1,y1,yaw,pitch,roll,subject"
    rows = [f"{name}.jpg,1,2,3,4,5,6,7,{who}" for name, who in zip("abc", "ABA", strict=True)]
    write_csv(tmp_path, *rows, header=header)
    dataset = open_dataset(tmp_path)
    assert dataset.subjects == ("A", "B")
    assert dataset.subject.tolist() == [0, 1, 0]


def test_csv_may_be_given_by_itself_beside_others(tmp_path: Path) -> None:
    table = write_csv(tmp_path, ROW)
    (tmp_path / "other.csv").write_text("nothing of ours\n")
    assert open_dataset(table).root == tmp_path
    with pytest.raises(DataError, match="unknown layout"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match=r"a \.csv file or a folder with exactly one"):
        open_dataset(tmp_path, layout="csv")


def test_a_list_of_boxes_is_not_taken_for_a_data_set(tmp_path: Path) -> None:
    write_csv(tmp_path, "a.jpg,1,2,3,4", header="path,x0,y0,x1,y1")
    with pytest.raises(DataError, match="unknown layout"):
        open_dataset(tmp_path)


def test_a_folder_that_is_named_as_a_table_is_none(tmp_path: Path) -> None:
    write_csv(tmp_path / "own", ROW)
    write_aflw2000(tmp_path / "other")
    for root, layout in ((tmp_path / "own", "csv"), (tmp_path / "other", "aflw2000")):
        (root / "old.csv").mkdir()
        assert open_dataset(root).layout == layout


def test_csv_with_quoted_names_is_read(tmp_path: Path) -> None:
    header = ",".join(f'"{name}"' for name in csv.COLUMNS)
    write_csv(tmp_path, ROW, header=header)
    assert len(open_dataset(tmp_path)) == 1


def test_csv_of_a_spreadsheet_program_is_read(tmp_path: Path) -> None:
    table = write_csv(tmp_path, ROW)
    text = table.read_text().replace("\n", "\r\n") + "\r\n"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(open_dataset(tmp_path)) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.jpg,1,2,3,4,5,6"], r"expected 8 columns, got 7 \(.*labels\.csv:2\)"),
        ([ROW, "", "b.jpg,1,2,3,4,5,6,7,8"], r"expected 8 columns, got 9 \(.*labels\.csv:4\)"),
        (
            ["a.jpg,1,2,3,4,5,6,nan"],
            r"roll must be a finite number within ±1e\+09, got 'nan' \(.*:2\)",
        ),
        (["a.jpg,1,2,3,4,5,6,"], r"roll must be a finite number within ±1e\+09, got '' \(.*:2\)"),
        (
            ["a.jpg,1,2,3,4,left,6,7"],
            r"yaw must be a finite number within ±1e\+09, got 'left' \(.*:2\)",
        ),
        (
            ["a.jpg,inf,2,3,4,5,6,7"],
            r"x0 must be a finite number within ±1e\+09, got 'inf' \(.*:2\)",
        ),
        (
            ["a.jpg,1,2,1e300,4,5,6,7"],
            r"x1 must be a finite number within .*, got '1e300' \(.*:2\)",
        ),
        (["a.jpg,3,2,3,4,5,6,7"], r"box must satisfy x0 < x1 and y0 < y1, got 3,2,3,4 \(.*:2\)"),
        (
            ["../a.jpg,1,2,3,4,5,6,7"],
            r"must lie below the CSV's folder, got '\.\./a\.jpg' \(.*:2\)",
        ),
        (["b/../../a.jpg,1,2,3,4,5,6,7"], "must lie below the CSV's folder"),
        (["/etc/a.jpg,1,2,3,4,5,6,7"], "must lie below the CSV's folder"),
        (["a\0.jpg,1,2,3,4,5,6,7"], r"must lie below the CSV's folder, got 'a\\x00\.jpg'"),
        (
            ["a.gif,1,2,3,4,5,6,7"],
            r"images must end in \.jpg, \.jpeg, \.png, got 'a\.gif' \(.*:2\)",
        ),
        ([], r"no samples in .*labels\.csv"),
    ],
)
def test_csv_errors_name_the_line(tmp_path: Path, rows: list[str], message: str) -> None:
    write_csv(tmp_path, *rows)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


def test_csv_with_other_columns_names_them(tmp_path: Path) -> None:
    write_csv(tmp_path, header="path,yaw,pitch,roll")
    with pytest.raises(
        DataError, match=r"columns must be path,x0.*, got path,yaw,pitch,roll \(.*:1"
    ):
        open_dataset(tmp_path)


def test_csv_naming_a_missing_image_names_both(tmp_path: Path) -> None:
    table = write_csv(tmp_path, ROW)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=rf"cannot read image .*a\.jpg: No such.* \({table}:2\)"):
        open_dataset(tmp_path)


def test_every_wrong_line_of_a_csv_is_a_problem_of_its_own(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path, ROW, "a.jpg,1,2,3,4,5,6", "b.jpg,1,2,3,4,5,6,7", "a.jpg,x,2,3,4,5,6,7"
    )
    (tmp_path / "b.jpg").unlink()
    request = Request(crop="box")
    problems: list[Problem] = []
    scan = csv.LAYOUT.scan(table, request)
    columns = csv.LAYOUT.read(table, scan, request, problems.append)
    assert len(columns.extent) == 1
    assert [(problem.kind, problem.path) for problem in problems] == [
        ("label", "labels.csv"),
        ("image", "b.jpg"),
        ("label", "labels.csv"),
    ]
    assert [f"({table}:{line})" in problem.message for line, problem in enumerate(problems, 3)] == [
        True
    ] * 3
