"""Pairs of a JPEG and a MAT file of labels, as 300W-LP and AFLW2000-3D have them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from hmtl import pose as poses
from hmtl.synth.scene import Rendered

JPEG_QUALITY = 92
_MAT_HEADER = b"MATLAB 5.0 MAT-file Platform: posix, rendered by hmtl".ljust(116)


def write_pair(stem: Path, rendered: Rendered, points: dict[str, Any]) -> None:
    """Write an image and its labels: pose, region and the layout's `points`."""
    image = Image.fromarray(rendered.image)
    image.save(stem.with_suffix(".jpg"), quality=JPEG_QUALITY, subsampling="4:2:0")
    stem.with_suffix(".mat").write_bytes(_mat_bytes(_labels(rendered) | points))


def _labels(rendered: Rendered) -> dict[str, Any]:
    """Return the variables that both layouts have, typed as in the published sets."""
    size = len(rendered.image)
    # The published files count y from the bottom in `Pose_Para`, as the fitted model does.
    place = [rendered.place[0], size + 1 - rendered.place[1], 0.0]
    numbers = [*poses.to_pose_para(rendered.pose), *place, rendered.scale]
    return {
        "Pose_Para": np.array([numbers], dtype=np.float32),
        "roi": np.array([[1, 1, size, size]], dtype=np.int16),
    }


def _mat_bytes(variables: dict[str, Any]) -> bytes:
    """Return a MAT file of the variables."""
    stream: Any = io.BytesIO()
    savemat(stream, variables, do_compression=True)
    # SciPy writes the time into the free text of the header; equal labels shall be equal bytes.
    content: bytes = stream.getvalue()
    return _MAT_HEADER + content[len(_MAT_HEADER) :]
