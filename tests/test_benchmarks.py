"""The README's tables, and the loader benchmark's checks and document."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.append(str(CHECKOUT))

from benchmarks import table  # noqa: E402 — the checkout must be on the path
from benchmarks.bench_loader import summarise  # noqa: E402
from benchmarks.loader.checks import check_floats, check_side, untile  # noqa: E402
from benchmarks.loader.files import open_tree, sample_paths  # noqa: E402
from benchmarks.loader.hmtl_side import HmtlLoader  # noqa: E402
from benchmarks.loader.torchvision_side import open_torchvision  # noqa: E402
from benchmarks.loader.work import Faces, Work  # noqa: E402
from hmtl import _core  # noqa: E402
from hmtl.data import Augmentation, Dataset  # noqa: E402
from hmtl.data.augmentation import resolve_augmentation  # noqa: E402
from hmtl.synth import render_dataset  # noqa: E402

LOADER: dict[str, Any] = {
    "name": "loader",
    "date": "2031-02-03",
    "commit": "abc",
    "cpu": "Z80",
    "images": 520,
    "source": "copies of 26 real images",
    "bytes_mean": 22937,
    "threads": 2,
    "results": [
        {"side": "decode", "images_per_s": {"uint8": 3400.4}},
        {"side": "hmtl", "images_per_s": {"uint8": 3000.0, "float32": 2400.0}},
        {"side": "torchvision", "images_per_s": {"uint8": 400.0, "float32": 300.0}},
    ],
    "ratios": {"hmtl/decode": 0.88, "hmtl/torchvision": 7.5},
    "ratios_float32": {"hmtl/torchvision": 8.0},
}
LOADER_TABLE = """\
| images/s | uint8 batch | hmtl is | float32 batch | hmtl is |
| --- | ---: | ---: | ---: | ---: |
| **hmtl** | 3,000 | – | 2,400 | – |
| torchvision v2 + DataLoader | 400 | 7.50× | 300 | 8.00× |
| decoding alone (libjpeg-turbo) | 3,400 | 0.88× | – | – |

Z80, 2 threads; 520 JPEG files of 22.9 kB (copies of 26 real images); 2031-02-03, commit abc: \
`python -m benchmarks.bench_loader`."""

DEMO: list[dict[str, Any]] = [
    {"name": "SL", "mae": {"yaw": 9, "pitch": 7.126, "roll": 5.0, "mean": 7.04}, "geodesic": 12.3},
    {
        "name": "HMTL",
        "mae": {"yaw": 9.5, "pitch": 7.0, "roll": 5.0, "mean": 7.1},
        "geodesic": 12.0,
        "puzzle_accuracy": 0.346,
    },
]
DEMO_TABLE = """\
| degrees | yaw | pitch | roll | mean | geodesic | tiles named right |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| SL | 9.00 | 7.13 | 5.00 | 7.04 | 12.30 | – |
| HMTL | 9.50 | 7.00 | 5.00 | 7.10 | 12.00 | 35% |"""

CHUNKS: dict[str, Any] = {
    "date": "2031-02-03",
    "cpu": "Z80",
    "images": 320,
    "lzf_ratio": 0.906,
    "h5py": "3.16.0, HDF5 2.0.0",
    "us_per_image": {
        "lzf": 88.4,
        "lzf_plain": 183.2,
        "h5py": 368.6,
        "h5py_rgb": 540,
        "hmtl": 133.1,
    },
    "ratios": {"lzf/lzf_plain": 2.07, "lzf/h5py": 4.16, "hmtl/h5py_rgb": 4.03},
}
CHUNKS_TABLE = """\
| one image | µs | hmtl is |
| --- | ---: | ---: |
| **hmtl**: read, expand, RGB | 133 | – |
| h5py, its file kept open: the same | 540 | 4.03× |
| expanding alone: hmtl's LZF | 88 | – |
| expanding alone: byte by byte | 183 | 2.07× |

Z80, one thread, h5py 3.16.0, HDF5 2.0.0; 320 images of 224 px packed to 0.91; 2031-02-03: \
`python -m benchmarks.bench_chunks`."""

README = """# x
<!-- demo-table -->
old
<!-- /demo-table -->
between
<!-- loader-table -->
<!-- /loader-table -->
<!-- chunks-table -->
<!-- /chunks-table -->
after
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a README and all results."""
    results = tmp_path / table.RESULTS
    results.mkdir(parents=True)
    (results / "loader.json").write_text(json.dumps(LOADER))
    (results / "chunks.json").write_text(json.dumps(CHUNKS))
    (results / "demo.json").write_text(json.dumps(DEMO))
    (tmp_path / "README.md").write_text(README)
    return tmp_path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six rendered heads."""
    root = tmp_path_factory.mktemp("heads")
    render_dataset(root, layout="300w-lp", count=6, subjects=3, seed=0, size=160, workers=1)
    return open_tree(root, 6)


def test_loader_table_shows_speeds_and_ratios() -> None:
    assert table.loader_table(LOADER) == LOADER_TABLE


def test_chunks_table_shows_times_and_ratios() -> None:
    assert table.chunks_table(CHUNKS) == CHUNKS_TABLE


def test_demo_table_shows_errors_and_the_puzzle() -> None:
    assert table.demo_table(DEMO) == DEMO_TABLE


def test_tables_replace_what_stands_between_their_markers(checkout: Path) -> None:
    assert table.main([], root=checkout) == 0
    expected = README.replace("old", DEMO_TABLE)
    for name, text in (("loader", LOADER_TABLE), ("chunks", CHUNKS_TABLE)):
        start = f"<!-- {name}-table -->\n"
        expected = expected.replace(start, f"{start}{text}\n")
    assert (checkout / "README.md").read_text() == expected


def test_check_fails_until_the_tables_are_written(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main(["--check"], root=checkout) == 1
    assert "README.md is out of date" in capsys.readouterr().err
    assert (checkout / "README.md").read_text() == README
    table.main([], root=checkout)
    assert table.main(["--check"], root=checkout) == 0


@pytest.mark.parametrize("text", ["", README + README, README.replace("<!-- /demo", "<!-- demo")])
def test_markers_must_stand_once_and_in_order(text: str) -> None:
    with pytest.raises(table.TableError, match=r"README\.md must hold <!-- demo-table -->"):
        table.fill(text, "demo-table", DEMO_TABLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "loader.json is missing"), ("{}", "loader.json cannot be rendered: KeyError")],
)
def test_a_bad_result_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = checkout / table.RESULTS / "loader.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert table.main([], root=checkout) == 1
    assert message in capsys.readouterr().err


def test_summary_has_medians_and_what_hmtl_is_of_each_side() -> None:
    summary = summarise(
        {
            "decode": [{"uint8": 40.0}, {"uint8": 20.0}, {"uint8": 25.0}],
            "hmtl": [{"uint8": speed, "float32": 2 * speed} for speed in (10.0, 30.0, 20.0)],
            "torchvision": [{"uint8": 5.0, "float32": 5.0}] * 3,
        }
    )
    assert summary["ratios"] == {"hmtl/decode": 0.8, "hmtl/torchvision": 4.0}
    assert summary["ratios_float32"] == {"hmtl/torchvision": 8.0}
    assert [result["side"] for result in summary["results"]] == ["decode", "hmtl", "torchvision"]
    assert summary["results"][1]["images_per_s"] == {"uint8": 20.0, "float32": 40.0}
    assert len(summary["results"][1]["runs"]) == 3


def test_untile_inverts_the_puzzle() -> None:
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 256, (21, 21, 3), dtype=np.uint8)
    order = rng.permutation(9)
    picture, permutation, _ = _core.tile(canvas, 3, order.tolist(), [0] * 9, 20)
    untiled, known = untile(picture, permutation, 3)
    assert known.sum() == 20 * 20
    assert np.array_equal(untiled[known], canvas[known])


@pytest.mark.parametrize("open_side", [HmtlLoader, open_torchvision])
def test_sides_pass_their_checks(dataset: Dataset, open_side: Any) -> None:
    work = Work(augmentation=resolve_augmentation("level2"), size=64)
    name = "hmtl" if open_side is HmtlLoader else "torchvision"
    check_side(name, open_side, dataset, work)
    check_floats(
        name, open_side, dataset, Work(augmentation=work.augmentation, size=64, floats=True)
    )


@pytest.mark.parametrize("fault", ["pixels", "pose", "permutation", "size"])
def test_checks_find_a_wrong_side(dataset: Dataset, fault: str) -> None:
    class Wrong(HmtlLoader):
        def __iter__(self) -> Any:
            for images, pose, permutation in super().__iter__():
                yield {
                    "pixels": (images.flip(3), pose, permutation),
                    "pose": (images, -pose, permutation),
                    "permutation": (images, pose, permutation.roll(1, dims=1)),
                    "size": (images[..., 1:], pose, permutation),
                }[fault]

    with pytest.raises(RuntimeError, match="hmtl"):
        check_side("hmtl", Wrong, dataset, Work(augmentation=Augmentation(), size=64))


def test_peers_crop_the_square_of_the_evaluation_without_augmentation(dataset: Dataset) -> None:
    faces = Faces.of(dataset)
    assert faces.paths == sample_paths(dataset)
    for index, (x0, y0, x1, y1) in enumerate(dataset.box.tolist()):
        left, top, right, bottom = faces.draw_crop(index, Augmentation())
        assert right - left == bottom - top == min(x1 - x0, y1 - y0)
        assert abs((left + right) / 2 - (x0 + x1) / 2) <= 0.5
        assert abs((top + bottom) / 2 - (y0 + y1) / 2) <= 0.5


@pytest.mark.slow
def test_bench_loader_prints_one_document(tmp_path: Path) -> None:
    options = ("--images", "30", "--repeats", "1", "--threads", "1", "--seconds", "0")
    environment = {key: value for key, value in os.environ.items() if key != "HMTL_DATA"}
    copy = tmp_path / "loader.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_loader", *options, "--json", copy],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert json.loads(copy.read_text()) == document
    assert (document["images"], document["threads"]) == (30, 1)
    assert document["source"] == "rendered heads"
    sides = {result["side"] for result in document["results"]}
    assert sides | set(document["missing"]) == {"decode", "hmtl", "torchvision", "albumentations"}
    assert {f"hmtl/{side}" for side in sides - {"hmtl"}} == document["ratios"].keys()
    assert "**hmtl**" in table.loader_table(document)
    assert torch.tensor([r["images_per_s"]["uint8"] for r in document["results"]]).gt(0).all()
