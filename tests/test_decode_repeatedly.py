"""The limit of all loaders: decoding from memory into one picture, over and over."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hdf5_trees import patches, write_images
from pictures import JPEG, scene
from PIL import Image

from hmtl import _core
from hmtl.data.columns import file_extents
from hmtl.data.layouts.hdf5 import image_extents, open_hdf5


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def extents(encoded: list[bytes]) -> np.ndarray:
    return file_extents([len(data) for data in encoded], [JPEG] * len(encoded))


def test_every_sample_is_decoded_in_every_pass() -> None:
    encoded = [jpeg(scene(40, 30)), jpeg(scene(16, 8), subsampling=0), jpeg(scene(7, 5))]
    pixels = 40 * 30 + 16 * 8 + 7 * 5
    for passes in (0, 1, 3):
        found = _core.decode_repeatedly(data=encoded, extent=extents(encoded), passes=passes)
        assert found == passes * pixels


@pytest.mark.parametrize("storage", [{}, {"compression": "lzf"}, {"compression": "gzip"}])
def test_arrays_are_expanded(tmp_path: Path, storage: dict[str, str]) -> None:
    images = patches(4)
    chunks = (1, *images.shape[1:])
    path = write_images(tmp_path / "a.h5", images, chunks=chunks, **storage)
    with open_hdf5(path) as file:
        extent = image_extents(file, "face_patch")
    encoded = [_core.read_extent([str(path)], extent[row : row + 1]) for row in range(4)]
    found = _core.decode_repeatedly(data=encoded, extent=extent, passes=2)
    assert found == 2 * images[..., 0].size


def test_a_bad_sample_is_named_by_its_number() -> None:
    encoded = [jpeg(scene(40, 30)), jpeg(scene(40, 30))[:200]]
    with pytest.raises(_core.DecodeError, match=r"truncated JPEG.*sample 1"):
        _core.decode_repeatedly(data=encoded, extent=extents(encoded), passes=1)


def test_every_sample_needs_its_extent() -> None:
    encoded = [jpeg(scene(40, 30))]
    with pytest.raises(ValueError, match="one length, got 1 and 2"):
        _core.decode_repeatedly(data=encoded, extent=extents(encoded * 2), passes=1)


def test_other_threads_run_meanwhile() -> None:
    encoded = [jpeg(scene(400, 300))]
    work = {"data": encoded, "extent": extents(encoded), "passes": 300}
    thread = threading.Thread(target=_core.decode_repeatedly, kwargs=work)
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10
