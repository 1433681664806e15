"""BIWI: `hpdb/01/frame_00003_rgb.png`, `frame_00003_pose.txt`, and `rgb.cal` in each sequence.

A pose text holds the rows of the head's rotation in the frame of the depth camera, a blank line and
the head's centre there in mm. No boxes were published with the data set: `face` is the square that
the colour camera sees round the centre, or that of a list.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hmtl import pose
from hmtl.data import crops
from hmtl.data.columns import CODEC_OF_SUFFIX, LARGEST, Columns, file_extents, number_names
from hmtl.data.layouts import calibration, files
from hmtl.data.layouts.boxes import ListedBox, read_boxes
from hmtl.data.layouts.files import SampleError
from hmtl.data.layouts.layout import Layout, OnProblem, Problem, Request
from hmtl.data.layouts.scan import UNREADABLE, Scan, matching, scan_folders, subfolders
from hmtl.errors import DataError

PUBLISHED = 15_678
"""As headposeplus counts; most say 15,677, as 01/frame_00003 has no pose in binary form."""

POSE = "_pose.txt"

# As published; as Kaggle names it; as fast.ai does.
_PLACES = (
    "",
    "hpdb",
    "kinect_head_pose_db/hpdb",
    "kinect_head_pose_db",
    "faces_0",
    "biwi_head_pose",
)
_SEQUENCE = re.compile(r"\d{2,}")
_IMAGE = re.compile(r"frame_\d+_rgb\.(png|jpe?g)")
_IMAGES = tuple(f"_rgb{suffix}" for suffix in CODEC_OF_SUFFIX)

# Four people were recorded twice (`datasets/biwi_kinect_head_pose` of huggingface/datasets tells
# who); their first sequence stands for them.
_PERSON = {"15": "03", "18": "05", "21": "02", "22": "07"}

Array = npt.NDArray[np.float64]


class _Frame(NamedTuple):
    stem: str
    """`01/frame_00003`."""
    image: str
    bytes: int
    rows: list[float]
    """The 12 numbers of the pose text."""
    size: tuple[int, int]
    """(height, width) of the image where the crop rule needs it."""

    @property
    def sequence(self) -> str:
        return self.stem.partition("/")[0]


def _find(root: Path) -> Path | None:
    for place in _PLACES:
        for sequence in sorted(matching(root / place, _SEQUENCE)):
            if matching(root / place / sequence, _IMAGE):
                return root / place
    return None


def _scan(root: Path, request: Request) -> Scan:
    if request.boxes is not None and not request.boxes.is_file():
        raise DataError(f"no such list of boxes: {request.boxes}")
    sequences = [name for name in subfolders(root) if _SEQUENCE.fullmatch(name)]
    return scan_folders(root, sequences, (*_IMAGES, POSE, calibration.FILE))


def _read(root: Path, scan: Scan, request: Request, on_problem: OnProblem) -> Columns:
    listed = None if request.boxes is None else read_boxes(request.boxes)
    frames = _read_frames(root, scan, listed, request.crop, on_problem)
    numbers = np.array([frame.rows for frame in frames]).reshape(-1, 4, 3)
    has_camera = np.ones(len(frames), dtype=bool)
    if listed is None:
        faces, source, has_camera = _squares(root, scan, frames, numbers[:, 3], on_problem)
    else:
        faces = np.array([listed[frame.stem].box for frame in frames]).reshape(-1, 4)
        source = f"list {request.boxes.name}" if request.boxes else ""
    usable = _usable(root, frames, numbers, faces, on_problem)
    boxes = _crops(request.crop, faces, [frame.size for frame in frames])
    checked = usable[has_camera[usable]]
    names = [frames[number].image for number in checked]
    kept = checked[files.with_area(root, names, boxes[checked], on_problem)]
    # Nothing is known of the others' boxes.
    faces[~has_camera] = boxes[~has_camera] = np.nan
    kept = np.union1d(kept, usable[~has_camera[usable]])

    frames = [frames[number] for number in kept]
    people: dict[str, int] = {}
    person = [_PERSON.get(frame.sequence, frame.sequence) for frame in frames]
    subject = number_names(person, people)
    codecs = [files.codec_of(frame.image) for frame in frames]
    return Columns(
        files=tuple(frame.image for frame in frames),
        extent=file_extents([frame.bytes for frame in frames], codecs),
        pose=pose.from_camera_matrix(numbers[kept, :3]).astype(np.float32),
        face=faces[kept].astype(np.float32),
        box=boxes[kept],
        subject=subject,
        subjects=tuple(people),
        boxes=source,
    )


def _read_frames(
    root: Path,
    scan: Scan,
    listed: Mapping[str, ListedBox] | None,
    crop: str,
    on_problem: OnProblem,
) -> list[_Frame]:
    """Return the frames, or those that are listed, that have an image and twelve numbers."""
    images = _images(root, scan, on_problem)
    poses = {name.removesuffix(POSE) for name in scan.names if name.endswith(POSE)}
    if listed is None:
        wanted = sorted(poses.union(images))
    else:
        wanted = sorted(listed)
        if unknown := [line for line in listed.values() if line.frame not in images]:
            raise DataError(
                f"{len(unknown)} of {len(listed)} listed frames are not in {root}, the first is "
                f"{unknown[0].frame} ({unknown[0].place})"
            )
    frames = []
    for stem in wanted:
        try:
            frames.append(_read_frame(root, stem, images, poses, crop))
        except SampleError as error:
            on_problem(error.problem)
    return frames


def _images(root: Path, scan: Scan, on_problem: OnProblem) -> dict[str, tuple[str, int]]:
    """Return the name and the bytes of each frame's image."""
    images: dict[str, tuple[str, int]] = {}
    for name, size in zip(scan.names, scan.sizes, strict=True):
        if name.endswith(_IMAGES):
            stem = name[: name.rindex("_rgb.")]
            if stem in images:
                message = f"frame has two images, {root / images[stem][0]} and {root / name}"
                on_problem(Problem(kind="pair", path=name, message=message))
            else:
                images[stem] = name, size
    if not images:
        raise DataError(f"no frame_NNNNN_rgb.png or .jpg images in the folders 01, 02, … of {root}")
    return images


def _read_frame(
    root: Path, stem: str, images: Mapping[str, tuple[str, int]], poses: set[str], crop: str
) -> _Frame:
    labels = stem + POSE
    if stem not in images:
        raise files.unpaired(root, labels, "pose has no image beside it")
    image, size = images[stem]
    if size == UNREADABLE:
        raise files.unreadable("image", root, image)
    if stem not in poses:
        raise files.unpaired(root, image, f"image has no {POSE} file beside it")
    try:
        rows = _twelve(files.read_bytes("label", root, labels).split())
    except ValueError as error:
        reason = f"expected 3×3 and 3 finite numbers within ±{LARGEST:g}, got {error}"
        raise files.wrong("label", root, labels, reason) from error
    sides = files.image_size(root, image) if crop == crops.FSANET else (0, 0)
    return _Frame(stem, image, size, rows, sides)


def _twelve(texts: list[bytes]) -> list[float]:
    """Return the numbers of a pose text; ValueError that says what else was found."""
    rows = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not abs(value) <= LARGEST:
            raise ValueError(repr(text[:40].decode("utf-8", "replace")))
        rows.append(value)
    if len(rows) != 12:
        raise ValueError(f"{len(rows)} number{'s' * (len(rows) != 1)}")
    return rows


def _squares(
    root: Path, scan: Scan, frames: list[_Frame], centres: Array, on_problem: OnProblem
) -> tuple[Array, str, npt.NDArray[np.bool_]]:
    """Return the heads' squares (N, 4), where they are from, and whether each has a camera (N,).

    A square is NaN behind the camera, and that of the nominal one where the calibration is wrong.
    """
    there = set(scan.names)
    faces = np.full((len(frames), 4), np.nan)
    sequences = np.array([frame.sequence for frame in frames])
    has_camera = np.ones(len(frames), dtype=bool)
    sources = set()
    for sequence in dict.fromkeys(sequences.tolist()):
        name = f"{sequence}/{calibration.FILE}"
        rows = np.flatnonzero(sequences == sequence)
        camera = calibration.NOMINAL
        try:
            if name in there:
                camera = calibration.read_camera(root, name)
            else:
                calibration.refuse_other_sizes(root, [frames[row].image for row in rows])
        except SampleError as error:
            on_problem(error.problem)
            has_camera[rows] = False
        sources.add("nominal camera" if camera is calibration.NOMINAL else calibration.FILE)
        faces[rows] = calibration.head_squares(camera, centres[rows])
    return faces, " and ".join(sorted(sources, reverse=True)), has_camera


def _usable(
    root: Path, frames: list[_Frame], numbers: Array, faces: Array, on_problem: OnProblem
) -> npt.NDArray[np.int64]:
    """Return the rows whose pose is a rotation and whose head is clear before the camera."""
    turned = calibration.is_rotation(numbers[:, :3])
    seen = (np.abs(faces) <= LARGEST).all(axis=1)
    for row in np.flatnonzero(~(turned & seen)).tolist():
        reason = "the head's centre must lie before the camera"
        if not turned[row]:
            off = calibration.deviation(numbers[row, :3])
            reason = f"the first three rows must be a rotation, {off}"
        on_problem(files.wrong("label", root, frames[row].stem + POSE, reason).problem)
    return np.flatnonzero(turned & seen)


def _crops(crop: str, faces: Array, sizes: list[tuple[int, int]]) -> npt.NDArray[np.float32]:
    if crop == crops.HOPENET:
        return crops.hopenet_box(faces, crops.BIWI_MARGINS)
    if crop == crops.FSANET:
        return crops.fsanet_box(faces, crops.FSANET_BOXES, sizes)
    return faces.astype(np.float32)


def _published(_columns: Columns, request: Request) -> int | None:
    """Return the number of frames; a list has as many as its authors found a face in."""
    return PUBLISHED if request.boxes is None else None


LAYOUT = Layout(
    name="biwi",
    looks_for="folders 01, 02, … with frame_NNNNN_rgb.png or .jpg, here or in hpdb or faces_0",
    example="01/frame_*_rgb.png",
    crops=(crops.BOX, crops.HOPENET, crops.FSANET),
    takes_boxes=True,
    find=_find,
    scan=_scan,
    read=_read,
    published=_published,
)
