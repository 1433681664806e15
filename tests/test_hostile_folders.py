"""Folders as they should not be: read right, or refused in one clear line."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hdf5_trees import write_xgaze
from problems import read_collecting
from trees import write_aflw2000, write_biwi, write_frame, write_pair, write_w300lp

from hmtl.data import open_dataset
from hmtl.errors import DataError
from hmtl.synth import render_dataset

NOBODY = 65534

# Everything is imported before the user changes, as the interpreter may lie where he may not look.
OPEN_AS_NOBODY = f"""
import os, sys
from hmtl.data import open_dataset
from hmtl.errors import DataError
warm, *roots = sys.argv[1:]
open_dataset(warm)
if os.geteuid() == 0:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
for root in roots:
    try:
        print(len(open_dataset(root)))
    except DataError as error:
        print(error)
"""


def write_patches(root: Path) -> None:
    """Write an ETH-XGaze of one subject."""
    write_xgaze(root, train=[0])


# What is written, what of it is closed and how, and what somebody else is told who opens it.
CLOSED = [
    (write_w300lp, None, 0o755, "5"),
    (write_w300lp, ".", 0o000, "cannot read ROOT/AFW: Permission denied"),
    (write_w300lp, "AFW", 0o000, "cannot read ROOT/AFW: Permission denied"),
    (write_w300lp, "HELEN_Flip", 0o000, "cannot read ROOT/HELEN_Flip: Permission denied"),
    (write_w300lp, "HELEN", 0o311, "cannot read ROOT/HELEN: Permission denied"),
    (write_w300lp, "AFW", 0o444, "cannot read ROOT/AFW/AFW_1_1_0.jpg: Permission denied"),
    (write_w300lp, "AFW/AFW_1_1_1.mat", 0o000, "cannot read ROOT/AFW/AFW_1_1_1.mat: Permission d"),
    (write_w300lp, "AFW/AFW_1_1_1.jpg", 0o000, "5"),
    (write_biwi, "21", 0o000, "cannot read ROOT/21: Permission denied"),
    (write_biwi, "01/rgb.cal", 0o000, "cannot read ROOT/01/rgb.cal: Permission denied"),
    (write_biwi, "02/frame_00003_pose.txt", 0o000, "cannot read ROOT/02/frame_00003_pose.txt: Per"),
    (write_biwi, "02/frame_00003_rgb.png", 0o000, "5"),
    (write_patches, "train", 0o000, "cannot read ROOT/train: Permission denied"),
]

# As above, of a whole check: what was counted, and the errors and notes.
CHECK_AS_NOBODY = f"""
import os, sys
from hmtl.data.check import check_dataset
root, closed = sys.argv[1:]
check_dataset(root)
os.chmod(closed, 0)
if os.geteuid() == 0:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
report = check_dataset(root)
print(report.n, report.rendered, report.published)
print(*[problem.message for problem in report.errors + report.notes], sep="\\n")
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def opened_by_nobody(public: Path, *roots: Path) -> list[str]:
    """Return what somebody else is told who opens the data sets: a length or an error."""
    write_w300lp(public / "warm")
    cache = public / "cache"
    cache.mkdir()
    if os.geteuid() == 0:
        os.chown(cache, NOBODY, NOBODY)
    result = subprocess.run(
        [sys.executable, "-P", "-c", OPEN_AS_NOBODY, public / "warm", *roots],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_what_may_not_be_read_is_named(public: Path) -> None:
    roots = []
    for number, (write, closed, mode, _told) in enumerate(CLOSED):
        root = public / f"set{number}"
        roots.append(root)
        write(root)
        if closed is not None:
            (root / closed).chmod(mode)
    expected = [
        told.replace("ROOT", str(root)) for root, (*_, told) in zip(roots, CLOSED, strict=True)
    ]
    told = opened_by_nobody(public, *roots)
    for found, start in zip(told, expected, strict=True):
        assert found.startswith(start)
    assert not (roots[0] / ".hmtl-index").exists()


@pytest.mark.parametrize(("layout", "closed"), [("biwi", "hpdb/02"), ("300w-lp", "HELEN")])
def test_of_a_data_set_that_cannot_be_read_nothing_is_counted(
    public: Path, layout: str, closed: str
) -> None:
    root = public / "set"
    render_dataset(root, layout=layout, count=24, subjects=12, seed=0, size=48, workers=1)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    result = subprocess.run(
        [sys.executable, "-P", "-c", CHECK_AS_NOBODY, root, root / closed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "0 None None",
        f"cannot read {root / closed}: Permission denied",
    ]


def test_a_data_set_in_a_closed_folder_is_named(public: Path) -> None:
    root = public / "closed" / "hpdb"
    write_biwi(root)
    (public / "closed").chmod(0o000)
    assert opened_by_nobody(public, root) == [f"cannot read {root}: Permission denied"]


def test_an_index_that_may_not_be_read_is_passed_over(public: Path) -> None:
    write_biwi(public / "hpdb")
    (public / "hpdb" / ".hmtl-index").mkdir(mode=0o700)
    assert opened_by_nobody(public, public / "hpdb") == ["5"]


def broken_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.with_name("gone"))


def looping_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("broken", "kind", "reason"),
    [
        (broken_link, "image", "No such file or directory"),
        (looping_link, "image", "Too many levels of symbolic links"),
    ],
)
def test_links_that_lead_nowhere_are_named(tmp_path: Path, broken, kind: str, reason: str) -> None:
    write_aflw2000(tmp_path / "pairs")
    broken(tmp_path / "pairs" / "image00003.jpg")
    broken(tmp_path / "pairs" / "image00004.mat")
    columns, problems = read_collecting(tmp_path / "pairs")
    assert columns.files == ("image00002.jpg",)
    assert [(p.kind, p.path) for p in problems] == [
        (kind, "image00003.jpg"),
        ("label", "image00004.mat"),
    ]
    for problem in problems:
        path = tmp_path / "pairs" / problem.path
        assert problem.message == f"cannot read {path}: {reason}"
    with pytest.raises(DataError, match=r"cannot read .*image00003\.jpg: "):
        open_dataset(tmp_path / "pairs")


def test_links_of_biwi_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    broken_link(tmp_path / "01" / "frame_00003_rgb.png")
    broken_link(tmp_path / "01" / "frame_00004_pose.txt")
    broken_link(tmp_path / "21" / "rgb.cal")
    columns, problems = read_collecting(tmp_path)
    assert len(columns.files) == 3
    assert sorted((p.kind, p.path) for p in problems) == [
        ("calibration", "21/rgb.cal"),
        ("image", "01/frame_00003_rgb.png"),
        ("label", "01/frame_00004_pose.txt"),
    ]


def test_folders_and_pipes_that_are_named_as_files_are_no_files(tmp_path: Path) -> None:
    write_aflw2000(tmp_path / "pairs")
    (tmp_path / "pairs" / "image00009.jpg").mkdir()
    os.mkfifo(tmp_path / "pairs" / "image00010.jpg")
    assert len(open_dataset(tmp_path / "pairs")) == 3
    (tmp_path / "pairs" / "image00003.jpg").unlink()
    (tmp_path / "pairs" / "image00003.jpg").mkdir()
    with pytest.raises(DataError, match=r"labels have no \.jpg image beside them: .*00003\.mat"):
        open_dataset(tmp_path / "pairs")
    write_frame(tmp_path / "hpdb", "01/frame_00003")
    (tmp_path / "hpdb" / "01" / "frame_00004_rgb.png").mkdir()
    (tmp_path / "hpdb" / "02").write_text("a file where a sequence is looked for")
    assert open_dataset(tmp_path / "hpdb").name == ["01/frame_00003_rgb.png"]


def test_paths_that_are_not_utf8_are_read_and_named(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe4"))
    write_biwi(root / "hpdb")
    write_frame(root / "hpdb", os.fsdecode(b"01/frame_\xfe"))
    for _ in range(2):
        dataset = open_dataset(root / "hpdb")
        assert len(dataset) == 6
        assert os.fsencode(dataset.paths()[2]).endswith(b"/\xff\xe4/hpdb/01/frame_\xfe_rgb.png")
    write_pair(root / "pairs", "image00002", pt2d=None)
    with pytest.raises(DataError) as caught:
        open_dataset(root / "pairs")
    assert os.fsencode(str(caught.value)).endswith(b"/\xff\xe4/pairs/image00002.mat")


@pytest.mark.slow
def test_a_folder_of_a_hundred_thousand_files_is_read(tmp_path: Path) -> None:
    write_aflw2000(tmp_path)
    for number in range(10, 100_010):
        os.close(os.open(tmp_path / f"image{number:06}.jpg", os.O_CREAT | os.O_WRONLY))
    columns, problems = read_collecting(tmp_path)
    assert len(columns.files) == 3
    assert len(problems) == 100_000
    with pytest.raises(DataError, match=r"image has no \.mat file beside it: .*image000010\.jpg$"):
        open_dataset(tmp_path)


@pytest.mark.slow
def test_a_hundred_thousand_other_files_are_passed_over(tmp_path: Path) -> None:
    write_biwi(tmp_path)
    for number in range(100_000):
        os.close(os.open(tmp_path / "01" / f"frame_{number:06}_depth.bin", os.O_CREAT))
    assert len(open_dataset(tmp_path)) == 5
