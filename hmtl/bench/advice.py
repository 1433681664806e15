"""What holds a loader up, in one sentence."""

from collections.abc import Mapping
from typing import Any

IDLE, READ, DECODE = "idle", "read", "decode"
# From where on idle threads, and reading in the first pass, are what one should look at.
_MUCH_IDLE = 0.25
_MUCH_READING = 0.3

_ADVICE = {
    IDLE: "threads have nothing to do in {share} of their time, as Python hands out the batches "
    "too slowly: larger batches or fewer threads help",
    READ: "reading takes {share} of the threads' time: the files lie on a slow or distant disk",
    "turn": "quarter turns of whole images take {share} of the threads' time",
    "crop": "cropping, resizing and colour take {share} of the threads' time: a smaller --size "
    "helps{pack}",
    "filter": "blur and down-scaling take {share} of the threads' time: a lower probability in the "
    "augmentation helps",
    "noise": "noise takes {share} of the threads' time: a lower probability in the augmentation "
    "helps",
    "tile": "tiles and cutout take {share} of the threads' time",
}
_DECODING = {
    "jpeg": "decoding takes {share} of the threads' time: {pack_faces}",
    "png": "decoding takes {share} of the threads' time: {pack_faces}",
    "bgr": "copying takes {share} of the threads' time: memory is the limit",
    "lzf_bgr": "expanding takes {share} of the threads' time: `hmtl data pack --codec raw` keeps "
    "the images as they are",
    "deflate_bgr": "expanding takes {share} of the threads' time: `hmtl data rechunk` or `hmtl "
    "data pack` rewrites the images so that they expand faster",
}
_PACK_LOOSE = "`hmtl data pack` keeps smaller copies, cut to the faces"
_PACK_AGAIN = "`hmtl data pack --codec raw` spares it"
_PACKED = "packed"


def bottleneck(found: Mapping[str, Any], memory_bytes: int) -> dict[str, Any]:
    """Return `stage`, its `share` of the threads' time and a sentence on it, `says`.

    `found` is what `bench_loader` has measured. Reading in the first pass counts where the data set
    does not fit into so much memory (0: unknown): then every pass is a first one.
    """
    about, first, warm = found["dataset"], found["first_pass"]["shares"], found["warm"]["shares"]
    if found["cold"] and first[READ] >= _MUCH_READING and about["bytes"] > memory_bytes > 0:
        size, memory = (f"{number / 2**30:,.0f} GiB" for number in (about["bytes"], memory_bytes))
        says = (
            f"reading takes {first[READ]:.0%} of the threads' time in the first pass, and the data "
            f"set ({size}) does not fit into memory ({memory}): a faster disk or smaller copies "
            "(`hmtl data pack`) help"
        )
        return {"stage": READ, "share": first[READ], "says": says}
    stage = max((name for name in warm if name != IDLE), key=warm.__getitem__)
    if warm[IDLE] >= _MUCH_IDLE:
        stage = IDLE
    return {"stage": stage, "share": warm[stage], "says": _sentence(stage, warm[stage], about)}


def _sentence(stage: str, share: float, about: Mapping[str, Any]) -> str:
    is_packed = about["layout"] == _PACKED
    text = _ADVICE.get(stage, f"{stage} takes {{share}} of the threads' time")
    if stage == DECODE:
        text = _DECODING.get(next(iter(about["codecs"])), text)
    return text.format(
        share=f"{share:.0%}",
        pack="" if is_packed else f", and {_PACK_LOOSE}",
        pack_faces=_PACK_AGAIN if is_packed else _PACK_LOOSE,
    )
