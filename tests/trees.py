"""Builders of small data sets on disk, true to the structure of the published ones."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

JPEG_STUB = b"\xff\xd8\xff\xd9"
FACE_POINTS = np.array([[150.0, 300.0, 220.0], [180.0, 190.0, 330.0]])


def write_labels(
    path: Path, pose_rad: tuple[float, float, float] = (0, 0, 0), **other: Any
) -> None:
    """Write a MAT file; `pose_rad` is (pitch, yaw, roll), `other` the other variables."""
    pose_para = np.array([[*pose_rad, 70, 280, -60, 0.001]], dtype=np.float32)
    variables = {"pt2d": FACE_POINTS, "roi": np.zeros((1, 4), np.int16), "Pose_Para": pose_para}
    kept = {name: value for name, value in (variables | other).items() if value is not None}
    scipy.io.savemat(path, kept, do_compression=True)


def write_pair(root: Path, stem: str, **labels: Any) -> None:
    """Write `stem`.jpg, a stub that cannot be decoded, and `stem`.mat."""
    image = root / f"{stem}.jpg"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(JPEG_STUB)
    write_labels(root / f"{stem}.mat", **labels)


def write_w300lp(root: Path) -> list[str]:
    """Write five pairs of two photos and what must be passed over; return the stems, sorted."""
    stems = [
        "AFW/AFW_1_1_0",
        "AFW/AFW_1_1_1",
        "AFW_Flip/AFW_1_1_0",
        "HELEN/HELEN_7_1_0",
        "HELEN_Flip/HELEN_7_1_0",
    ]
    for number, stem in enumerate(reversed(stems)):
        write_pair(root, stem, pose_rad=(0.1 * number, -0.2 * number, 0.3 * number))
    for stem in ("Code/demo", "landmarks/AFW/AFW_1_1_0_pts", "landmarks/x", "_old/x", "AFW/_AFW_2"):
        write_pair(root, stem)
    return stems


def write_aflw2000(root: Path, count: int = 3) -> list[str]:
    """Write so many pairs; return the stems, sorted."""
    stems = [f"image{number:05}" for number in range(2, 2 + count)]
    for number, stem in enumerate(stems):
        write_pair(root, stem, pose_rad=(0.0, 0.1 * number, 0.0))
    write_pair(root, "Code/image00001")
    return stems


def write_csv(root: Path, *rows: str, header: str = "path,x0,y0,x1,y1,yaw,pitch,roll") -> Path:
    """Write labels.csv and a stub for every image that a row names; return the CSV's path."""
    root.mkdir(parents=True, exist_ok=True)
    for row in rows:
        image = root / row.split(",")[0]
        if root.resolve() in image.resolve().parents:
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(JPEG_STUB)
    table = root / "labels.csv"
    table.write_text("\n".join([header, *rows]) + "\n")
    return table


def link_tree(source: Path, target: Path) -> Path:
    """Make a folder tree of links to the files of `source`, so that nothing is written there."""
    for path in source.rglob("*"):
        if path.is_file() and ".hmtl-index" not in path.parts:
            link = target / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return target
