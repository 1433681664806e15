"""Images with a MAT file of the same name beside each: 300W-LP and AFLW2000-3D."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from hmtl.data.columns import CODECS, EXTENT_DTYPE, Columns
from hmtl.data.crops import Margins, face_box, hopenet_box
from hmtl.data.layouts.scan import Scan
from hmtl.errors import DataError
from hmtl.pose import from_pose_para

IMAGE = ".jpg"
LABELS = ".mat"


def read_pairs(
    root: Path, scan: Scan, *, crop: str, margins: Margins, subject_of: Callable[[str], str]
) -> Columns:
    """Return the columns of all images of the scan.

    `subject_of` tells the subject from a sample's name without the suffix. Raises DataError
    naming the file for an image without labels and for labels that cannot be used.
    """
    rows = [i for i, name in enumerate(scan.names) if name.endswith(IMAGE)]
    stems = [scan.names[i].removesuffix(IMAGE) for i in rows]
    _check_complete(root, scan, stems)

    extent = np.zeros(len(stems), dtype=EXTENT_DTYPE)
    extent["file"] = np.arange(len(stems))
    extent["codec"] = CODECS[IMAGE]
    extent["size"] = np.asarray(scan.sizes, dtype=np.int64)[rows]

    pose_para = np.empty((len(stems), 7))
    face = np.empty((len(stems), 4))
    for i, stem in enumerate(stems):
        pose_para[i], face[i] = _read_labels(root / (stem + LABELS), crop)

    subjects: dict[str, int] = {}
    subject = [subjects.setdefault(subject_of(stem), len(subjects)) for stem in stems]
    return Columns(
        files=tuple(stem + IMAGE for stem in stems),
        extent=extent,
        pose=from_pose_para(pose_para).astype(np.float32),
        face=face.astype(np.float32),
        box=hopenet_box(face, margins),
        subject=np.asarray(subject, dtype=np.int32),
        subjects=tuple(subjects),
    )


def _check_complete(root: Path, scan: Scan, stems: list[str]) -> None:
    if not stems:
        raise DataError(f"no {IMAGE} images in {root}")
    labels = {name.removesuffix(LABELS) for name in scan.names if name.endswith(LABELS)}
    lonely = [stem for stem in stems if stem not in labels]
    if lonely:
        raise DataError(
            f"{len(lonely)} of {len(stems)} images have no {LABELS} file beside them, "
            f"the first is {root / (lonely[0] + IMAGE)}"
        )


def _read_labels(path: Path, crop: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return `Pose_Para` (7,) and the face box (4,) of a MAT file."""
    try:
        variables = scipy.io.loadmat(
            str(path), appendmat=False, variable_names=("Pose_Para", "pt2d")
        )
    # SciPy's parser meets damaged files with whatever breaks first: zlib.error, TypeError,
    # KeyError, struct.error, its own MatReadError, ….
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot read MAT file {path}: {reason}") from error
    pose_para = _numbers(variables, "Pose_Para", path)
    if pose_para.shape != (1, 7):
        raise DataError(f"Pose_Para must be of shape (1, 7), got {pose_para.shape} in {path}")
    points = _numbers(variables, "pt2d", path)
    if points.ndim != 2 or points.shape[0] != 2:
        raise DataError(f"pt2d must be of shape (2, N), got {points.shape} in {path}")
    try:
        return pose_para[0], face_box(points, crop=crop)
    except ValueError as error:
        raise DataError(f"{error} in {path}") from error


def _numbers(variables: dict[str, Any], name: str, path: Path) -> npt.NDArray[Any]:
    if name not in variables:
        raise DataError(f"no variable {name} in {path}")
    values = variables[name]
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise DataError(f"{name} must be a real array in {path}")
    if not np.isfinite(values).all():
        raise DataError(f"{name} must be finite in {path}")
    return values
