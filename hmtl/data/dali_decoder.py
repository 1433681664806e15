"""NVIDIA DALI as a decoder: encoded bytes in, parts of pictures in memory out."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl.data.buffers import Pixels
from hmtl.errors import ConfigError

_INPUTS = ("encoded", "first", "sides")


def require_dali() -> None:
    """Raise ConfigError unless DALI is installed."""
    # Looking for a module below it would import the package `nvidia`, which may not be there.
    if not importlib.util.find_spec("nvidia") or not importlib.util.find_spec("nvidia.dali"):
        raise ConfigError(
            "engine 'dali' needs NVIDIA DALI: pip install 'hmtl[dali-cu13]', or 'hmtl[dali-cu12]'"
            " for a driver of CUDA 12"
        )


def load_dali() -> None:
    """Import DALI, which takes a third of a second.

    What is registered with `atexit` later ends before DALI ends its pipelines.
    """
    import nvidia.dali  # noqa: PLC0415, F401 — only those pay for it who use it


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Decoded pictures; their pixels live as long as it does."""

    sources: npt.NDArray[Any]
    """(N,) DECODED_SOURCE."""
    memory: Any
    """DALI's list of tensors."""


class Decoder:
    """DALI's pipeline of one operator. One thread may use it at a time.

    DALI's readers, its order and its chance are not used. In a forked child, which has not its
    threads, it must not be destroyed.
    """

    def __init__(self, batch_size: int, threads: int, device: int | None) -> None:
        """Build a pipeline for up to `batch_size` pictures at once, on a GPU by its number."""
        from nvidia.dali import Pipeline, fn, types  # noqa: PLC0415 — see load_dali

        self._pipeline = Pipeline(
            batch_size=batch_size,
            num_threads=threads,
            device_id=device,
            # Batches are read ahead by the core; the outputs of a batch live on by themselves.
            prefetch_queue_depth=1,
            exec_dynamic=True,
        )
        with self._pipeline:
            encoded, first, sides = (
                fn.external_source(name=name, dtype=dtype, ndim=1, no_copy=True)
                for name, dtype in zip(
                    _INPUTS, (types.UINT8, types.INT32, types.INT32), strict=True
                )
            )
            pictures = fn.decoders.image_slice(
                encoded,
                device="cpu" if device is None else "mixed",
                start=first,
                shape=sides,
                axis_names="HW",
                output_type=types.RGB,
                # As our own decoder has it, so that pixels agree bit for bit.
                jpeg_fancy_upsampling=True,
                use_fast_idct=False,
                adjust_orientation=False,
            )
            self._pipeline.set_outputs(pictures)
        self._pipeline.build()

    def decode(self, encoded: Sequence[Pixels], parts: npt.NDArray[Any]) -> Pictures:
        """Return parts of the pictures of files in memory, in RGB, once they are decoded.

        `parts` (N,) are DECODED_SOURCEs without an address. Raises what DALI raises, and
        RuntimeError for a picture that is not as large as it should be; then the pipeline should
        not be used again.
        """
        first, sides = (
            np.stack([parts[y], parts[x]], axis=1)
            for y, x in (("top", "left"), ("height", "width"))
        )
        for name, data in zip(_INPUTS, (list(encoded), first, sides), strict=True):
            self._pipeline.feed_input(name, data)
        (memory,) = self._pipeline.run()
        sources = parts.copy()
        for row, source in enumerate(sources):
            tensor = memory[row]
            height, width, _ = tensor.shape()
            if (height, width) != (source["height"], source["width"]):
                raise RuntimeError(f"DALI gave {height} × {width} pixels for {source}")
            source["pixels"] = tensor.data_ptr()
            source["stride"] = 3 * width
        return Pictures(sources, memory)


def _forget_pipelines() -> None:
    """Keep DALI from ending the pipelines of a forked process with its child, which would hang."""
    # All that there are, and not only those that are built: a fork may come in the middle of that.
    if (dali := sys.modules.get("nvidia.dali")) and (pipeline := getattr(dali, "Pipeline", None)):
        pipeline._pipes.clear()


os.register_at_fork(after_in_child=_forget_pipelines)
