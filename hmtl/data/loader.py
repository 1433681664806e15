"""The loader: batches of rendered samples in a reproducible order, read ahead by threads."""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
import torch

from hmtl import _core
from hmtl.data.arguments import check_choice, whole_number, yes_or_no
from hmtl.data.augmentation import Augmentation, resolve_augmentation
from hmtl.data.batch import Batch
from hmtl.data.dataset import Dataset
from hmtl.data.engines import EngineName, check_engine, make_renderer
from hmtl.data.options import Decode, Pretext, RenderOptions
from hmtl.data.order import LARGEST_EPOCH, epoch_order, process_plan
from hmtl.data.packing.record import Fit, check_covered
from hmtl.data.parallel import usable_cores
from hmtl.data.read_ahead import Epoch, ReadAhead, Remedy
from hmtl.data.record import Record
from hmtl.data.state import Position, all_that_shapes_batches, make_state, read_state
from hmtl.data.upload import Uploader
from hmtl.errors import ConfigError


@dataclass(slots=True, eq=False)
class _Pass:
    """One way through an epoch."""

    epoch: int
    handed: int
    """Batches handed out, counted from the epoch's first."""


class Loader:
    """Iterates over a dataset in batches of augmented, puzzled uint8 images with their labels.

    What is drawn for a sample depends on (seed, epoch, sample, view) alone: the bytes are the same
    for any number of threads, batch size and number of ranks.

    Every `iter` begins a pass of its own: of the epoch's beginning, or of a restored position if it
    is the first. Several may run at once, also on several threads; position and epoch of the loader
    are those of the pass begun last.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        size: int = 224,
        augmentation: str | Path | Augmentation = "level2",
        pretext: Pretext = "puzzle",
        grid: int = 3,
        views: int = 1,
        fit: Fit = "short-side",
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
        num_threads: int = 0,
        prefetch: int = 3,
        device: str | torch.device = "cpu",
        engine: EngineName = "native",
        decode: Decode | None = None,
        puzzled_fraction: float = 1.0,
        on_error: Literal["raise", "substitute"] = "raise",
        exif: Literal["refuse", "ignore"] = "refuse",
        max_pixels: int = 100_000_000,
    ) -> None:
        """Open a loader.

        `batch_size` is per rank; `size` is the side of the square images in px; `rank` and
        `world_size` come from torch.distributed or the environment where they are None;
        `num_threads` = 0 takes all cores this process may use; `prefetch` batches are rendered
        ahead. `decode` None is "planes", or "rgb" where the engine has nothing else. Raises
        ConfigError for values that make no sense and for an engine that is not installed.
        """
        if not isinstance(dataset, Dataset):
            raise TypeError(f"dataset must be a Dataset, as open_dataset gives, got {dataset!r}")
        options = RenderOptions(
            size=size,
            augmentation=resolve_augmentation(augmentation),
            pretext=pretext,
            grid=grid,
            views=views,
            fit=fit,
            decode=check_engine(engine, decode, device),
            puzzled_fraction=puzzled_fraction,
            exif=exif,
            max_pixels=max_pixels,
        )
        check_covered(dataset.packings, margin=options.augmentation.margin[1], fit=options.fit)
        check_choice("on_error", on_error, ("raise", "substitute"))
        self._seed = whole_number("seed", seed, 0, 2**64 - 1)
        self._prefetch = whole_number("prefetch", prefetch, 1, 1024)
        threads = whole_number("num_threads", num_threads, 0, 1024) or usable_cores()

        self.dataset = dataset
        self._shuffle = yes_or_no("shuffle", shuffle)
        self._plan = process_plan(len(dataset), batch_size, rank, world_size, drop_last)
        self._settings = all_that_shapes_batches(
            dataset, self._plan, options, shuffle=self._shuffle
        )
        self._remedy: Remedy = _remedy(on_error, shuffle=self._shuffle)
        self._record = Record(dataset, {"engine": engine, "threads": threads})
        self._uploader = Uploader(device)
        self._renderer = make_renderer(
            engine,
            dataset,
            options,
            self._uploader,
            seed=self._seed,
            batch_size=self._plan.batch_size,
            threads=threads,
            prefetch=self._prefetch,
        )
        # Nothing that the renderer holds may refer to the loader, or the loader would never go.
        self._finalizer = weakref.finalize(self, self._renderer.close)
        self._pass = _Pass(epoch=0, handed=0)
        self._bad_in_pass: Mapping[int, str] = {}
        self._start = 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on every rank."""
        return len(self._plan)

    @property
    def epoch(self) -> int:
        """The epoch that is being rendered or comes next."""
        return self._pass.epoch

    def close(self) -> None:
        """Join the threads; happens at the latest when the loader or the interpreter goes.

        A pass under way raises RuntimeError at its next batch, on a GPU behind one that is there.
        """
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Loader has threads and cannot be pickled or copied: pickle its Dataset, and make a"
            " Loader of it in the other process"
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; the present one keeps a restored position.

        A pass of another epoch that is under way goes on, and no longer moves the loader.
        """
        epoch = whole_number("epoch", epoch, 0, LARGEST_EPOCH)
        if epoch != self._pass.epoch:
            self._stand_at(Position(epoch, 0))

    def state_dict(self) -> dict[str, Any]:
        """Return what continues behind the last batch handed out, as plain JSON."""
        return make_state(Position(self._pass.epoch, self._pass.handed), self._seed, self._settings)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; threads, prefetch and ranks may differ.

        Raises ConfigError, and changes nothing, where it is no state, or naming what differs where
        the batches would not be the same.
        """
        self._stand_at(read_state(state, self._plan, self._seed, self._settings))

    def stats(self) -> dict[str, Any]:
        """Return counts since the loader was made.

        `wait_s` are the seconds that batches were waited for, `stages` those that all threads
        together spent on reading, decoding and so on, `warnings` those of the core's decoders, and
        `decoded_by_core` the rows that these had: all, unless the engine has another decoder.
        `bad` names each sample that could not be read (`index`, `name`) and the last `reason`,
        `bad_in_epoch` the indexes of those met in the pass begun last; `substituted` counts their
        rows.
        """
        return {**self._record.stats(), "bad_in_epoch": sorted(self._bad_in_pass)}

    def draw(self, index: npt.ArrayLike, epoch: int | None = None) -> npt.NDArray[Any]:
        """Return what is drawn for these rows of the dataset: the core's params (N, V).

        They are those of an epoch, by default the present one, whenever it has the rows.
        """
        return self._renderer.draw(self._rows(index), self._chosen(epoch))

    def render(self, index: npt.ArrayLike, epoch: int | None = None) -> Batch:
        """Return these rows of the dataset (N,) as an epoch, by default the present one, has them.

        A row that cannot be rendered raises, or is not valid where `on_error` is "substitute". The
        position of the pass does not change.
        """
        rows = self._rows(index)
        self._uploader.refuse_capture()
        pending = self._renderer.start(rows, self._chosen(epoch))
        valid = np.ones(len(rows), dtype=np.bool_)
        for row, reason in self._renderer.finish(pending).bad:
            self._record.add_bad(int(rows[row]), reason)
            if self._remedy == "raise":
                raise _core.DecodeError(reason)
            valid[row] = False
        return self._uploader.send(self._renderer.to_batch(pending, valid))

    def _chosen(self, epoch: int | None) -> int:
        return self.epoch if epoch is None else whole_number("epoch", epoch, 0, LARGEST_EPOCH)

    def _rows(self, index: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return rows of the dataset that one batch can hold."""
        rows = np.asarray(index).copy()
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ConfigError(f"rows must be whole numbers (N,), got {rows.dtype} {rows.shape}")
        whole_number("number of rows", len(rows), 1, self._plan.batch_size)
        for row in rows:
            whole_number("row", row, 0, len(self.dataset) - 1)
        return rows.astype(np.int64)

    def __iter__(self) -> Iterator[Batch]:
        """Return the batches of an epoch, from a restored position on, and begin to render them.

        The end of the pass advances the epoch, and logs the samples that could not be read.
        """
        self._uploader.refuse_capture()
        epoch, first = self._pass.epoch, self._start
        ahead = ReadAhead(
            Epoch(
                number=epoch,
                plan=self._plan,
                order=epoch_order(self._seed, epoch, len(self.dataset), shuffle=self._shuffle),
            ),
            self._renderer,
            self._record,
            first=first,
            prefetch=self._prefetch,
            remedy=self._remedy,
        )
        self._pass, self._start = _Pass(epoch, first), 0
        self._bad_in_pass = ahead.bad
        return self._hand_out(ahead, self._pass)

    def _hand_out(self, ahead: ReadAhead, this: _Pass) -> Iterator[Batch]:
        with closing(ahead):
            for batch in self._uploader.send_all(ahead):
                ahead.count_next()
                this.handed += 1
                yield batch
                # The memory of a batch is free again once the caller drops it.
                del batch
        became = "replaced" if self._remedy == "substitute" else "left out"
        self._record.report_epoch(this.epoch, ahead.bad, became)
        if self._pass is this:
            self._stand_at(Position(this.epoch + 1, 0))

    def _stand_at(self, position: Position) -> None:
        """Let the next pass begin there."""
        self._pass = _Pass(position.epoch, position.batches)
        self._start = position.batches


def _remedy(on_error: str, *, shuffle: bool) -> Remedy:
    """Return what becomes of bad samples: rows of an evaluation are never replaced."""
    if on_error == "raise":
        return "raise"
    return "substitute" if shuffle else "mark"
