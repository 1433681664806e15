"""Poses of the faces on JPEGs and PNGs, through the loader that evaluation has."""

import os
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from hmtl.assemble import evaluation_loader
from hmtl.config import Config
from hmtl.data import Dataset, DecodeError
from hmtl.data.columns import file_extents
from hmtl.data.crops import BOX
from hmtl.data.layouts.files import SampleError, codec_of, image_size
from hmtl.data.layouts.images import NAME
from hmtl.data.parallel import in_order
from hmtl.data.preview import source_image
from hmtl.errors import DataError
from hmtl.predict.boxes import Locate, located
from hmtl.predict.faces import run_network
from hmtl.predict.shots import Picture, Pixels, Seen, Shot, Tally

# Poses come as soon as so many batches of faces are found.
_BATCHES_AT_ONCE = 4
_ORIENTATION = re.compile(r"EXIF orientation is (\d+)")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Face:
    """A face that was found on a picture."""

    number: int
    """Of the picture."""
    picture: Picture
    file_bytes: int
    size: tuple[int, int]
    box: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float32] | None = None

    def pixels(self) -> Pixels:
        """Decode the picture as evaluation would, whole."""
        return source_image(_dataset([self]), 0)


def predict_pictures(
    network: nn.Module, config: Config, pictures: Sequence[Picture], locate: Locate, tally: Tally
) -> Iterator[Seen]:
    """Yield the pictures on which faces were found, in their order, with the poses.

    Pixels and poses are those of `hmtl.evaluate.predict` on a dataset with the same boxes.
    Pictures that cannot be read are told to the tally, and so are those without a face.
    """
    # What engine a run learnt with does not matter here, and a bad picture does not end the job.
    chosen = config.updated({"data.engine": "native", "data.on_error": "substitute"})
    with closing(_found(pictures, locate, tally)) as found:
        faces = _with_poses(network, chosen, found, tally)
        for number, group in groupby(faces, key=attrgetter("number")):
            of_picture = list(group)
            yield Seen(
                shot=_shot(of_picture[0]),
                boxes=np.stack([face.box for face in of_picture]),
                poses=np.stack([face.pose for face in of_picture if face.pose is not None]),
                total=len(pictures),
                done=number + 1,
            )


def _shot(face: _Face) -> Shot:
    return Shot(source=face.picture, frame=None, size=face.size, pixels=face.pixels)


def _found(
    pictures: Sequence[Picture], locate: Locate, tally: Tally
) -> Generator[_Face, None, None]:
    """Yield the faces of all pictures; tell of those that have none or are bad."""

    def find(number: int) -> list[_Face] | str:
        picture = pictures[number]
        try:
            height, width = image_size(picture.path.parent, picture.path.name)
            whole = _Face(
                number=number,
                picture=picture,
                file_bytes=picture.path.stat().st_size,
                size=(height, width),
                box=np.array([0, 0, width, height], dtype=np.float32),
            )
            return [replace(whole, box=box) for box in located(locate, _shot(whole))]
        except (SampleError, DecodeError, DataError) as error:
            return _reason(picture, str(error))
        except OSError as error:
            return f"cannot read {picture.name}: {error.strerror}"

    with closing(in_order(find, len(pictures), threads=0, per_task=4)) as answers:
        for picture, answer in zip(pictures, answers, strict=True):
            if isinstance(answer, str):
                tally.add_bad(answer)
            elif not answer:
                tally.add_without(1, picture.name)
            else:
                yield from answer


def _with_poses(
    network: nn.Module, config: Config, found: Iterator[_Face], tally: Tally
) -> Iterator[_Face]:
    """Yield the faces of pictures that can be decoded, with their poses."""
    device = next(network.parameters()).device
    told: set[int] = set()
    # Whole batches, so that each holds the faces that it would hold in an evaluation.
    while faces := list(islice(found, _BATCHES_AT_ONCE * config.train.batch_size)):
        with closing(evaluation_loader(config, _dataset(faces), device)) as loader:
            for batch in loader:
                poses = run_network(network, config, batch.images)
                rows = batch.index.tolist()
                for row, valid, pose in zip(rows, batch.valid.tolist(), poses, strict=True):
                    face = faces[row]
                    if valid:
                        yield replace(face, pose=pose)
                    elif face.number not in told:
                        told.add(face.number)
                        reasons = {bad["index"]: bad["reason"] for bad in loader.stats()["bad"]}
                        tally.add_bad(_reason(face.picture, reasons[row]))


def _dataset(faces: Sequence[_Face]) -> Dataset:
    """Return faces as the samples of a dataset."""
    files = {face.picture.path: face.file_bytes for face in faces}
    numbers = {path: number for number, path in enumerate(files)}
    root = Path(os.path.commonpath([path.parent for path in files]))
    names = [path.relative_to(root).as_posix() for path in files]
    extents = file_extents(list(files.values()), [codec_of(name) for name in names])
    boxes = np.stack([face.box for face in faces])
    return Dataset(
        root=root,
        layout=NAME,
        crop=BOX,
        files=tuple(names),
        extent=extents[[numbers[face.picture.path] for face in faces]],
        pose=np.full((len(faces), 3), np.nan, dtype=np.float32),
        face=boxes,
        box=boxes,
        subject=np.zeros(len(faces), dtype=np.int32),
        subjects=("",),
        fingerprint="",
    )


def _reason(picture: Picture, reason: str) -> str:
    """Return why a picture cannot be used, by the name that the user has for it."""
    if match := _ORIENTATION.search(reason):
        return (
            f"{picture.name} is stored turned (EXIF orientation {match[1]}), its boxes would be in"
            " another frame: save it upright, as PIL.ImageOps.exif_transpose and `mogrify"
            " -auto-orient` do"
        )
    # The core has the path below the root of the dataset, which the user has not given.
    for known in (f"//{os.fspath(picture.path).lstrip('/')}", os.fspath(picture.path)):
        reason = reason.replace(known, picture.name)
    return reason
