"""Images with a MAT file of the same name beside each: 300W-LP and AFLW2000-3D."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl.data.columns import Codec, Columns, file_extents, number_names
from hmtl.data.crops import FSANET, FSANET_POINTS, Margins, face_box, fsanet_box, hopenet_box
from hmtl.data.layouts.files import SampleError, image_size, unpaired, unreadable, with_area, wrong
from hmtl.data.layouts.layout import OnProblem
from hmtl.data.layouts.mat import read_numbers
from hmtl.data.layouts.scan import UNREADABLE, Scan
from hmtl.errors import DataError
from hmtl.pose import from_pose_para

IMAGE = ".jpg"
LABELS = ".mat"

FaceOf = Callable[[str], npt.NDArray[np.float64]]
"""From a sample's name without suffix to its face box (4,); raises SampleError."""


class _Sample(NamedTuple):
    stem: str
    bytes: int
    pose_para: npt.NDArray[Any]
    face: npt.NDArray[np.float64]
    size: tuple[int, int]
    """(height, width) of the image where the crop rule needs it."""


def read_pairs(
    root: Path,
    scan: Scan,
    *,
    crop: str,
    margins: Margins,
    looks_for: str,
    subject_of: Callable[[str], str],
    on_problem: OnProblem,
    face_of: FaceOf | None = None,
) -> Columns:
    """Return the columns of all images of the scan.

    `margins` are those of HopeNet's rule, `looks_for` is what the layout looks for; `subject_of`
    tells the subject from a sample's name without suffix; `face_of` the face where it is not that
    of the points `pt2d`. An image without labels, labels without an image and labels that cannot be
    used are problems.
    """
    samples: list[_Sample] = []
    for stem, size in _complete_pairs(root, scan, looks_for, on_problem):
        try:
            samples.append(_read_sample(root, stem, size, crop, face_of))
        except SampleError as error:
            on_problem(error.problem)
    faces = np.array([sample.face for sample in samples]).reshape(-1, 4)
    if crop == FSANET:
        boxes = fsanet_box(faces, FSANET_POINTS, [sample.size for sample in samples])
    else:
        boxes = hopenet_box(faces, margins)
    kept = with_area(root, [sample.stem + IMAGE for sample in samples], boxes, on_problem)
    samples = [samples[number] for number in kept]

    subjects: dict[str, int] = {}
    subject = number_names((subject_of(sample.stem) for sample in samples), subjects)
    pose_para = np.array([sample.pose_para for sample in samples]).reshape(-1, 7)
    return Columns(
        files=tuple(sample.stem + IMAGE for sample in samples),
        extent=file_extents([sample.bytes for sample in samples], Codec.JPEG),
        pose=from_pose_para(pose_para).astype(np.float32),
        face=faces[kept].astype(np.float32),
        box=boxes[kept],
        subject=subject,
        subjects=tuple(subjects),
    )


def _complete_pairs(
    root: Path, scan: Scan, looks_for: str, on_problem: OnProblem
) -> Iterator[tuple[str, int]]:
    """Yield the name without suffix and the bytes of each image that has labels."""
    images = {
        name.removesuffix(IMAGE): size
        for name, size in zip(scan.names, scan.sizes, strict=True)
        if name.endswith(IMAGE)
    }
    if not images:
        raise DataError(f"no images of this layout in {root}, looked for {looks_for}")
    labels = {name.removesuffix(LABELS) for name in scan.names if name.endswith(LABELS)}
    for stem in sorted(labels.difference(images)):
        reason = f"labels have no {IMAGE} image beside them"
        on_problem(unpaired(root, stem + LABELS, reason).problem)
    for stem, size in images.items():
        if size == UNREADABLE:
            on_problem(unreadable("image", root, stem + IMAGE).problem)
        elif stem in labels:
            yield stem, size
        else:
            reason = f"image has no {LABELS} file beside it"
            on_problem(unpaired(root, stem + IMAGE, reason).problem)


def _read_sample(root: Path, stem: str, size: int, crop: str, face_of: FaceOf | None) -> _Sample:
    labels = stem + LABELS
    wanted = ("Pose_Para", "pt2d") if face_of is None else ("Pose_Para",)
    pose_para, *points = read_numbers(root, labels, wanted)
    if pose_para.shape != (1, 7):
        reason = f"Pose_Para must be of shape (1, 7), got {pose_para.shape}"
        raise wrong("label", root, labels, reason)
    if face_of is not None:
        face = face_of(stem)
    elif points[0].ndim != 2 or points[0].shape[0] != 2:
        raise wrong("label", root, labels, f"pt2d must be of shape (2, N), got {points[0].shape}")
    else:
        face = tight_box(root, labels, points[0], crop)
    image = image_size(root, stem + IMAGE) if crop == FSANET else (0, 0)
    return _Sample(stem, size, pose_para[0], face, image)


def tight_box(
    root: Path, labels: str, points: npt.NDArray[Any], crop: str
) -> npt.NDArray[np.float64]:
    """Return the face box (4,) of the points (2, N) of a label file; SampleError without one."""
    try:
        return face_box(points, crop=crop)
    except ValueError as error:
        raise wrong("label", root, labels, str(error)) from error
