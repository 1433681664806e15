"""The README's tables of results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import table

LOADER: dict[str, Any] = {
    "name": "loader",
    "date": "2031-02-03",
    "commit": "abc",
    "cpu": "Z80",
    "busy_before": 0.03,
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

BARLOW: dict[str, Any] = {
    **LOADER,
    "name": "barlow",
    "busy_before": 0.4,
    "threads": 1,
    "lzf_ratio": 0.906,
    "results": [
        {"side": "expand", "images_per_s": {"uint8": 18000.0}},
        {"side": "hmtl", "images_per_s": {"uint8": 4000.0, "float32": 2000.0}},
        {"side": "albumentations", "images_per_s": {"uint8": 400.0, "float32": 250.0}},
    ],
    "ratios": {"hmtl/expand": 0.22, "hmtl/albumentations": 10.0},
    "ratios_float32": {"hmtl/albumentations": 8.0},
}
BARLOW_TABLE = """\
| images/s | uint8 batch | hmtl is | float32 batch | hmtl is |
| --- | ---: | ---: | ---: | ---: |
| **hmtl** | 4,000 | – | 2,000 | – |
| albumentations + DataLoader | 400 | 10.00× | 250 | 8.00× |
| expanding alone (hmtl's LZF) | 18,000 | 0.22× | – | – |

Z80, 1 thread; 520 images of 224 px packed to 0.91; 2031-02-03, commit abc, on a machine that was \
40% busy: `python -m benchmarks.bench_barlow`."""

ABOUT = {"date": "2031-02-03", "commit": "abc", "cpu": "Z80", "busy_before": 0.0}
FIGURES: dict[str, dict[str, Any]] = {
    "packed": {
        **ABOUT,
        "results": [
            {"side": side, "images_per_s": {"uint8": speed}}
            for side, speed in (("loose", 3000.0), ("jpeg", 4800.0), ("raw", 9600.0))
        ],
        "ratios": {"jpeg/loose": 1.6, "raw/loose": 3.2},
    },
    "plain": {
        **ABOUT,
        "results": [
            {"side": side, "images_per_s": {"uint8": speed}}
            for side, speed in (
                ("hmtl", 9000.0),
                ("h5py_processes", 3000.0),
                ("h5py_threads", 1800),
            )
        ],
        "ratios": {"hmtl/h5py_processes": 3.0, "hmtl/h5py_threads": 5.0},
    },
    "chunks": {
        **ABOUT,
        "us_per_image": {
            "lzf": 88.4,
            "lzf_plain": 183.2,
            "h5py": 368.6,
            "h5py_rgb": 540,
            "hmtl": 133.1,
        },
        "ratios": {"lzf/lzf_plain": 2.07, "lzf/h5py": 4.16, "hmtl/h5py_rgb": 4.03},
    },
    "normalize": {
        **ABOUT,
        "results": [
            {"side": "hmtl", "ms_per_image": {"reused": 0.04, "fresh": 0.2}},
            {"side": "torch", "ms_per_image": {"reused": 1.0, "fresh": 1.25}},
        ],
        "ratios": {"reused": 25.0, "fresh": 6.25},
    },
    "threads": {
        **ABOUT,
        "results": [
            {"side": "1", "images_per_s": {"hmtl": 1500.0}},
            {"side": "2", "images_per_s": {"hmtl": 2850.0}},
        ],
        "two_of_one": 1.9,
        "python_keeps": 0.97,
    },
    "memory": {
        **ABOUT,
        "memory": {
            "epochs": {"count": 50, "growth_bytes": 1_250_000},
            "iterators": {"count": 1000, "growth_bytes": 0},
        },
        "start": {"samples": 122450, "import_s": 2.61, "first_batch_s": 1.1},
    },
    "step": {
        **ABOUT,
        "networks": [
            {
                "what": "resnet18 hopenet, pretext puzzle",
                "size": 64,
                "images_per_s": {"real": 101.26, "cached": 109.0},
                "ratios": {"real/cached": 0.934},
            }
        ],
    },
}
FIGURES_TABLE = """\
|  | hmtl | beside |  |
| --- | ---: | ---: | ---: |
| level 2, puzzle, packed as JPEG | 4,800 images/s | the loose files: 3,000 | 1.60× |
| level 2, puzzle, packed as raw | 9,600 images/s | the loose files: 3,000 | 3.20× |
| `none`, from LZF chunks | 9,000 images/s | h5py in processes: 3,000 | 3.00× |
| `none`, from LZF chunks | 9,000 images/s | h5py in threads: 1,800 | 5.00× |
| LZF chunk: read, expand, RGB | 133 µs | h5py, its file open: 540 µs | 4.03× |
| LZF chunk: expand alone | 88 µs | byte by byte: 183 µs | 2.07× |
| normalise into reused memory | 0.040 ms | torch's operators: 1.000 ms | 25.00× |
| normalise into fresh memory | 0.200 ms | torch's operators: 1.250 ms | 6.25× |
| two threads | 2,850 images/s | one thread: 1,500 | 1.90× |
| a Python loop beside one thread keeps | 97% of its speed | – | – |
| memory grows over 50 epochs by | 1.2 MB | – | – |
| memory grows over 1,000 iterators given up by | 0.0 MB | – | – |
| first batch of 122,450 samples, index cached | 1.10 s | imports before: 2.6 s | – |
| training resnet18, 64 px, from files | 101.3 images/s | a ready batch: 109.0 | 0.93× |

Z80; 2031-02-03, commit abc: `python -m benchmarks.loader_figures`, `… .bench_step`."""

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

README = """# x
<!-- demo-table -->
old
<!-- /demo-table -->
between
<!-- loader-table -->
<!-- /loader-table -->
<!-- barlow-table -->
<!-- /barlow-table -->
<!-- figures-table -->
<!-- /figures-table -->
after
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a README and all results."""
    results = tmp_path / table.RESULTS
    results.mkdir(parents=True)
    documents = {"loader": LOADER, "barlow": BARLOW, "demo": DEMO, **FIGURES}
    for name, document in documents.items():
        (results / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_loader_table_shows_speeds_and_ratios() -> None:
    assert table.loader_table(LOADER) == LOADER_TABLE


def test_barlow_table_shows_the_same_and_that_the_machine_was_busy() -> None:
    assert table.barlow_table(BARLOW) == BARLOW_TABLE


def test_figures_table_shows_what_the_smaller_benchmarks_found() -> None:
    assert table.figures_table(**FIGURES) == FIGURES_TABLE


def test_demo_table_shows_errors_and_the_puzzle() -> None:
    assert table.demo_table(DEMO) == DEMO_TABLE


def test_tables_replace_what_stands_between_their_markers(checkout: Path) -> None:
    assert table.main([], root=checkout) == 0
    expected = README.replace("old", DEMO_TABLE)
    for name, text in (
        ("loader", LOADER_TABLE),
        ("barlow", BARLOW_TABLE),
        ("figures", FIGURES_TABLE),
    ):
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
    [
        (None, "loader.json is missing"),
        ("{}", "loader.json cannot be rendered: KeyError"),
        ("{", "loader.json is not JSON"),
    ],
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
