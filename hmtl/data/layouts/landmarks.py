"""300W-LP's `landmarks/AFW/AFW_134212_1_0_pts.mat`: points that were turned with the rendering.

There are none for the `_Flip` folders: their faces are the mirrored ones of the unflipped files.
"""

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl.data.crops import LANDMARKS, mirrored
from hmtl.data.layouts.files import SampleError, image_size, wrong
from hmtl.data.layouts.layout import Problem
from hmtl.data.layouts.mat import read_numbers
from hmtl.data.layouts.pairs import IMAGE, FaceOf, tight_box

FOLDER = "landmarks"
SUFFIX = "_pts.mat"
POINTS = "pts_2d"


def landmark_faces(root: Path, names: list[str], flip: str) -> FaceOf:
    """Return what tells the face box of a sample from its name without suffix.

    `names` are the files below `root` that there are; folders that end in `flip` are mirrored.
    """
    there = set(names)

    # The photo and its mirror image come far apart, and share one file.
    @functools.cache
    def unflipped(stem: str) -> npt.NDArray[np.float64]:
        file = f"{FOLDER}/{stem}{SUFFIX}"
        (points,) = read_numbers(root, file, (POINTS,))
        if points.ndim != 2 or points.shape[1] != 2:
            raise wrong(
                "label", root, file, f"{POINTS} must be of shape (N, 2), got {points.shape}"
            )
        return tight_box(root, file, points.T, LANDMARKS)

    def face_of(stem: str) -> npt.NDArray[np.float64]:
        folder, _, name = stem.rpartition("/")
        source = f"{folder.removesuffix(flip)}/{name}"
        file = f"{FOLDER}/{source}{SUFFIX}"
        if file not in there:
            message = f"image {root / (stem + IMAGE)} has no landmarks file {root / file}"
            raise SampleError(Problem(kind="pair", path=stem + IMAGE, message=message))
        face = unflipped(source)
        if not folder.endswith(flip):
            return face
        return mirrored(face, image_size(root, stem + IMAGE)[1])

    return face_of
