"""The README's tables of results, rendered from the JSON files in benchmarks/results.

python -m benchmarks.table [--check]

Each table replaces what stands between its markers, `<!-- loader-table -->` and
`<!-- /loader-table -->`; with --check nothing is written, and a README that differs is an error.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = Path("benchmarks/results")
README = Path("README.md")

_SIDES = {
    "hmtl": "**hmtl**",
    "torchvision": "torchvision v2 + DataLoader",
    "albumentations": "albumentations + DataLoader",
    "decode": "decoding alone (libjpeg-turbo)",
}
# By side of bench_chunks: its label, and the ratio that stands beside it.
_CHUNK_SIDES = {
    "hmtl": ("**hmtl**: read, expand, RGB", ""),
    "h5py_rgb": ("h5py, its file kept open: the same", "hmtl/h5py_rgb"),
    "lzf": ("expanding alone: hmtl's LZF", ""),
    "lzf_plain": ("expanding alone: byte by byte", "lzf/lzf_plain"),
}
_ANGLES = ("yaw", "pitch", "roll", "mean")


class TableError(Exception):
    """A result or a marker is missing or malformed; the message names the file."""


def loader_table(document: dict[str, Any]) -> str:
    """Return bench_loader's document as a table, with a line on where it was measured."""
    speeds = {result["side"]: result["images_per_s"] for result in document["results"]}
    rows = [
        [
            label,
            _speed(speeds[side].get("uint8")),
            _ratio(document["ratios"].get(f"hmtl/{side}")),
            _speed(speeds[side].get("float32")),
            _ratio(document["ratios_float32"].get(f"hmtl/{side}")),
        ]
        for side, label in _SIDES.items()
        if side in speeds
    ]
    header = ["images/s", "uint8 batch", "hmtl is", "float32 batch", "hmtl is"]
    note = (
        f"{document['cpu']}, {document['threads']} threads; {document['images']} JPEG files of"
        f" {document['bytes_mean'] / 1000:.1f} kB ({document['source']}); {document['date']},"
        f" commit {document['commit']}: `python -m benchmarks.bench_loader`."
    )
    return f"{markdown(header, rows)}\n\n{note}"


def chunks_table(document: dict[str, Any]) -> str:
    """Return bench_chunks' document as a table, µs per image."""
    ratios = document["ratios"]
    rows = [
        [label, f"{document['us_per_image'][side]:.0f}", _ratio(ratios.get(ratio))]
        for side, (label, ratio) in _CHUNK_SIDES.items()
    ]
    note = (
        f"{document['cpu']}, one thread, h5py {document['h5py']}; {document['images']} images of"
        f" 224 px packed to {document['lzf_ratio']:.2f}; {document['date']}:"
        f" `python -m benchmarks.bench_chunks`."
    )
    return f"{markdown(['one image', 'µs', 'hmtl is'], rows)}\n\n{note}"


def demo_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the results of `hmtl demo` as a table, degrees."""
    rows = [
        [
            result["name"],
            *(f"{result['mae'][angle]:.2f}" for angle in _ANGLES),
            f"{result['geodesic']:.2f}",
            f"{result['puzzle_accuracy']:.0%}" if "puzzle_accuracy" in result else "–",
        ]
        for result in results
    ]
    return markdown(["degrees", *_ANGLES, "geodesic", "tiles named right"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def fill(text: str, marker: str, table: str) -> str:
    """Return `text` with the table between its markers.

    Raises TableError unless each of the two stands there exactly once, in their order.
    """
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise TableError(f"{README} must hold {start} and {end} once each, in this order")
    before, rest = text.split(start)
    after = rest.split(end)[1]
    return f"{before}{start}\n{table}\n{end}{after}"


_TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "loader-table": ("loader.json", loader_table),
    "chunks-table": ("chunks.json", chunks_table),
    "demo-table": ("demo.json", demo_table),
}


def rendered(root: Path) -> str:
    """Return the text that the README below `root` should have; raise TableError."""
    text = (root / README).read_text()
    for marker, (name, render) in _TABLES.items():
        path = RESULTS / name
        try:
            table = render(json.loads((root / path).read_text()))
        except FileNotFoundError:
            raise TableError(f"{path} is missing, the {marker} is rendered from it") from None
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(f"{path} cannot be rendered: {error!r}") from error
        text = fill(text, marker, table)
    return text


def _speed(images_per_s: float | None) -> str:
    return "–" if images_per_s is None else f"{images_per_s:,.0f}"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×"


def main(arguments: Sequence[str] | None = None, root: Path = CHECKOUT) -> int:
    """Write or check the README below `root`; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if it differs")
    check = parser.parse_args(arguments).check
    try:
        text = rendered(root)
    except TableError as error:
        print(error, file=sys.stderr)
        return 1
    if text == (root / README).read_text():
        return 0
    if check:
        print(f"{README} is out of date: run python -m benchmarks.table", file=sys.stderr)
        return 1
    (root / README).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
