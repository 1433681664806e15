"""Damaged packed data sets and indexes: a data set or one clear error, and soon."""

import contextlib
import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_trees import image, label, packed, shards_of, write_photos, write_tar
from trees import write_aflw2000

from hmtl import _core
from hmtl.data import Dataset, Loader, index, open_dataset
from hmtl.data.check import check_dataset
from hmtl.data.index import StaleIndexError, load_index
from hmtl.data.packing.own_index import INDEX
from hmtl.errors import DataError

ENOUGH_S = 20.0

examples = settings(
    max_examples=int(os.environ.get("HMTL_FUZZ_EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# What is done to bytes: a place (as a share), how many of them, and what comes there instead.
cuts = st.tuples(
    st.floats(0, 1), st.integers(0, 700), st.binary(max_size=40) | st.sampled_from([b"\0" * 512])
)
damages = st.lists(cuts, min_size=1, max_size=4)


def damaged(whole: bytes, damage: list[tuple[float, int, bytes]]) -> bytes:
    for place, count, content in damage:
        at = int(place * len(whole))
        whole = whole[:at] + content + whole[at + count :]
    return whole


def flipped(whole: bytes, places: list[float]) -> bytes:
    changed = bytearray(whole)
    for place in places:
        changed[int(place * (len(changed) - 1))] ^= 1 << int(place * 1e6) % 8
    return bytes(changed)


def use(root: Path) -> int:
    """Open, render and check a data set; return how many samples came out of it.

    Anything but the errors of bad data is a failure, and so is taking long.
    """
    start = time.monotonic()
    rendered = 0
    with contextlib.suppress(DataError, _core.DecodeError):
        rendered = render(open_dataset(root, layout="packed"))
    report = check_dataset(root, "packed")
    assert all("\n" not in problem.message for problem in report.errors)
    assert time.monotonic() - start < ENOUGH_S
    return rendered


def render(dataset: Dataset) -> int:
    assert np.abs(np.nan_to_num(dataset.pose)).max() <= 1e9
    loader = Loader(
        dataset, 4, 16, "level2", "none", shuffle=False, drop_last=False, on_error="substitute",
        num_threads=1,
    )  # fmt: skip
    with contextlib.closing(loader):
        return sum(int(batch.valid.sum()) for batch in loader)


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed data set of five samples in two or more shards."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        source = write_photos(root / "photos", count=5)
        packed(root / "out", source, codec=request.param, size=40, shard_bytes=9_000)
    return root / "out"


def copy(whole: Path, target: Path) -> Path:
    """Fill a folder with the files of a whole data set, and nothing else."""
    target.mkdir(exist_ok=True)
    for path in target.rglob("*"):
        if path.is_file():
            path.unlink()
    for path in whole.glob("*.*"):
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.usefixtures("user_cache")
def test_what_is_whole_is_used(whole: Path, tmp_path: Path) -> None:
    root = copy(whole, tmp_path / "out")
    assert len(shards_of(root)) > 1
    assert use(root) == 5
    (root / INDEX).unlink()
    assert use(root) == 5


@pytest.mark.usefixtures("user_cache")
@examples
@given(damages, st.booleans(), st.integers(0, 1))
def test_damaged_shards(
    whole: Path, tmp_path: Path, damage: list, has_index: bool, number: int
) -> None:
    root = copy(whole, tmp_path / "out")
    if not has_index:
        (root / INDEX).unlink()
    path = shards_of(root)[number]
    path.write_bytes(damaged(path.read_bytes(), damage))
    assert use(root) <= 5


@pytest.mark.usefixtures("user_cache")
@examples
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.booleans())
def test_flipped_bits_in_shards(
    whole: Path, tmp_path: Path, places: list[float], has_index: bool
) -> None:
    root = copy(whole, tmp_path / "out")
    before = open_dataset(whole)
    if not has_index:
        (root / INDEX).unlink()
    path = shards_of(root)[0]
    path.write_bytes(flipped(path.read_bytes(), places))
    changed = path.read_bytes() != shards_of(whole)[0].read_bytes()
    use(root)
    if has_index:
        # Nothing is ever rendered that is not what was packed.
        assert bool(check_dataset(root).errors) == changed
        with contextlib.suppress(_core.DecodeError):
            stored = open_dataset(root)
            assert np.array_equal(pixels(stored), pixels(before))


def pixels(dataset: Dataset) -> np.ndarray:
    loader = Loader(dataset, len(dataset), 16, "none", "none", shuffle=False, num_threads=1)
    with contextlib.closing(loader):
        return next(iter(loader)).images.numpy()


@pytest.mark.usefixtures("user_cache")
@examples
@given(damages)
def test_damaged_indexes(whole: Path, tmp_path: Path, damage: list) -> None:
    root = copy(whole, tmp_path / "out")
    path = root / INDEX
    path.write_bytes(damaged(path.read_bytes(), damage))
    # The shards are whole: they are used, or the index still fits them.
    assert use(root) == 5


ARRAYS = (
    "version", "fingerprint", "files", "extent", "pose", "face", "box", "subject", "subjects",
    "boxes", "origin", "origins", "packings", "shard_sizes", "shard_crcs",
)  # fmt: skip


@pytest.mark.usefixtures("user_cache")
@examples
@given(st.sampled_from(ARRAYS), damages)
def test_damaged_arrays_in_archives_that_fit(
    whole: Path, tmp_path: Path, name: str, damage: list
) -> None:
    root = copy(whole, tmp_path / "out")
    rewrite(root / INDEX, name, lambda content: damaged(content, damage))
    assert use(root) <= 5


def rewrite(path: Path, name: str, change: object) -> None:
    """Change one array of an index and write it with the checksums of what it then holds."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[f"{name}.npy"] = change(members[f"{name}.npy"])  # type: ignore[operator]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


numbers = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.usefixtures("user_cache")
@examples
@given(
    st.sampled_from(["file", "codec", "offset", "size", "height", "width", "row", "crc"]),
    numbers,
    st.integers(0, 4),
)
def test_extents_with_any_numbers(
    whole: Path, tmp_path: Path, field: str, number: int, row: int
) -> None:
    root = copy(whole, tmp_path / "out")

    def change(content: bytes) -> bytes:
        extent = np.load(io.BytesIO(content))
        kind = extent.dtype[field]
        extent[field][row] = np.frombuffer(number.to_bytes(8, "little", signed=True), kind)[0]
        file = io.BytesIO()
        np.save(file, extent)
        return file.getvalue()

    rewrite(root / INDEX, "extent", change)
    assert use(root) <= 5


@pytest.mark.usefixtures("user_cache")
@examples
@given(damages)
def test_damaged_foreign_shards(tmp_path: Path, damage: list) -> None:
    tree = tmp_path / "out"
    tree.mkdir(exist_ok=True)
    for path in tree.rglob("*.npz"):
        path.unlink()
    members = {
        "a.jpg": image(), "a.json": label(roll=1), "b.png": image(".png"), "b.json": label(),
        "c.ppm": image(".ppm", (9, 8)), "c.json": label(box=[1, 1, 5, 5]),
    }  # fmt: skip
    path = write_tar(tree / "a.tar", members, mtime=1.5)
    path.write_bytes(damaged(path.read_bytes(), damage))
    assert use(tree) <= 3


@pytest.mark.usefixtures("user_cache")
@examples
@given(damages, st.sampled_from([None, *ARRAYS[:10]]))
def test_damaged_indexes_of_other_layouts(tmp_path: Path, damage: list, name: str | None) -> None:
    root = tmp_path / "aflw"
    if not root.exists():
        write_aflw2000(root)
    before = open_dataset(root)
    path = root / index.FOLDER / "aflw2000-hopenet.npz"
    kept = path.read_bytes()
    if name is None:
        path.write_bytes(damaged(kept, damage))
    else:
        rewrite(path, name, lambda content: damaged(content, damage))
    try:
        columns = load_index(path, before.fingerprint)
    except StaleIndexError:
        path.write_bytes(kept)
        return
    assert len(columns.extent) == len(columns.pose)
    assert columns.extent["file"].max(initial=0) < len(columns.files)
    again = open_dataset(root)
    assert again.fingerprint == before.fingerprint
    path.write_bytes(kept)
