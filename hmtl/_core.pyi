"""Typed face of the compiled core. Arrays are C-contiguous; pixels are interleaved RGB."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Pixels = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]
_Matrix = npt.NDArray[np.int32]

DECODED_SOURCE: np.dtype[Any]
"""Pixels that were decoded already: an address and where they lie; see csrc/decoded.h."""

class DecodeError(ValueError):
    """Bad data; the message names the file and the reason."""

class Range:
    def __init__(self, low: float, high: float) -> None: ...

class Augmentation:
    """Ranges and probabilities by stage; see hmtl.data.augmentation for their meaning."""

    turn: float
    margin: Range
    area: Range
    aspect: Range
    off_centre: float
    mirror: float
    color: float
    brightness: Range
    contrast: Range
    saturation: Range
    hue: Range
    grey: float
    blur: float
    down_scale: float
    blur_or_down_scale: float
    down_scale_to: Range
    noise: float
    noise_deviation: Range
    cutout: float
    cutout_area: Range
    def __init__(self) -> None: ...

class DrawSettings:
    def __init__(
        self,
        *,
        augmentation: Augmentation,
        fit: int,
        pretext: int,
        grid: int,
        size: int,
        puzzled_fraction: float,
    ) -> None: ...

class RenderSettings:
    def __init__(
        self, *, size: int, grid: int, planes: bool, ignore_exif: bool, max_pixels: int
    ) -> None: ...

class BatchRenderer:
    """Renders batches ahead of their use on a fixed number of threads."""

    def __init__(self, paths: Sequence[str | bytes], threads: int) -> None: ...
    def submit(
        self,
        *,
        extent: npt.NDArray[Any],
        params: npt.NDArray[Any],
        images: Sequence[_Pixels],
        permutation: _Ints,
        turns: _Ints,
        pose: _Floats,
        settings: RenderSettings,
        urgent: bool = False,
    ) -> int:
        """Queue a batch and return its ticket. Its arrays are kept until it is done.

        What is urgent is rendered before all that was queued earlier.
        """
    def submit_decoded(
        self,
        *,
        extent: npt.NDArray[Any],
        params: npt.NDArray[Any],
        sources: npt.NDArray[Any],
        images: Sequence[_Pixels],
        permutation: _Ints,
        turns: _Ints,
        pose: _Floats,
        settings: RenderSettings,
        pixels: object,
        urgent: bool = False,
    ) -> int:
        """Do the same from pictures in memory: DECODED_SOURCE (N,), in what `pixels` keeps alive.

        Rows whose source has no height are left alone; files are named by errors alone.
        """
    def submit_decoding(
        self,
        *,
        extent: npt.NDArray[Any],
        params: npt.NDArray[Any],
        slots: _Ints,
        pixels: _Pixels,
        sources: npt.NDArray[Any],
        settings: RenderSettings,
        urgent: bool = False,
    ) -> int:
        """Queue the decoding of what the views of samples need, to RGB, into slots of one array.

        `slots` (N + 1,) are the offsets where the slots begin in `pixels` (bytes,) and the last one
        ends; `slot_bytes` says how much they need. Fills `sources` (N,), DECODED_SOURCE, without
        height where a row is bad.
        """
    def submit_reading(
        self,
        *,
        extent: npt.NDArray[Any],
        params: npt.NDArray[Any],
        slots: _Ints,
        encoded: _Pixels,
        sources: npt.NDArray[Any],
        settings: RenderSettings,
        urgent: bool = False,
    ) -> int:
        """Queue the reading of samples into slots of one array, for another decoder.

        Fills `sources` (N,), DECODED_SOURCE: the part of the picture that the views need, without
        an address. Without height are rows that are no whole, usual JPEG, that this core would
        scale down while it decodes them, or that do not fit into their slot.
        """
    def check_process(self) -> None:
        """Raise RuntimeError in a forked child, where there are no threads."""
    def wait(self, ticket: int) -> tuple[list[tuple[int, str]], int, dict[str, float]]:
        """Return ([(row, reason)], decoder warnings, {stage: seconds of all threads}).

        Runs signal handlers while it waits. Raises ValueError for a ticket that was waited for or
        cancelled, RuntimeError where the renderer was closed before the batch was done.
        """
    def is_whole(self, ticket: int) -> bool:
        """Return whether `wait` would return at once, and no bad row; False for unknown tickets."""
    def cancel(self, ticket: int) -> None:
        """Give a batch up, without waiting; an unknown ticket is no error."""
    def close(self) -> None: ...

def slot_bytes(
    *, extent: npt.NDArray[Any], params: npt.NDArray[Any], settings: RenderSettings
) -> _Ints:
    """Return (N,) bytes that hold what the views of samples need, whatever their files hold."""

def draw_params(
    *,
    settings: DrawSettings,
    seed: int,
    epoch: int,
    samples: _Ints,
    views: int,
    face: _Floats,
    box: _Floats,
) -> npt.NDArray[Any]:
    """Return the structured array (N, V) of what is drawn for samples."""

def epoch_order(*, seed: int, epoch: int, count: int) -> _Ints:
    """Return a permutation of 0 … count - 1."""

def normalize(rgb: _Pixels, out: _Floats) -> None: ...
def normalize_coefficients() -> list[float]:
    """Return the scales, then the offsets of R, G, B."""

def decode(
    data: bytes,
    codec: int,
    name: str | bytes,
    *,
    height: int = 0,
    width: int = 0,
    region: Sequence[float] | None = None,
    margin: int = 2,
    pixels_per_output: float = 0.0,
    planes: bool = False,
    ignore_exif: bool = False,
    max_pixels: int = 100_000_000,
) -> dict[str, Any]:
    """Decode a sample's bytes; height and width are the sides of an array (codecs 2, 3, 4)."""

def decode_repeatedly(*, data: Sequence[bytes], extent: npt.NDArray[Any], passes: int) -> int:
    """Decode samples (N,), whole and to RGB, `passes` times into one picture that is reused.

    Returns how many pixels that were. Nothing is handed out: it is the limit of what decodes.
    `extent` tells codec, height and width; the GIL is released all the while.
    """

def read_extent(paths: Sequence[str | bytes], extent: npt.NDArray[Any]) -> bytes: ...
def inspect(
    paths: Sequence[str | bytes], extent: npt.NDArray[Any], *, max_pixels: int = 100_000_000
) -> dict[str, Any]:
    """Read and decode one whole sample, whatever its orientation; hand out no pixels.

    The result has height, width, channels ("YCbCr", "grey 1 bit", "RGB+alpha 16 bit", "BGR"),
    orientation (EXIF's; 1 is as stored), warnings (how many the decoder gave), first_warning.
    """

def image_size(data_head: bytes, codec: int, name: str | bytes) -> tuple[int, int]:
    """Return (height, width) as the header says; the bytes need not go beyond it."""

def lzf_decode(data: bytes, size: int) -> bytes:
    """Expand one LZF stream to so many bytes."""

def lzf_decode_plain(data: bytes, size: int) -> bytes:
    """Do the same byte by byte."""

def crc32(data: bytes, use_wide: bool = True) -> int:
    """Return the CRC-32 of zlib; `use_wide` allows AVX-512."""

def crc32_plain(data: bytes) -> int:
    """Do the same by zlib itself."""

def about() -> dict[str, str]:
    """Return the versions of what the core was built with, and which of its kernels run here."""

def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]: ...
def crop_resize(
    image: _Pixels, box: Sequence[float], size: tuple[int, int], border: int = 0
) -> _Pixels: ...
def develop(
    planes: Sequence[_Pixels],
    box: Sequence[float],
    size: tuple[int, int],
    matrix: _Matrix,
    mirrored: bool = False,
) -> _Pixels:
    """Crop, resize, colour and mirror an RGB plane, or planes Y, Cb, Cr.

    Cb and Cr may have half the rows or columns of Y.
    """

def limit_kernels(most: str) -> None:
    """Run no more than the kernels of pixels called "plain", "avx2" or "wide" (AVX-512)."""

def color_matrix(
    brightness: float = 1.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
    grey: bool = False,
) -> _Matrix: ...
def apply_color(image: _Pixels, matrix: _Matrix) -> _Pixels: ...
def apply_color_ycc(y: _Pixels, cb: _Pixels, cr: _Pixels, matrix: _Matrix) -> _Pixels: ...
def blur(image: _Pixels) -> _Pixels: ...
def down_scale(image: _Pixels, side: int) -> _Pixels: ...
def mirror(image: _Pixels) -> _Pixels: ...
def add_noise(
    image: _Pixels, scale: int, key: Sequence[int], counter: Sequence[int], kernel: str = ""
) -> _Pixels: ...
def noise_scale(deviation: float) -> int: ...
def noise_kernels() -> list[str]: ...
def turn(image: _Pixels, quarters: int) -> _Pixels: ...
def cutout(image: _Pixels, rect: Sequence[int]) -> _Pixels: ...
def tile(
    canvas: _Pixels, grid: int, permutation: Sequence[int], turns: Sequence[int], size: int
) -> tuple[_Pixels, _Ints, _Ints]: ...

class DevicePlan:
    """What the host works out before a device renders N decoded samples in V views.

    `sources` (N,) are DECODED_SOURCE, `params` (N, V) what was drawn; rows that are not `valid`
    (N,) become black. Raises ValueError for what cannot be rendered.
    """

    def __init__(
        self,
        *,
        sources: npt.NDArray[Any],
        params: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_],
        size: int,
        grid: int,
    ) -> None: ...
    @property
    def bytes(self) -> int:
        """Memory that the device needs meanwhile."""

    @property
    def jobs(self) -> _Pixels:
        """What that memory begins with."""

    def render_on_host(
        self,
        *,
        images: Sequence[_Pixels],
        permutation: _Ints,
        turns: _Ints,
        backwards: bool = False,
    ) -> None:
        """Run the kernels on the host, where the sources' addresses must lie.

        `images` are V arrays (N, S, S, 3), `permutation` and `turns` (N, V, T). Blocks and their
        threads come in order or `backwards`, which must not matter.
        """

def normalize_on_host(rgb: _Pixels, type: str) -> npt.NDArray[Any]:
    """Run the kernel that normalizes on the host: float32, or 16-bit floats as uint16."""
