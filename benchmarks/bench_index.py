"""How long large data sets take to index, and to open again from the index.

python -m benchmarks.bench_index [--pairs 122450] [--images 750000] [--out FILE]

Writes a 300W-LP of so many pairs and an ETH-XGaze of so many images in 80 files (about 2 GB, in the
folder for temporary files), opens each once to build the index and then from the index, each time
in a fresh process, and prints one JSON document. The page cache is warm; "peak_bytes" is the memory
that opening costs beyond that of the imports.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.index_trees import opening_cost, write_w300lp, write_xgaze

SUBJECTS = 80
CACHED_RUNS = 5


def measure(root: Path, samples: int) -> dict[str, Any]:
    """Return seconds and memory of building the index and of opening from it, the median run."""
    built = opening_cost(root)
    cached = [opening_cost(root) for _ in range(CACHED_RUNS)]
    for cost in (built, *cached):
        if cost["samples"] != samples:
            raise RuntimeError(f"{root} must hold {samples} samples, got {cost['samples']}")
    (index,) = (root / ".hmtl-index").iterdir()
    return {
        "samples": samples,
        "build_s": round(built["s"], 2),
        "build_peak_bytes": int(built["peak_bytes"]),
        "cached_s": round(statistics.median(cost["s"] for cost in cached), 3),
        "cached_worst_s": round(max(cost["s"] for cost in cached), 3),
        "cached_peak_bytes": int(max(cost["peak_bytes"] for cost in cached)),
        "index_bytes": index.stat().st_size,
    }


def main() -> None:
    """Build both trees, measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=122_450)
    parser.add_argument("--images", type=int, default=750_000)
    parser.add_argument("--out", type=Path, help="keep the result as this file")
    arguments = parser.parse_args()
    per_subject = max(arguments.images // SUBJECTS, 1)
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "300W_LP"
        pairs.mkdir()
        write_w300lp(pairs, pairs=arguments.pairs)
        xgaze = Path(folder) / "xgaze"
        write_xgaze(xgaze, subjects=SUBJECTS, images=per_subject)
        results = {
            "300w-lp": measure(pairs, arguments.pairs),
            "eth-xgaze": measure(xgaze, SUBJECTS * per_subject),
        }
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False
    )
    document = {
        "name": "index",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "results": results,
    }
    text = json.dumps(document, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
