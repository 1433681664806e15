"""Rendered data sets in the folders and label files of published ones."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path

from hmtl.synth.job import Job, check, is_finished, mark_begun, mark_finished
from hmtl.synth.writers import aflw2000, biwi, w300lp, xgaze

_WRITERS = {
    "300w-lp": w300lp.WRITER,
    "aflw2000": aflw2000.WRITER,
    "biwi": biwi.WRITER,
    "eth-xgaze": xgaze.WRITER,
}


def render_dataset(
    out: Path,
    *,
    layout: str,
    count: int,
    subjects: int,
    seed: int,
    size: int = 128,
    workers: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Render `count` images of `subjects` people, `size` px high, into the folder `out`.

    Image i shows subject i mod `subjects`, at a pose uniform in yaw ±75°, pitch ±40° and roll ±30°
    (eth-xgaze: a direction uniform in yaw and pitch, the head upright); `pose_of` returns it. Its
    content depends on (layout, seed, subjects, size, i) alone. A folder that already holds the
    finished, identical data set is left as it is; what an interrupted call left is written anew.
    `workers` is the number of processes, 0 for one per core, 1 for none besides this one; more
    than one needs a main module that may be imported again, as `multiprocessing` does.
    `on_progress` is called with the number of images done.

    Raises:
        ConfigError: an argument is out of its range.
        DataError: `out` holds something else.
    """
    job = Job(layout=layout, count=count, subjects=subjects, seed=seed, size=size)
    check(job, workers)
    if is_finished(out, job):
        return
    out.mkdir(parents=True, exist_ok=True)
    mark_begun(out, job)
    _WRITERS[layout].prepare(out, job)
    done = 0
    for written in _run(out, job, workers or os.cpu_count() or 1):
        done += written
        if on_progress is not None:
            on_progress(done)
    mark_finished(out, job)


def _run(out: Path, job: Job, workers: int) -> Iterator[int]:
    """Render all images and yield, as they are finished, how many are new."""
    tasks = _WRITERS[job.layout].tasks(job)
    if workers == 1 or len(tasks) == 1:
        for task in tasks:
            yield _write(out, job, task)
        return
    waiting = iter(tasks)
    # Started afresh instead of forked: the caller may run threads (torch does).
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
        running: set[Future[int]] = set()
        try:
            while True:
                missing = 2 * workers - len(running)
                running |= {
                    pool.submit(_write, out, job, task) for task in islice(waiting, missing)
                }
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write(out: Path, job: Job, indices: range) -> int:
    """Render and write some images; return how many."""
    _WRITERS[job.layout].write(out, job, indices)
    return len(indices)
