"""YuNet, OpenCV's face detector; its weights are the user's."""

import threading
from pathlib import Path

import numpy as np

from hmtl.errors import DataError
from hmtl.predict.boxes import Locate, widened
from hmtl.predict.opencv import load_opencv
from hmtl.predict.shots import Boxes, Shot

MARGIN = 1.3
"""Its boxes end at chin and forehead: a third wider, as docs/own-data.md has it."""
LONGEST_SIDE_PX = 640
"""Larger pictures are scaled down: YuNet has learnt faces of 10 to 300 px."""


def yunet(path: Path, margin: float) -> Locate:
    """Return what finds the faces of a shot with the YuNet of an ONNX file.

    DataError where OpenCV cannot read the file, or where it is another network.
    """
    cv2 = load_opencv()
    model = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    try:
        detector = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), (32, 32))
        detector.detect(np.zeros((32, 32, 3), np.uint8))
    except cv2.error as error:
        reason = " ".join(str(error.err or error).split())
        raise DataError(f"{path} is not a YuNet that OpenCV can read: {reason}") from error
    lock = threading.Lock()

    def locate(shot: Shot) -> Boxes:
        pixels = shot.pixels()
        scale = min(1.0, LONGEST_SIDE_PX / max(shot.size))
        height, width = (max(1, round(scale * side)) for side in shot.size)
        small = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if scale < 1.0:
            small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
        # It keeps the size of what it was last given.
        with lock:
            detector.setInputSize((width, height))
            _, faces = detector.detect(small)
        if faces is None:
            return np.empty((0, 4), dtype=np.float32)
        x, y, w, h = np.asarray(faces, dtype=np.float64)[:, :4].T
        sides = np.array([shot.size[1] / width, shot.size[0] / height] * 2)
        return widened(np.stack([x, y, x + w, y + h], axis=1) * sides, margin)

    return locate
