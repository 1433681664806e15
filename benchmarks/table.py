"""The README's tables of results, rendered from the JSON files in benchmarks/results.

python -m benchmarks.table [--check]

Each table replaces what stands between its markers, `<!-- loader-table -->` and
`<!-- /loader-table -->`; with --check nothing is written, and a README that differs is an error.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
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
    "expand": "expanding alone (hmtl's LZF)",
}
# The share of the cores' time that others may take without spoiling the figures.
_BUSY = 0.1
_ANGLES = ("yaw", "pitch", "roll", "mean")


class TableError(Exception):
    """A result or a marker is missing or malformed; the message names the file."""


def loader_table(document: dict[str, Any]) -> str:
    """Return bench_loader's document as a table, with a line on where it was measured."""
    files = (
        f"{document['images']} JPEG files of {document['bytes_mean'] / 1000:.1f} kB"
        f" ({document['source']})"
    )
    return _compared(document, files)


def barlow_table(document: dict[str, Any]) -> str:
    """Return bench_barlow's document as a table."""
    rows = f"{document['images']} images of 224 px packed to {document['lzf_ratio']:.2f}"
    return _compared(document, rows)


def _compared(document: dict[str, Any], data: str) -> str:
    """Return the table of a comparison; `data` says of what."""
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
        f"{document['cpu']}, {_counted(document['threads'], 'thread')}; {data}; {_when(document)}:"
        f" `python -m benchmarks.bench_{document['name']}`."
    )
    return f"{markdown(header, rows)}\n\n{note}"


def _when(document: dict[str, Any]) -> str:
    """Return date and commit, and how busy the machine was where that spoils the figures."""
    share = document.get("busy_before", 0.0)
    busy = f", on a machine that was {share:.0%} busy" if share > _BUSY else ""
    return f"{document['date']}, commit {document['commit']}{busy}"


def figures_table(
    packed: dict[str, Any],
    plain: dict[str, Any],
    chunks: dict[str, Any],
    normalize: dict[str, Any],
    threads: dict[str, Any],
    memory: dict[str, Any],
    step: dict[str, Any],
) -> str:
    """Return the documents of the smaller benchmarks as one table."""
    rows = [
        *_packed_rows(packed),
        *_plain_rows(plain),
        *_chunk_rows(chunks),
        *_normalize_rows(normalize),
        *_thread_rows(threads),
        *_memory_rows(memory),
        *_step_rows(step),
    ]
    documents = (packed, plain, chunks, normalize, threads, memory, step)
    busiest = max(documents, key=lambda document: document.get("busy_before", 0.0))
    programs = "`python -m benchmarks.loader_figures`, `… .bench_step`"
    note = f"{packed['cpu']}; {_when(busiest)}: {programs}."
    return f"{markdown(['', 'hmtl', 'beside', ''], rows)}\n\n{note}"


def _packed_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    speeds = {result["side"]: result["images_per_s"]["uint8"] for result in document["results"]}
    beside = f"the loose files: {speeds['loose']:,.0f}"
    for codec, name in (("jpeg", "JPEG"), ("raw", "raw")):
        ratio = _ratio(document["ratios"][f"{codec}/loose"])
        yield [f"level 2, puzzle, packed as {name}", _per_s(speeds[codec]), beside, ratio]


def _plain_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    speeds = {result["side"]: result["images_per_s"]["uint8"] for result in document["results"]}
    for side, name in (("h5py_processes", "processes"), ("h5py_threads", "threads")):
        beside = f"h5py in {name}: {speeds[side]:,.0f}"
        ratio = _ratio(document["ratios"][f"hmtl/{side}"])
        yield ["`none`, from LZF chunks", _per_s(speeds["hmtl"]), beside, ratio]


def _chunk_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    times, ratios = document["us_per_image"], document["ratios"]
    beside = f"h5py, its file open: {times['h5py_rgb']:.0f} µs"
    own = f"{times['hmtl']:.0f} µs"
    yield ["LZF chunk: read, expand, RGB", own, beside, _ratio(ratios["hmtl/h5py_rgb"])]
    beside = f"byte by byte: {times['lzf_plain']:.0f} µs"
    own = f"{times['lzf']:.0f} µs"
    yield ["LZF chunk: expand alone", own, beside, _ratio(ratios["lzf/lzf_plain"])]


def _normalize_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    times = {result["side"]: result["ms_per_image"] for result in document["results"]}
    for kind in ("reused", "fresh"):
        own, other = (f"{times[side][kind]:.3f} ms" for side in ("hmtl", "torch"))
        ratio = _ratio(document["ratios"][kind])
        yield [f"normalise into {kind} memory", own, f"torch's operators: {other}", ratio]


def _thread_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    speeds = {result["side"]: result["images_per_s"]["hmtl"] for result in document["results"]}
    beside = f"one thread: {speeds['1']:,.0f}"
    yield ["two threads", _per_s(speeds["2"]), beside, _ratio(document["two_of_one"])]
    kept = f"{document['python_keeps']:.0%} of its speed"
    yield ["a Python loop beside one thread keeps", kept, "–", "–"]


def _memory_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    for what, name in (("epochs", "epochs"), ("iterators", "iterators given up")):
        found = document["memory"][what]
        grown = f"{found['growth_bytes'] / 1e6:.1f} MB"
        yield [f"memory grows over {found['count']:,} {name} by", grown, "–", "–"]
    start = document["start"]
    name = f"first batch of {start['samples']:,} samples, index cached"
    imports = f"imports before: {start['import_s']:.1f} s"
    yield [name, f"{start['first_batch_s']:.2f} s", imports, "–"]


def _step_rows(document: dict[str, Any]) -> Iterator[list[str]]:
    for network in document["networks"]:
        speeds = network["images_per_s"]
        name = f"training {network['what'].split()[0]}, {network['size']} px, from files"
        beside = f"a ready batch: {speeds['cached']:.1f}"
        ratio = _ratio(network["ratios"]["real/cached"])
        yield [name, f"{speeds['real']:.1f} images/s", beside, ratio]


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


_TABLES: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "loader-table": (("loader",), loader_table),
    "barlow-table": (("barlow",), barlow_table),
    "figures-table": (
        ("packed", "plain", "chunks", "normalize", "threads", "memory", "step"),
        figures_table,
    ),
    "demo-table": (("demo",), demo_table),
}


def rendered(root: Path) -> str:
    """Return the text that the README below `root` should have; raise TableError."""
    text = (root / README).read_text()
    for marker, (names, render) in _TABLES.items():
        documents = [_document(root, RESULTS / f"{name}.json", marker) for name in names]
        try:
            table = render(*documents)
        except (ValueError, KeyError, TypeError) as error:
            listed = ", ".join(f"{name}.json" for name in names)
            raise TableError(f"{listed} cannot be rendered: {error!r}") from error
        text = fill(text, marker, table)
    return text


def _document(root: Path, path: Path, marker: str) -> Any:
    try:
        return json.loads((root / path).read_text())
    except FileNotFoundError:
        raise TableError(f"{path} is missing, the {marker} is rendered from it") from None
    except ValueError as error:
        raise TableError(f"{path} is not JSON: {error}") from error


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _per_s(images_per_s: float) -> str:
    return f"{images_per_s:,.0f} images/s"


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
