"""Builders of small data sets on disk, true to the structure of the published ones."""

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io
from PIL import Image

JPEG_STUB = b"\xff\xd8\xff\xd9"
# Six printed digits, as published: yaw 7.6504, pitch -12.1664, roll -4.2318 degrees.
BIWI_ROTATION = np.array(
    [
        [0.988397, 0.0731349, 0.133128],
        [-0.0441539, 0.976945, -0.208876],
        [-0.145334, 0.200575, 0.968838],
    ]
)
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


@functools.cache
def blank_image(width: int, height: int, suffix: str) -> bytes:
    """Return a whole black picture, encoded as the suffix says."""
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, Image.registered_extensions()[suffix])
    return file.getvalue()


def write_landmarks(root: Path, stem: str, points: npt.ArrayLike) -> Path:
    """Write 300W-LP's landmarks (N, 2) of a rendering; return the file."""
    path = root / "landmarks" / f"{stem}_pts.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    both = {"pts_2d": np.asarray(points), "pts_3d": np.zeros((68, 2))}
    scipy.io.savemat(path, both, do_compression=True)
    return path


def write_frame(
    root: Path,
    stem: str,
    *,
    rotation: npt.ArrayLike = BIWI_ROTATION,
    centre: tuple[float, float, float] = (0.0, 0.0, 1000.0),
    suffix: str = ".png",
) -> None:
    """Write BIWI's `stem`_rgb, a picture of 640 × 480, and `stem`_pose.txt as published."""
    image = root / f"{stem}_rgb{suffix}"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(blank_image(640, 480, suffix))
    rows = [" ".join(f"{value:.6g}" for value in row) for row in np.asarray(rotation)]
    place = " ".join(f"{value:.6g}" for value in centre)
    (root / f"{stem}_pose.txt").write_text(" \n".join([*rows, "", place]) + " \n")


def write_calibration(
    root: Path,
    sequence: str,
    *,
    focal: float = 500.0,
    middle: tuple[float, float] = (320.0, 240.0),
    rotation: npt.ArrayLike = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Path:
    """Write a sequence's rgb.cal with the lines of the published ones; return the file."""
    intrinsic = [[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]]
    blocks = [intrinsic, [[0, 0, 0, 0]], np.asarray(rotation).tolist(), [list(shift)], [[640, 480]]]
    text = "\n\n".join(
        "\n".join(" ".join(f"{value:.6g}" for value in row) + " " for row in block)
        for block in blocks
    )
    path = root / sequence / "rgb.cal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return path


def write_biwi(root: Path) -> list[str]:
    """Write five frames of four sequences of three people; return the stems, sorted."""
    stems = [
        "01/frame_00003",
        "01/frame_00004",
        "02/frame_00003",
        "21/frame_00010",
        "24/frame_00003",
    ]
    for stem in reversed(stems):
        write_frame(root, stem)
    for sequence in ("01", "02", "21", "24"):
        write_calibration(root, sequence)
    (root / "01.obj").write_text("v 0 0 0")
    (root / "01" / "frame_00003_depth.bin").write_bytes(bytes(8))
    (root / "01" / "depth.cal").write_text("")
    return stems


def write_csv(root: Path, *rows: str, header: str = "path,x0,y0,x1,y1,yaw,pitch,roll") -> Path:
    """Write labels.csv and a stub for every image that a row names; return the CSV's path."""
    root.mkdir(parents=True, exist_ok=True)
    for row in rows:
        name = row.split(",")[0]
        image = root / name
        if "\0" not in name and root.resolve() in image.resolve().parents:
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


def files_of(root: Path) -> dict[Path, bytes]:
    """Return the bytes of all files below a folder, by their paths there."""
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
