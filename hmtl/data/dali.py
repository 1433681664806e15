"""The engine that lets NVIDIA DALI decode JPEGs; all before and behind that is the core's.

A batch goes through three hands. Threads of the core read its files and look at their structure.
DALI decodes what is needed of the pictures that it can take, while the core decodes the other rows
and renders the batch before. Then the core renders all rows from the pixels in memory, or a GPU
does, to whose memory DALI has decoded. What DALI fails at, the core does from the beginning: it
finds the rows that are bad, as ever.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.buffers import Pixels, fresh
from hmtl.data.dali_decoder import Decoder, load_dali
from hmtl.data.engine import Finished, Parts, Way, Work

_logger = logging.getLogger(__name__)

_SLICE_S = 0.05
"""How long the end of the conductor may go unseen."""

Rows = npt.NDArray[np.int64]
Step = TypeVar("Step", int, int | None)


@dataclass(slots=True, eq=False)
class _Slots:
    """One array with a part for each row."""

    begin: Rows
    """(N + 1,) where parts begin, and the last ends."""
    bytes: Pixels

    @classmethod
    def of(cls, sizes: Rows, allocate: Callable[[int], Pixels]) -> "_Slots":
        begin = np.concatenate([[0], np.cumsum(sizes)])
        return cls(begin, allocate(int(begin[-1])))

    def __getitem__(self, row: int) -> Pixels:
        return self.bytes[self.begin[row] : self.begin[row + 1]]


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """What is known of a batch once its rows are decoded."""

    bad: list[tuple[int, str]]
    warnings: int
    seconds: dict[str, float]
    by_core: int


@dataclass(slots=True, eq=False)
class _Job:
    """A batch on its way."""

    work: Work
    ticket: int | None = None
    """Of what the core does for it at present; None where that is nothing."""
    encoded: _Slots | None = None
    parts: npt.NDArray[Any] | None = None
    """(N,) DECODED_SOURCE: what DALI is to decode, without height where it cannot."""
    decoded: "Future[_Decoded]" = field(default_factory=Future)
    """Done once the last that the core does is under way."""
    ended: threading.Lock = field(default_factory=threading.Lock)
    """Free as soon as that is done."""
    is_cancelled: bool = False

    def __post_init__(self) -> None:
        self.ended.acquire()
        # Of the lock alone: the job must not refer to itself.
        release = self.ended.release
        self.decoded.add_done_callback(lambda _: release())


class Dali:
    """The core with DALI as the decoder of JPEGs."""

    def __init__(
        self,
        core: _core.BatchRenderer,
        settings: _core.RenderSettings,
        way: Way,
        *,
        batch_size: int,
        threads: int,
        device: int | None,
    ) -> None:
        """Open the engine; `device` is the number of the GPU that DALI is to decode on, if any."""
        self._core = core
        self._settings = settings
        self._way = way
        self._threads = threads
        self._is_closed = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._conductor = threading.Thread(
            target=self._conduct,
            args=(lambda: Decoder(batch_size, threads, device),),
            name="hmtl-dali",
            daemon=True,
        )
        load_dali()
        atexit.register(self.close)
        self._conductor.start()

    def start(self, work: Work, *, urgent: bool) -> _Job:
        job = _Job(work)
        if urgent:
            # One row in the place of another: no batch for DALI.
            self._leave_to_core(job, {}, urgent=True)
            return job
        encoded = _Slots.of(work.extent["size"], fresh)
        job.parts = np.zeros(len(work.extent), _core.DECODED_SOURCE)
        job.encoded = encoded
        self._step(
            job,
            self._core.submit_reading(
                extent=work.extent,
                params=work.params,
                slots=encoded.begin,
                encoded=encoded.bytes,
                sources=job.parts,
                settings=self._settings,
            ),
        )
        self._jobs.put(job)
        return job

    def finish(self, ticket: _Job) -> Finished:
        self._core.check_process()
        decoded = self._wait(ticket)
        bad, warnings, seconds = decoded.bad, decoded.warnings, decoded.seconds
        if ticket.ticket is not None:
            theirs = self._core.wait(ticket.ticket)
            bad, warnings = sorted([*bad, *theirs[0]]), warnings + theirs[1]
            seconds = _sum([seconds, theirs[2]])
        return Finished(
            bad=bad, warnings=warnings, seconds=seconds, decoded_by_core=decoded.by_core
        )

    def _wait(self, job: _Job) -> _Decoded:
        while self._conductor.is_alive() and not job.decoded.done():
            # A future's own way to wait may make an error of its lock out of Ctrl-C.
            job.ended.acquire(timeout=_SLICE_S)
        if job.decoded.done():
            return job.decoded.result()
        raise _closed()

    def is_whole(self, ticket: _Job) -> bool:
        if not ticket.decoded.done() or ticket.decoded.exception() is not None:
            return False
        if ticket.decoded.result().bad:
            return False
        return ticket.ticket is None or self._core.is_whole(ticket.ticket)

    def cancel(self, ticket: _Job) -> None:
        # In this order: see `_step`.
        ticket.is_cancelled = True
        if (of_core := ticket.ticket) is not None:
            self._core.cancel(of_core)

    def close(self) -> None:
        self._is_closed = True
        atexit.unregister(self.close)
        self._jobs.put(None)
        self._core.close()
        # The last reference to a loader may go anywhere. In a forked child no thread is alive.
        if self._conductor.is_alive() and self._conductor is not threading.current_thread():
            self._conductor.join()

    def _conduct(self, make_decoder: Callable[[], Decoder]) -> None:
        """Take batches from reading to the last that the core does, one after the other."""
        # Nothing but this frame refers to it: in a forked child, where its threads are not, it must
        # not be destroyed.
        decoder: Decoder | None = None
        while (job := self._jobs.get()) is not None:
            try:
                if decoder is None:
                    decoder = make_decoder()
                if not self._conduct_one(job, decoder):
                    decoder = None
            except BaseException as error:
                # Nobody waits for a cancelled one, and the traceback would keep its arrays.
                if not job.is_cancelled:
                    job.decoded.set_exception(_closed() if self._is_closed else error)
            del job

    def _conduct_one(self, job: _Job, decoder: Decoder) -> bool:
        """Take one batch all the way; return False where DALI failed."""
        assert job.ticket is not None
        _, _, seconds = self._core.wait(job.ticket)
        sources, encoded = job.parts, job.encoded
        assert sources is not None
        assert encoded is not None
        job.parts = job.encoded = None
        plain = sources["height"] > 0
        if not plain.any():
            self._leave_to_core(job, seconds)
            return True
        others = np.flatnonzero(~plain)
        theirs = _Slots.of(self._slot_bytes(job.work, others), self._way.allocate)
        by_core = np.zeros(len(others), _core.DECODED_SOURCE)
        decoding = self._step(
            job,
            self._core.submit_decoding(
                extent=job.work.extent[others],
                params=job.work.params[others],
                slots=theirs.begin,
                pixels=theirs.bytes,
                sources=by_core,
                settings=self._settings,
            ),
        )
        start = time.perf_counter()
        try:
            pictures = decoder.decode(
                [encoded[row] for row in np.flatnonzero(plain).tolist()], sources[plain]
            )
        except Exception as error:
            _logger.warning("DALI failed at a batch, which the core decodes: %s", _said(error))
            self._core.cancel(decoding)
            self._leave_to_core(job, seconds)
            return False
        # All its threads work on one batch.
        by_dali = {"decode": (time.perf_counter() - start) * self._threads}
        bad, warnings, of_core = self._core.wait(decoding)
        sources[plain], sources[others] = pictures.sources, by_core
        memory = Parts(by_core=theirs.bytes, by_other=pictures)
        self._step(job, self._way.from_pictures(job.work, sources, plain, memory))
        job.decoded.set_result(
            _Decoded(
                bad=[(int(others[row]), reason) for row, reason in bad],
                warnings=warnings,
                seconds=_sum([seconds, by_dali, of_core]),
                by_core=len(others),
            )
        )
        return True

    def _slot_bytes(self, work: Work, rows: Rows) -> Rows:
        return _core.slot_bytes(
            extent=work.extent[rows], params=work.params[rows], settings=self._settings
        )

    def _leave_to_core(self, job: _Job, seconds: dict[str, float], *, urgent: bool = False) -> None:
        """Let the core do all of a batch, from its files on."""
        self._step(job, self._way.from_files(job.work, urgent=urgent))
        job.decoded.set_result(
            _Decoded(bad=[], warnings=0, seconds=seconds, by_core=len(job.work.extent))
        )

    def _step(self, job: _Job, ticket: Step) -> Step:
        """Go on to what the core does next for a batch; return its ticket.

        `cancel` may come between any two lines: it finds the ticket, or is found here.
        """
        job.ticket = ticket
        if job.is_cancelled and ticket is not None:
            self._core.cancel(ticket)
        return ticket


def _closed() -> RuntimeError:
    return RuntimeError("the loader was closed while a batch was waited for")


def _sum(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the seconds of each stage in all parts together."""
    stages: Iterable[str] = {stage: None for part in parts for stage in part}
    return {stage: sum(part.get(stage, 0.0) for part in parts) for stage in stages}


def _said(error: Exception) -> str:
    """Return what went wrong in DALI; most lines of its errors say where in the pipeline."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    _, _, reasons = "\n".join(lines).partition("encountered:\n")
    return (reasons or str(error) or type(error).__name__).splitlines()[0]
