"""Files that are not what they were when they were indexed, loose ones and containers."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from loader_data import COUNT, write_small

from hmtl import _core
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.data.columns import EXTENT_DTYPE, Codec

ROW = 4


def empty(path: Path) -> None:
    path.write_bytes(b"")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(1000))


def vanish(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_socket(path: Path) -> None:
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        # A path of its own would be too long for a socket's address.
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def become_a_link_in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def become_another_picture(path: Path) -> None:
    other = open_dataset(write_300w_lp(path.parent / "other", count=1, subjects=1, size=200))
    Path(other.paths()[0]).replace(path)


def become_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


CHANGED = r"file changed since it was indexed, the index has [\d,]+ bytes from byte [\d,]+: "
LOOSE: list[tuple[Callable[[Path], None], str]] = [
    (empty, CHANGED),
    (shrink, CHANGED),
    (grow, CHANGED),
    (vanish, r"cannot open \(No such file or directory\): "),
    (become_a_folder, "not a regular file: "),
    (become_a_pipe, "not a regular file: "),
    (become_a_socket, "cannot open"),
    (become_a_link_in_a_circle, r"cannot open \(Too many levels of symbolic links\): "),
    (become_another_picture, CHANGED),
    (become_zeros, r"not a JPEG"),
]


def invalid_rows(loader: Loader, between: Callable[[], None]) -> tuple[list[int], list[str]]:
    """Return the rows of an epoch that are not valid, and why; `between` comes after a batch."""
    rows: list[int] = []
    for number, batch in enumerate(loader):
        rows += batch.index[~batch.valid].tolist()
        assert not batch.images[~batch.valid].any()
        if number == 0:
            between()
    return rows, [entry["reason"] for entry in loader.stats()["bad"]]


def evaluation(dataset: Dataset) -> Loader:
    """A loader that has read no more than one batch beyond the one it hands out."""
    return Loader(
        dataset, batch_size=2, size=16, pretext="none", augmentation="none", shuffle=False,
        drop_last=False, on_error="substitute", prefetch=1,
    )  # fmt: skip


@pytest.mark.parametrize(("change", "message"), LOOSE, ids=[change.__name__ for change, _ in LOOSE])
@pytest.mark.parametrize("when", ["before", "within"])
def test_a_loose_file_that_changes_is_an_error_that_names_it(tmp_path, change, message, when):
    dataset = write_small(tmp_path, count=8)
    path = Path(dataset.paths()[ROW])

    def meddle() -> None:
        change(path)

    if when == "before":
        meddle()
        loader = Loader(dataset, batch_size=2, size=32)
        with pytest.raises(_core.DecodeError, match=f"{message}.*{path.name}"):
            list(loader)
    rows, reasons = invalid_rows(evaluation(dataset), meddle if when == "within" else lambda: None)
    assert rows == [ROW]
    assert path.name in reasons[0]
    assert "\n" not in reasons[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error_that_names_it(tmp_path):
    dataset = write_small(tmp_path, count=8)
    Path(dataset.paths()[ROW]).chmod(0)
    rows, reasons = invalid_rows(evaluation(dataset), lambda: None)
    assert rows == [ROW]
    assert reasons[0].startswith("cannot open (Permission denied): ")


CONTAINED: list[tuple[Callable[[Path], None], str]] = [
    (empty, CHANGED + "row 0 of "),
    (vanish, r"cannot open \(No such file or directory\): row 0 of "),
    (become_a_folder, "not a regular file: row 0 of "),
    (become_a_pipe, "not a regular file: row 0 of "),
    (become_zeros, "LZF of another size: .* row 0 of "),
]


def containers(tmp_path: Path, count: int) -> Dataset:
    """Three files of so many images each."""
    root = write_xgaze(tmp_path / "xgaze", train=[0, 1, 2], count=count)
    return open_dataset(root, split="train")


@pytest.mark.parametrize(
    ("change", "message"), CONTAINED, ids=[change.__name__ for change, _ in CONTAINED]
)
def test_a_container_that_changes_before_it_is_opened_is_an_error(tmp_path, change, message):
    dataset = containers(tmp_path, 4)
    path = Path(dataset.paths()[2])
    # The first file, at most, is read by the time it changes.
    rows, reasons = invalid_rows(evaluation(dataset), lambda: change(path))
    # What did not become smaller in its file is stored as it is, where zeros are a black picture.
    assert rows == [8, 10, 11] if change is become_zeros else [8, 9, 10, 11]
    assert all(path.name in reason for reason in reasons)
    with pytest.raises(_core.DecodeError, match=f"{message}.*{path.name}"):
        list(Loader(dataset.subset([8]), batch_size=1, size=16, num_threads=1, augmentation="none"))


def test_a_container_that_shrinks_while_it_is_open_is_an_error(tmp_path):
    dataset = containers(tmp_path, 12).subset(np.arange(12))
    path = Path(dataset.paths()[0])
    last = int(dataset.extent["offset"].argmax())

    def cut() -> None:
        os.truncate(path, int(dataset.extent["offset"][last]) + 1)

    rows, reasons = invalid_rows(evaluation(dataset), cut)
    assert rows == [last]
    assert reasons[-1].startswith("file changed since it was indexed, the index has ")
    assert f"row {last} of {path}" in reasons[-1]


@pytest.mark.parametrize("change", [vanish, grow, become_a_folder, become_another_picture])
def test_an_open_container_goes_on_to_be_read_as_it_was_indexed(tmp_path, change):
    dataset = containers(tmp_path, 12).subset(np.arange(12))
    expected = [batch.images for batch in evaluation(dataset)]
    found = []
    for number, batch in enumerate(evaluation(dataset)):
        found.append(batch.images)
        if number == 0:
            change(Path(dataset.paths()[0]))
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


def open_files(folder: Path) -> int:
    """How many descriptors of this process are of files below a folder."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith(str(folder))
        except FileNotFoundError:  # the one of the listing itself
            continue
    return count


def test_containers_are_opened_once_within_bounds_and_closed_with_the_loader(tmp_path):
    files, side = 150, 8
    images = np.random.default_rng(0).integers(0, 256, (files, 2, side, side, 3), dtype=np.uint8)
    names = [f"{number}.bin" for number in range(files)]
    for name, pair in zip(names, images, strict=True):
        (tmp_path / name).write_bytes(pair.tobytes())
    extent = np.zeros(2 * files, EXTENT_DTYPE)
    extent["file"], extent["row"] = np.divmod(np.arange(2 * files), 2)
    extent["codec"], extent["size"] = Codec.BGR, side * side * 3
    extent["height"] = extent["width"] = side
    extent["offset"] = extent["row"] * side * side * 3
    box = np.tile(np.array([0, 0, side, side], np.float32), (2 * files, 1))
    dataset = Dataset(
        root=tmp_path, layout="raw", crop="box", files=tuple(names), extent=extent,
        pose=np.zeros((2 * files, 3)), face=box, box=box, subject=np.zeros(2 * files),
        subjects=("a",), fingerprint="1",
    )  # fmt: skip
    loader = Loader(
        dataset, batch_size=10, size=side, pretext="none", augmentation="none", num_threads=4
    )
    most = 0
    for _ in range(3):
        for batch in loader:
            assert open_files(tmp_path) <= 128 + 4
            most = max(most, open_files(tmp_path))
            pair = images.reshape(-1, side, side, 3)[batch.index.numpy()]
            assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), pair[..., ::-1])
    assert most >= 120
    loader.close()
    del loader
    assert open_files(tmp_path) == 0


def test_loose_files_are_not_kept_open(tmp_path):
    dataset = write_small(tmp_path)
    loader = Loader(dataset, batch_size=COUNT, size=32)
    list(loader)
    assert open_files(tmp_path) == 0
    loader.close()
