"""One sample of a data set as it is packed: its face with a margin, encoded."""

import io
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from hmtl import _core
from hmtl.data.columns import Codec
from hmtl.data.dataset import Dataset
from hmtl.data.packing.label import Label, plain
from hmtl.data.packing.record import Packing
from hmtl.data.packing.region import Stored, stored_part
from hmtl.errors import DataError

SUFFIX = {"jpeg": ".jpg", "raw": ".ppm"}
CODEC = {"jpeg": Codec.JPEG, "raw": Codec.RGB}

# Beyond any image: a mistaken box must not make a number that the core cannot take.
_MOST_REACH = 1 << 20

Pixels = npt.NDArray[np.uint8]


class Encoded(NamedTuple):
    """A sample's image, ready to be written; `head` bytes come before what its extent names."""

    image: bytes
    head: int
    height: int
    width: int
    label: Label


def encode(
    dataset: Dataset, names: list[str], number: int, region: npt.NDArray[np.float64], how: Packing
) -> Encoded:
    """Return a sample as it is packed; DataError or DecodeError where that cannot be done."""
    if not np.isfinite(region).all():
        raise DataError(f"sample has no face to crop: {_place(dataset, number)}")
    pixels, left, top, height, width = _decode(dataset, number, region, how.size)
    part = stored_part(region, height, width, how.size)
    if part is None:
        raise DataError(f"face must touch its image: {_place(dataset, number)}")
    stored = _resized(pixels, left, top, part)
    image, head = _encoded(stored, how)
    label = Label(
        name=names[number],
        subject=dataset.subjects[dataset.subject[number]],
        convention=dataset.convention,
        pose=plain(dataset.pose[number]),  # type: ignore[arg-type]
        face=plain(part.moved(dataset.face[number])),
        box=plain(part.moved(dataset.box[number])),
        crc=_core.crc32(image[head:]),
    )
    return Encoded(image, head, part.height, part.width, label)


def ppm_head(height: int, width: int) -> bytes:
    """Return what a PPM file has before its pixels."""
    return f"P6\n{width} {height}\n255\n".encode()


def _place(dataset: Dataset, number: int) -> str:
    extent = dataset.extent[number]
    row = "" if extent["row"] < 0 else f"row {extent['row']} of "
    return f"{row}{dataset.root / dataset.files[extent['file']]}"


def _decode(
    dataset: Dataset, number: int, region: npt.NDArray[np.float64], size: int
) -> tuple[Pixels, int, int, int, int]:
    """Return the pixels round a region, their left and top, and height and width of the image."""
    extent = dataset.extent[number : number + 1].copy()
    path = os.fsencode(dataset.root / dataset.files[extent["file"][0]])
    extent["file"] = 0
    data = _core.read_extent([path], extent)
    # What is stored reaches beyond the region, and resampling beyond what is stored.
    reach = int(min(6 * max(1.0, np.max(region[2:] - region[:2]) / size) + 2, _MOST_REACH))
    picture = _core.decode(
        data,
        int(extent["codec"][0]),
        os.fsencode(_place(dataset, number)),
        height=int(extent["height"][0]),
        width=int(extent["width"][0]),
        region=region.tolist(),
        margin=reach,
    )
    plane = picture["planes"][0]
    return plane["pixels"], plane["left"], plane["top"], picture["height"], picture["width"]


def _resized(pixels: Pixels, left: int, top: int, part: Stored) -> Pixels:
    x0, y0, x1, y1 = part.x0 - left, part.y0 - top, part.x1 - left, part.y1 - top
    if not part.is_resized:
        return np.ascontiguousarray(pixels[y0:y1, x0:x1])
    return _core.crop_resize(pixels, (x0, y0, x1, y1), (part.height, part.width))


def _encoded(pixels: Pixels, how: Packing) -> tuple[bytes, int]:
    """Return the image and how many bytes of it come before those that its extent names."""
    if how.codec == "raw":
        head = ppm_head(*pixels.shape[:2])
        return head + pixels.tobytes(), len(head)
    file = io.BytesIO()
    quality = how.quality or 0
    # The colour planes at half size, as cameras and the published data sets have them.
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
    return file.getvalue(), 0
