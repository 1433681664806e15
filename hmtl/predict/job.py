"""Poses for all that was given, in its order."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from torch import nn

from hmtl.config import Config
from hmtl.predict.boxes import Locate
from hmtl.predict.pictures import predict_pictures
from hmtl.predict.shots import Picture, Seen, Source, Tally, Video
from hmtl.predict.videos import predict_video


def predict_sources(
    network: nn.Module,
    config: Config,
    sources: Sequence[Source],
    locate: Locate,
    tally: Tally,
    *,
    every: int = 1,
) -> Iterator[Seen]:
    """Yield pictures and frames with the poses of the faces on them, as soon as they are known.

    `network` and `config` are those of `hmtl.assemble.load_network`; of videos every so manieth
    frame is looked at. What cannot be used is told to the tally, and the others go on.
    """
    for is_picture, group in groupby(sources, key=lambda source: isinstance(source, Picture)):
        if is_picture:
            pictures = [source for source in group if isinstance(source, Picture)]
            yield from predict_pictures(network, config, pictures, locate, tally)
            continue
        for video in group:
            assert isinstance(video, Video)
            yield from predict_video(network, config, video, locate, tally, every=every)
