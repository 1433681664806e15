"""Pixels and boxes to poses."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hmtl import _core
from hmtl.config import Config
from hmtl.data.augmentation import resolve_augmentation
from hmtl.data.buffers import aligned
from hmtl.data.columns import EXTENT_DTYPE
from hmtl.data.normalizing import normalize
from hmtl.data.options import RenderOptions
from hmtl.data.parallel import usable_cores
from hmtl.precision import without_tf32
from hmtl.predict.shots import Pixels

# Of what is decoded there is no header to distrust.
_ANY_SIZE = 2**40


def predict_faces(
    network: nn.Module,
    config: Config,
    images: Sequence[Pixels],
    boxes: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float32]:
    """Return the poses (N, 3) of faces: yaw, pitch, roll in degrees.

    `network` and `config` are those of `hmtl.assemble.load_network`. `images` are N arrays uint8
    (H, W, 3), RGB, of any sizes, an image once for each of its faces; `boxes` are (N, 4) x0, y0,
    x1, y1 in pixels, x1 and y1 exclusive, by default the whole images. They may leave their image:
    outside is black. Boxes are cropped and resized as `hmtl eval` does it. The roll is NaN where
    the run has learnt directions. Leaves the network in evaluation mode. Raises ValueError for
    images and boxes of another kind.
    """
    places = _checked(images, boxes)
    poses = [
        run_network(network, config, crop_faces(config, images[some], places[some]))
        for start in range(0, len(images), config.train.batch_size)
        for some in [slice(start, start + config.train.batch_size)]
    ]
    return np.concatenate([np.empty((0, 3), np.float32), *poses])


def run_network(network: nn.Module, config: Config, crops: Tensor) -> npt.NDArray[np.float32]:
    """Return the poses (N, 3) of crops, uint8 (N, 3, S, S) on any device.

    In float32, without TF32, on the network's device, as `hmtl.evaluate.predict` does.
    """
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode(), without_tf32():
        poses: npt.NDArray[np.float32] = network(normalize(crops.to(device))).cpu().numpy()
    if config.data.convention == "direction":
        poses[:, 2] = np.nan
    return poses


def crop_faces(config: Config, images: Sequence[Pixels], boxes: npt.NDArray[np.float32]) -> Tensor:
    """Return crops, uint8 (N, 3, S, S) in channels_last, of boxes (N, 4) of decoded images."""
    data, count = config.data, len(images)
    options = RenderOptions(
        size=data.size,
        augmentation=resolve_augmentation("none"),
        pretext="none",
        grid=1,
        views=1,
        fit=data.fit,
        decode="rgb",
        puzzled_fraction=1.0,
        exif="refuse",
        max_pixels=_ANY_SIZE,
    )
    params = _core.draw_params(
        settings=options.draw_settings(),
        seed=0,
        epoch=0,
        samples=np.arange(count),
        views=1,
        face=boxes,
        box=boxes,
    )
    held = [np.ascontiguousarray(image) for image in images]
    crops = aligned((count, data.size, data.size, 3))
    threads = min(count, data.num_threads or usable_cores())
    renderer = _core.BatchRenderer(["an image in memory"], max(1, threads))
    with closing(renderer):
        ticket = renderer.submit_decoded(
            extent=np.zeros(count, EXTENT_DTYPE),
            params=params,
            sources=_sources(held),
            images=[crops],
            permutation=np.zeros((count, 1, 1), np.int64),
            turns=np.zeros((count, 1, 1), np.int64),
            pose=np.zeros((count, 3), np.float32),
            settings=options.render_settings(),
            pixels=held,
        )
        bad, _, _ = renderer.wait(ticket)
    if bad:
        raise ValueError(bad[0][1])
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _sources(images: Sequence[Pixels]) -> npt.NDArray[np.void]:
    sources = np.zeros(len(images), _core.DECODED_SOURCE)
    sources["pixels"] = [image.ctypes.data for image in images]
    sources["height"] = sources["full_height"] = [image.shape[0] for image in images]
    sources["width"] = sources["full_width"] = [image.shape[1] for image in images]
    sources["stride"] = 3 * sources["width"].astype(np.int64)
    sources["denominator"] = 1
    return sources


def _checked(images: Sequence[Pixels], boxes: npt.ArrayLike | None) -> npt.NDArray[np.float32]:
    """Return the boxes (N, 4), those of the whole images where there are none."""
    for number, image in enumerate(images):
        is_rgb = getattr(image, "ndim", 0) == 3 and image.shape[2] == 3 and image.size > 0
        if not is_rgb or image.dtype != np.uint8:
            shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
            raise ValueError(
                f"images must be uint8 (H, W, 3) in RGB, got {dtype} {shape} for image {number}"
            )
    if boxes is None:
        wholes = [(0, 0, image.shape[1], image.shape[0]) for image in images]
        return np.array(wholes, dtype=np.float32).reshape(-1, 4)
    places = np.ascontiguousarray(boxes, dtype=np.float32)
    if places.shape != (len(images), 4):
        raise ValueError(f"boxes must be ({len(images)}, 4), one an image, got {places.shape}")
    has_area = (places[:, 0] < places[:, 2]) & (places[:, 1] < places[:, 3])
    if not (np.isfinite(places).all(axis=1) & has_area).all():
        wrong = places[~(np.isfinite(places).all(axis=1) & has_area)][0].tolist()
        raise ValueError(f"a box must satisfy x0 < x1 and y0 < y1, got {wrong}")
    return places
