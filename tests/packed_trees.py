"""Data sets to pack, and packed ones to look at."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pictures import scene

from hmtl.data import Dataset, open_dataset
from hmtl.data.pack import pack

FACE = (40.0, 50.0, 90.0, 110.0)
BOX = (28.0, 31.0, 104.0, 121.0)


def write_photos(
    root: Path, count: int = 6, size: tuple[int, int] = (150, 140), suffix: str = ".png"
) -> Dataset:
    """Write pictures (height, width) and a CSV; return their dataset, with boxes beside the faces.

    The first box leaves its image, all edges are whole pixels.
    """
    root.mkdir(parents=True, exist_ok=True)
    rows = ["path,x0,y0,x1,y1,yaw,pitch,roll,subject"]
    for number in range(count):
        picture = scene(*size, seed=number)
        picture.save(root / f"{number}{suffix}", **({"quality": 92} if suffix == ".jpg" else {}))
        pose = f"{number + 0.1},{-number / 3},{7 * number}"
        rows.append(f"{number}{suffix},40,50,90,110,{pose},person {number // 2}")
    (root / "labels.csv").write_text("\n".join(rows))
    dataset = open_dataset(root)
    box = np.tile(np.array(BOX, dtype=np.float32), (count, 1))
    box[0] = (-30.0, -20.0, 100.0, 125.0)
    return replace(dataset, box=box)


def packed(root: Path, source: Dataset, **options: Any) -> Dataset:
    """Pack a dataset into `root`, as JPEG of quality 95 unless told otherwise, and open it."""
    pack(source, root, **({"quality": 95} | options))
    return open_dataset(root)


def shards_of(root: Path) -> list[Path]:
    return sorted(root.glob("*.tar"))


def label(**values: Any) -> bytes:
    """Return a label as somebody else may write it."""
    return json.dumps({"yaw": 1.5, "pitch": -2, "box": [1, 2, 30, 40]} | values).encode()


def image(suffix: str = ".jpg", size: tuple[int, int] = (44, 36)) -> bytes:
    """Return an encoded picture (height, width)."""
    file = io.BytesIO()
    scene(*size).save(file, {".jpg": "JPEG", ".png": "PNG", ".ppm": "PPM"}[suffix])
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes], **info: Any) -> Path:
    """Write an archive as Python does by default; `info` are fields of every member."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in info.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return path
