"""Packed data sets: the faces of any data set as tar shards with an index, made to be read fast."""

import logging
import typing
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hmtl import _core
from hmtl.data.arguments import check_choice, real_number, whole_number
from hmtl.data.dataset import Dataset
from hmtl.data.packing.label import key_of, to_bytes
from hmtl.data.packing.own_index import INDEX, OwnIndex, write_own_index
from hmtl.data.packing.record import LEVEL2_MARGIN, Fit, ImageCodec, Packing, check_covered
from hmtl.data.packing.region import needed_regions
from hmtl.data.packing.sample import CODEC, SUFFIX, Encoded, encode
from hmtl.data.packing.shards import ShardWriter, new_folder
from hmtl.data.packing.table import PackedSample, columns_of
from hmtl.data.parallel import in_order
from hmtl.errors import ConfigError, DataError

OnProgress = Callable[[int, int], None]
"""Called with the numbers of samples that are done and that there are."""

SHARD_BYTES = 256 << 20
QUALITY = 80
SIZE = 256

# Few samples a task: those that are ahead of the writing are all in memory.
_PER_TASK = 4
_MOST_THREADS = 1024

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """What was written."""

    samples: int
    shards: int
    size: int
    """Of all shards, in bytes."""
    skipped: tuple[str, ...]
    """The samples that could not be read."""


def pack(
    dataset: Dataset,
    target: Path,
    *,
    size: int = SIZE,
    margin: float = LEVEL2_MARGIN,
    fit: Fit = "short-side",
    codec: ImageCodec = "jpeg",
    quality: int = QUALITY,
    shard_bytes: int = SHARD_BYTES,
    skip_bad: bool = False,
    threads: int = 0,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Packed:
    """Write the faces of a dataset into the folder `target`, as tar shards and an index.

    Of each image that part is kept that training crops with margin factors up to `margin` and this
    `fit` can reach, at most `size` px long; smaller ones are not enlarged. `codec` is "jpeg" of
    this `quality`, or "raw" pixels. Shards have about `shard_bytes` bytes. The same dataset gives
    the same bytes, whatever the number of `threads` (0: one per core). A sample that cannot be read
    is an error, or left out, named and counted with `skip_bad`.

    Raises ConfigError for a target that is not empty or values that make no sense, DataError or
    DecodeError for a bad sample, DataError where the target cannot be written. The target is there
    as a whole or not at all.
    """
    if not len(dataset):
        raise ConfigError(f"there are no samples to pack in {dataset.root}")
    shard_bytes = whole_number("shard_bytes", shard_bytes, 1, 1 << 40)
    threads = whole_number("threads", threads, 0, _MOST_THREADS)
    how = _packing(dataset, size=size, margin=margin, fit=fit, codec=codec, quality=quality)
    with new_folder(target) as folder:
        writer = ShardWriter(folder, shard_bytes, how.to_json())
        skipped: list[str] = []
        samples: list[PackedSample] = []
        try:
            with closing(_encoded(dataset, how, threads)) as results:
                for number, result in enumerate(results):
                    if isinstance(result, Encoded):
                        samples.append(_write(writer, number, result, how))
                    elif not skip_bad:
                        raise result
                    else:
                        _logger.warning("left out: %s", result)
                        skipped.append(str(result))
                    on_progress(number + 1, len(dataset))
            writer.close()
        finally:
            writer.abandon()
        if not samples:
            raise DataError(f"no sample of {dataset.root} can be read, the first: {skipped[0]}")
        index = OwnIndex(
            columns_of(samples, writer.names, how),
            np.array(writer.sizes, dtype=np.int64),
            np.array(writer.crcs, dtype=np.uint32),
        )
        write_own_index(folder / INDEX, index)
    return Packed(
        samples=len(samples),
        shards=len(writer.names),
        size=sum(writer.sizes),
        skipped=tuple(skipped),
    )


def _packing(
    dataset: Dataset, *, size: int, margin: float, fit: Fit, codec: ImageCodec, quality: int
) -> Packing:
    """Return how a dataset is packed; ConfigError for values that make no sense."""
    check_choice("codec", codec, typing.get_args(ImageCodec))
    check_choice("fit", fit, typing.get_args(Fit))
    quality = whole_number("quality", quality, 1, 100)
    how = Packing(
        source=dataset.root.name,
        layout=dataset.layout,
        crop=dataset.crop,
        split=dataset.split,
        boxes=dataset.boxes,
        convention=dataset.convention,
        fingerprint=dataset.fingerprint,
        count=len(dataset),
        codec=codec,
        quality=quality if codec == "jpeg" else None,
        size=whole_number("size", size, 8, 4096),
        margin=real_number("margin", margin, 0.0, 100.0),
        fit=fit,
    )
    check_covered(dataset.packings, margin=how.margin, fit=fit)
    return how


def _encoded(
    dataset: Dataset, how: Packing, threads: int
) -> Generator[Encoded | DataError | _core.DecodeError, None, None]:
    """Yield every sample as it is packed, in their order, or what is wrong with it."""
    names = dataset.name
    regions = needed_regions(dataset.face, dataset.box, margin=how.margin, fit=how.fit)

    def work(number: int) -> Encoded | DataError | _core.DecodeError:
        try:
            return encode(dataset, names, number, regions[number], how)
        except (DataError, _core.DecodeError) as error:
            return error

    return in_order(work, len(dataset), threads, per_task=_PER_TASK)


def _write(writer: ShardWriter, number: int, sample: Encoded, how: Packing) -> PackedSample:
    key = key_of(number, sample.label.name)
    members = [
        (key + SUFFIX[how.codec], sample.image),
        (key + ".json", to_bytes(sample.label)),
    ]
    shard, start = writer.add(members)
    return PackedSample(
        label=sample.label,
        file=shard,
        row=number,
        codec=CODEC[how.codec],
        offset=start + sample.head,
        size=len(sample.image) - sample.head,
        height=sample.height,
        width=sample.width,
    )
