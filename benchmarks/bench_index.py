"""How long a 300W-LP of N pairs takes to index, and to open again from the index.

Prints one JSON line. The pairs are copies of one synthetic pair with the variables, sizes and
compression of the published files; the page cache is warm.
"""

import argparse
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.io

from hmtl.data import open_dataset

FOLDERS = ("AFW", "AFW_Flip", "HELEN", "HELEN_Flip", "IBUG", "IBUG_Flip", "LFPW", "LFPW_Flip")


def label_file(rng: np.random.Generator) -> bytes:
    """Return a MAT file with the variables of 300W-LP, in their order."""
    variables = {
        "pt2d": rng.uniform(100, 350, (2, 68)),
        "roi": np.array([[70, 74, 377, 381]], dtype=np.int16),
        "Illum_Para": rng.normal(size=(1, 10)),
        "Color_Para": np.ones((1, 7), dtype=np.float32),
        "Tex_Para": rng.normal(size=(199, 1)).astype(np.float32),
        "Shape_Para": rng.normal(size=(199, 1)).astype(np.float32),
        "Exp_Para": rng.normal(size=(29, 1)).astype(np.float32),
        "Pose_Para": np.array([[-0.3, 0.5, -0.1, 70, 280, -60, 0.001]], dtype=np.float32),
    }
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=True)
    return file.getvalue()


def build_tree(root: Path, pairs: int) -> None:
    """Write so many pairs; the images are stubs, as nothing reads them."""
    labels = label_file(np.random.default_rng(0))
    for folder in FOLDERS:
        (root / folder).mkdir()
    for number in range(pairs):
        folder = FOLDERS[number % len(FOLDERS)]
        stem = root / folder / f"{folder}_{number // 16:06}_1_{number // 8 % 2}"
        stem.with_suffix(".jpg").write_bytes(b"\xff\xd8\xff\xd9")
        stem.with_suffix(".mat").write_bytes(labels)


def seconds(root: Path, pairs: int) -> float:
    """Return how long the data set takes to open."""
    start = time.perf_counter()
    dataset = open_dataset(root)
    elapsed = time.perf_counter() - start
    assert len(dataset) == pairs
    return elapsed


def main() -> None:
    """Build the tree, open it twice, print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build_tree(root, pairs)
        build_s = seconds(root, pairs)
        cached_s = min(seconds(root, pairs) for _ in range(3))
    result = {
        "name": "index",
        "pairs": pairs,
        "build_s": round(build_s, 3),
        "cached_s": round(cached_s, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
