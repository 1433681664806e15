"""Boxes and poses that can be read but are wrong or unusual."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hmtl.data.checks.findings import Findings
from hmtl.data.checks.samples import name_of
from hmtl.data.columns import Columns
from hmtl.data.dataset import within_range

# Training and the reduced protocols leave out what is beyond the first; beyond the second an angle
# goes round more than once.
_LIMITS_DEG = (99.0, 180.0)


def check_boxes(
    root: Path, samples: Columns, sizes: npt.NDArray[np.int32], findings: Findings
) -> None:
    """Find faces and boxes that are empty or do not touch their image.

    `sizes` (N, 2) are the images' heights and widths, 0 where an image could not be read. A face
    of NaN alone is of a sample whose camera is not known, which is told elsewhere.
    """
    # Where the box is the face it is not told twice.
    known = ~np.isnan(samples.face).all(axis=1)
    own_box = known & (samples.box != samples.face).any(axis=1)
    for what, boxes, looked_at in (
        ("face", samples.face, known),
        ("box", samples.box, own_box),
    ):
        wrong = looked_at & ~_touches(boxes, sizes)
        for row in np.flatnonzero(wrong).tolist():
            name = name_of(samples, row)
            edges = ", ".join(f"{edge:g}" for edge in boxes[row])
            height, width = sizes[row]
            image = f"an image of {width}×{height} px" if height else "an image"
            message = (
                f"{what} must satisfy x0 < x1 and y0 < y1 and touch {image}, got ({edges}): "
                f"{root / name}"
            )
            findings.error("box", message, name)


def _touches(boxes: npt.NDArray[np.float32], sizes: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return which boxes (N, 4) have an area and overlap their image, if its size is known."""
    x0, y0, x1, y1 = boxes.T
    height, width = np.where(sizes > 0, sizes, np.iinfo(np.int32).max).T
    known = sizes[:, 0] > 0
    overlaps = (x0 < width) & (y0 < height) & (((x1 > 0) & (y1 > 0)) | ~known)
    return np.asarray((x0 < x1) & (y0 < y1) & overlaps)


def check_poses(samples: Columns, findings: Findings) -> None:
    """Note angles beyond the limits."""
    for limit in _LIMITS_DEG:
        rows = np.flatnonzero(~within_range(samples.pose, limit)).tolist()
        if rows:
            count = f"{len(rows):,} of {len(samples.pose):,} poses"
            said = f"{count} have an angle beyond ±{limit:.0f}°"
            findings.note_many("range", said, [name_of(samples, row) for row in rows])
