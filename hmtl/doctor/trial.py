"""Small pictures through every engine that is there: do they all make the same batch?"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hmtl import _core
from hmtl.data import Dataset, Loader, kernels, open_dataset
from hmtl.data.engines import EngineName, check_engine
from hmtl.doctor.finding import REPORT, Finding
from hmtl.errors import ConfigError

CORE, ENGINES = "core", "engines"

_ENGINES: tuple[EngineName, ...] = ("native", "cuda", "dali")
# What the others are compared with, and what there is no such thing as.
_NOT_TRIED = {("native", "cpu"), ("cuda", "cpu")}
_PICTURES = 6
_SIZE = 61
# SHA-256 of the batch that the trial pictures become, as PNG, on any machine.
EXPECTED = "0307311734041bc8a6392ad2c729771b5d11d5a98216b435ca0a23fbb711abf1"
# All engines share what follows the decoder, and only that of DALI on a GPU rounds otherwise.
_NVJPEG_LEVELS = 0.5

Batch = npt.NDArray[np.uint8]


def core() -> Iterator[Finding]:
    """Yield what the core was built with, and whether its bytes are those of other machines."""
    about = _core.about()
    chosen = {name: about.pop(name) for name in ("kernels", "noise")}
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(about.items()))
    yield Finding(part=CORE, name="built with", state="ok", text=libraries)
    text = f"pixels {chosen['kernels']}, noise {chosen['noise']}"
    yield Finding(part=CORE, name="kernels", state="ok", text=text)
    with tempfile.TemporaryDirectory() as folder:
        batch = _render(_trial_set(Path(folder), "png"), "native", "cpu")
    digest = hashlib.sha256(batch.tobytes()).hexdigest()
    same = digest == EXPECTED
    yield Finding(
        part=CORE,
        name="pixels",
        state="ok" if same else "broken",
        text="bit for bit those of every other machine"
        if same
        else f"not those of other machines: SHA-256 {digest[:16]}, expected {EXPECTED[:16]}",
        remedy="" if same else REPORT,
    )


def engines() -> Iterator[Finding]:
    """Yield for each engine, on each kind of device, whether it makes what `native` makes."""
    built = kernels.cuda is not None
    yield Finding(
        part=ENGINES,
        name="CUDA kernels",
        state="ok" if built else "missing",
        text="built" if built else "not built: engine cuda, and dali on a GPU, cannot be used",
        remedy="" if built else "install the CUDA toolkit (nvcc), then hmtl anew",
    )
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    with tempfile.TemporaryDirectory() as folder:
        data = _trial_set(Path(folder), "jpg")
        expected = _render(data, "native", "cpu")
        for engine, device in product(_ENGINES, devices):
            if (engine, device) not in _NOT_TRIED:
                yield _examine(data, engine, device, expected)


def _examine(data: Dataset, engine: EngineName, device: str, expected: Batch) -> Finding:
    name = f"{engine}, {device}"
    try:
        check_engine(engine, None, device)
    except ConfigError as error:
        return Finding(part=ENGINES, name=name, state="missing", text=str(error))
    try:
        batch = _render(data, engine, device)
    # A driver or a library that does not fit can raise anything.
    except Exception as error:
        text = f"cannot make a batch: {type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(part=ENGINES, name=name, state="broken", text=text, remedy=REPORT)
    difference = np.abs(batch.astype(np.int16) - expected)
    limit = _NVJPEG_LEVELS if (engine, device) == ("dali", "cuda") else 0.0
    mean, most = float(difference.mean()), int(difference.max())
    if mean > limit:
        text = f"other pixels than native: {mean:.2f} grey levels on average, {most} at most"
        return Finding(part=ENGINES, name=name, state="broken", text=text, remedy=REPORT)
    text = f"within {mean:.2f} grey levels of native" if most else "bit for bit as native"
    return Finding(part=ENGINES, name=name, state="ok", text=text)


def _render(data: Dataset, engine: EngineName, device: str) -> Batch:
    """Return an augmented, puzzled batch, uint8 (N, S, S, 3)."""
    loader = Loader(
        data,
        batch_size=_PICTURES,
        size=_SIZE,
        augmentation="level2",
        pretext="puzzle-rotation",
        engine=engine,
        device=device,
        decode="rgb",
    )
    with closing(loader):
        images = next(iter(loader)).images
    pixels: Batch = images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def _trial_set(folder: Path, suffix: str) -> Dataset:
    """Return pictures of waves, of odd sizes: such as no decoder takes for empty."""
    for number in range(_PICTURES):
        y, x = np.mgrid[: 80 + 7 * number, : 90 + 5 * number]
        channels = [x * (number + 2) + y * c * c for c in range(1, 4)]
        picture = np.abs(np.stack(channels, axis=-1) % 510 - 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.{suffix}")
    return open_dataset(folder, "images")
