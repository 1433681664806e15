"""The loader and its process: Ctrl-C, several passes and threads, fork, spawn, ways to end."""

import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from loader_data import COUNT, digest, write_small

from hmtl.data import Dataset, Loader

OPTIONS = {"batch_size": 4, "size": 32}

EVERY_ENGINE = pytest.mark.parametrize(
    "engine", ["native", pytest.param("dali", marks=pytest.mark.dali)]
)

AT_ONCE_S = 3.0
"""On a busy machine; the work that is given up takes longer."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def known(dataset):
    """Hashes of the batches of epoch 0."""
    return [digest(batch) for batch in Loader(dataset, **OPTIONS)]


def long_work(dataset: Dataset, engine: str = "native") -> Loader:
    """A loader whose first batch takes seconds, while every row of it takes a moment."""
    many = dataset.subset(np.resize(np.arange(COUNT), 2000))
    return Loader(
        many, batch_size=2000, size=512, augmentation="level2", num_threads=1, prefetch=1,
        engine=engine,
    )  # fmt: skip


PRELUDE = """
import functools, os, signal, sys, threading, time
import numpy as np
from hmtl.data import Loader, open_dataset
Loader = functools.partial(Loader, engine=sys.argv[2])
dataset = open_dataset(sys.argv[1])
many = dataset.subset(np.resize(np.arange(len(dataset)), 2000))
"""


def start(dataset: Dataset, program: str, engine: str = "native") -> subprocess.Popen[str]:
    arguments = [PRELUDE + program, str(dataset.root), engine]
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "faulthandler", "-c", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def outcome(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    """Return code, output and errors; processes that hang are aborted, and say where they were."""
    # The lines that a test has not read yet are in the stream's buffer, which communicate() skips.
    killer = threading.Timer(timeout, os.killpg, [process.pid, signal.SIGABRT])
    killer.start()
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
    killer.cancel()
    killer.join()
    return process.returncode, out, err


CTRL_C = """
many = many.subset(np.arange(200))
loader = Loader(many, batch_size=20, size=256, num_threads=2, prefetch=2, seed=5)
handed = 0
try:
    for batch in loader:
        handed += 1
        if handed == 1:
            print("ready", flush=True)
            time.sleep(60)
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", handed, loader.state_dict()["samples"], flush=True)
loader.load_state_dict(loader.state_dict())
rest = [batch.images.clone() for batch in loader]
loader.set_epoch(0)
whole = [batch.images.clone() for batch in loader]
assert len(whole) == 10 and len(rest) == 10 - handed
assert all((one == other).all() for one, other in zip(rest, whole[handed:]))
loader.close()
many = dataset.subset(np.resize(np.arange(len(dataset)), 2000))

# The same loader goes on to work, with what was under way cancelled.
again = Loader(many, batch_size=8, size=64, num_threads=2, prefetch=2, seed=5)
first = next(iter(again)).images.clone()
signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(20):
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        while True:
            for batch in again:
                pass
    except KeyboardInterrupt:
        pass
    again.set_epoch(7)
    again.set_epoch(0)
    assert (next(iter(again)).images == first).all()
print("works", flush=True)
"""


@EVERY_ENGINE
def test_ctrl_c_in_the_middle_of_an_epoch_ends_it_and_the_loader_works_again(dataset, engine):
    process = start(dataset, CTRL_C, engine)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.stdout.readline() == "interrupted 1 20\n"
    assert time.monotonic() - began < AT_ONCE_S
    assert outcome(process) == (0, "works\n", "")


WAITING = """
loader = Loader(many, batch_size=2000, size=512, num_threads=1, prefetch=1)
iterator = iter(loader)
print("waiting", flush=True)
try:
    next(iterator)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert next(iterator, None) is None
print(loader.state_dict()["samples"], flush=True)
"""


@EVERY_ENGINE
def test_ctrl_c_is_seen_while_a_batch_is_waited_for(dataset, engine):
    process = start(dataset, WAITING, engine)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - began < AT_ONCE_S
    assert outcome(process, timeout=30) == (0, "0\n", "")


def test_a_signal_handler_runs_while_a_batch_is_waited_for_and_may_close_the_loader(dataset):
    program = """
loader = Loader(many, batch_size=2000, size=512, num_threads=1, prefetch=1)
calls = []
def handler(*_):
    calls.append(1)
    if len(calls) == 3:
        loader.close()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
try:
    next(iter(loader))
except RuntimeError as error:
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    print(len(calls), error)
"""
    code, out, err = outcome(start(dataset, program), timeout=20)
    assert (code, err) == (0, "")
    assert out == "3 the loader was closed while a batch was waited for\n"


def test_breaking_out_of_slow_work_waits_for_nothing(dataset):
    loader = long_work(dataset)
    began = time.monotonic()
    iterator = iter(loader)
    iterator.close()
    del iterator
    assert time.monotonic() - began < 3.0
    loader.close()


def test_an_exception_in_the_loops_body_leaves_a_loader_that_works(dataset, known):
    loader = Loader(dataset, **OPTIONS)

    def stumble() -> None:
        for batch in loader:
            raise LookupError(len(batch))

    for _ in range(3):
        with pytest.raises(LookupError):
            stumble()
    assert [digest(batch) for batch in loader] == known


def test_two_passes_of_one_loader_run_at_once_and_the_newer_moves_it(dataset, known):
    loader = Loader(dataset, **OPTIONS)
    older, newer = iter(loader), iter(loader)
    for at, (first, second) in enumerate(zip(older, newer, strict=True)):
        assert digest(first) == digest(second) == known[at]
        assert loader.state_dict()["samples"] == 4 * (at + 1)
    assert loader.epoch == 1
    # An older one that goes on moves nothing.
    older, newer = iter(loader), iter(loader)
    next(newer)
    state = loader.state_dict()
    list(older)
    assert loader.state_dict() == state


def test_two_loaders_run_at_once(dataset, known):
    first, second = Loader(dataset, **OPTIONS), Loader(dataset, **OPTIONS)
    for expected, a, b in zip(known, first, second, strict=True):
        assert digest(a) == digest(b) == expected


def test_passes_on_many_threads_give_what_one_gives(dataset, known):
    loader = Loader(dataset, num_threads=3, **OPTIONS)

    def all_of_it(_: int) -> list[list[str]]:
        found = []
        for _ in range(10):
            loader.set_epoch(1)
            loader.set_epoch(0)
            found.append([digest(batch) for batch in iter(loader)])
        return found

    with ThreadPoolExecutor(4) as pool:
        orders = [one for found in pool.map(all_of_it, range(4)) for one in found]
    # Another thread may have moved the loader between set_epoch and iter: to epoch 1, nowhere else.
    loader.set_epoch(1)
    second = [digest(batch) for batch in loader]
    assert len(orders) == 40
    assert all(one in (known, second) for one in orders)


def test_close_ends_a_pass_under_way_and_may_come_twice(dataset):
    loader = Loader(dataset, **OPTIONS)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    loader.close()
    with pytest.raises(RuntimeError, match=r"the loader (is|was) closed"):
        list(iterator)
    with pytest.raises(RuntimeError, match="the loader is closed"):
        iter(loader)
    with Loader(dataset, **OPTIONS) as loader:
        next(iter(loader))
    with pytest.raises(RuntimeError, match="the loader is closed"):
        iter(loader)


@EVERY_ENGINE
def test_close_on_another_thread_ends_the_wait(dataset, engine):
    loader = long_work(dataset, engine)
    timer = threading.Timer(0.3, loader.close)
    timer.start()
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="the loader was closed while a batch was waited for"):
        next(iter(loader))
    assert time.monotonic() - began < 0.3 + AT_ONCE_S
    timer.join()


def test_a_pass_goes_on_after_its_loader_was_dropped(dataset, known):
    iterator = iter(Loader(dataset, **OPTIONS))
    gc.collect()
    assert [digest(batch) for batch in iterator] == known


@EVERY_ENGINE
def test_loaders_and_passes_in_cycles_are_collected_in_any_order(dataset, engine):
    for _ in range(20):
        loader = Loader(dataset, num_threads=4, prefetch=6, engine=engine, **OPTIONS)
        iterator = iter(loader)
        cycle = [loader, iterator, next(iterator)]
        cycle.append(cycle)
        del loader, iterator, cycle
        gc.collect()


def test_a_loader_is_not_pickled_or_copied_but_its_data_set_is(dataset):
    loader = Loader(dataset, **OPTIONS)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle its Dataset, and make a Loader of it in the"):
            attempt(loader)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.fingerprint == dataset.fingerprint


def _digests(dataset: Dataset) -> list[str]:
    with closing(Loader(dataset, **OPTIONS)) as loader:
        return [digest(batch) for batch in loader]


def test_a_spawned_process_makes_its_own_loader(dataset, known):
    loader = Loader(dataset, **OPTIONS)
    next(iter(loader))
    spawn = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="cannot be pickled"):
        spawn.Process(target=print, args=(loader,)).start()
    with spawn.Pool(1) as pool:
        assert pool.apply(_digests, (dataset,)) == known


FORK = """
loader = Loader(dataset, batch_size=4, size=32, num_threads=3, seed=1)
iterator = iter(loader)
expected = next(iterator).images.clone()
own = dict(batch_size=4, size=32, num_threads=2, seed=1)

def close_and_exit():
    global loader, iterator
    loader.close()
    del loader, iterator
    sys.exit(5)

def go_on():
    try:
        next(iterator)
    except RuntimeError as error:
        sys.exit(6 * str(error).startswith("a loader cannot be used after fork: make a new one"))

def start_again():
    try:
        iter(loader)
    except RuntimeError as error:
        sys.exit(7 * str(error).startswith("a loader cannot be used after fork: make a new one"))

def make_its_own():
    if (next(iter(Loader(dataset, **own))).images == expected).all():
        sys.exit(8)

exits = [lambda: os._exit(3), lambda: sys.exit(4)]
for code, child in enumerate([*exits, close_and_exit, go_on, start_again, make_its_own], start=3):
    for _ in range(2):
        # Somebody waits, and threads work, in the middle of the fork.
        busy = threading.Thread(target=lambda: next(iter(Loader(many, batch_size=200, size=64))))
        busy.start()
        pid = os.fork()
        if pid == 0:
            child()
            sys.exit(0)
        busy.join()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == code, (status, code)
assert (next(iter(loader)).images == expected).all()
print("parent", sum(1 for _ in iterator))
"""


@EVERY_ENGINE
def test_a_forked_child_gets_a_clear_error_or_makes_its_own_loader(dataset, engine):
    assert outcome(start(dataset, FORK, engine), timeout=120) == (0, "parent 4\n", "")


ENDS = """
loader = Loader(dataset, batch_size=2, size=64, num_threads=3)
iterator = iter(loader)
kept = next(iterator)
{then}
"""


INTERRUPTED = "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"


@pytest.mark.parametrize(
    ("engine", "then", "code", "said"),
    [
        ("native", "", 0, ""),
        ("native", "raise SystemExit(3)", 3, ""),
        ("native", "raise ValueError('mine')", 1, "ValueError: mine"),
        ("native", "os._exit(7)", 7, ""),
        ("native", "sys.modules['kept'] = iterator; loader.me = loader", 0, ""),
        ("native", INTERRUPTED, -signal.SIGINT, "KeyboardInterrupt"),
        ("native", "threading.Thread(target=lambda: [next(iterator), sys.exit(2)]).start()", 0, ""),
        pytest.param("dali", "raise SystemExit(3)", 3, "", marks=pytest.mark.dali),
        pytest.param(
            "dali", INTERRUPTED, -signal.SIGINT, "KeyboardInterrupt", marks=pytest.mark.dali
        ),
    ],
)
def test_a_process_ends_without_close(dataset, engine, then, code, said):
    returned, _, err = outcome(start(dataset, ENDS.format(then=then), engine))
    assert returned == code
    assert (said in err) if said else err == ""


@EVERY_ENGINE
def test_a_process_ends_while_daemon_threads_wait(dataset, engine):
    program = """
loader = Loader(many, batch_size=500, size=256, num_threads=1, prefetch=1)
threading.excepthook = lambda args: os.write(1, f"{args.exc_value}\\n".encode())
for _ in range(40):
    threading.Thread(target=lambda: next(iter(loader)), daemon=True).start()
time.sleep(0.2)
"""
    code, out, err = outcome(start(dataset, program, engine))
    assert (code, err) == (0, "")
    # Those that were not out of their wait by then never got the GIL again: it may be all of them;
    # and on a busy machine one may have begun after the end.
    assert set(out.splitlines()) <= {
        "the loader was closed while a batch was waited for",
        "the loader is closed",
    }


def test_a_process_ends_while_daemon_threads_are_in_the_core(dataset):
    """Without PyTorch's operators: a thread that is in one of those then may abort the process."""
    program = """
from hmtl import _core
loaders = [Loader(dataset, batch_size=16, size=32, num_threads=2, seed=n) for n in range(4)]
def forever(loader):
    pixels, floats = np.zeros((64, 64, 3), np.uint8), np.empty((64, 64, 3), np.float32)
    while True:
        loader.draw(range(16))
        _core.normalize(pixels, floats)
for loader in loaders:
    threading.Thread(target=forever, args=(loader,), daemon=True).start()
time.sleep(0.1)
"""
    running = [start(dataset, program) for _ in range(4)]
    for process in running:
        code, _, err = outcome(process)
        assert (code, err) == (0, "")


def test_more_threads_than_the_system_has_are_an_error(dataset):
    program = """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGESIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20, resource.RLIM_INFINITY))
try:
    Loader(dataset, batch_size=2, size=32, num_threads=1000)
except RuntimeError as error:
    print(error)
"""
    code, out, err = outcome(start(dataset, program))
    assert (code, err) == (0, "")
    assert out.startswith("cannot start more than ")
    assert " of 1000 threads: " in out


def threads_and_files() -> tuple[int, int]:
    tasks, files = (Path("/proc/self") / name for name in ("task", "fd"))
    return len(list(tasks.iterdir())), len(list(files.iterdir()))


def test_loaders_come_and_go_without_leaving_threads_or_files(dataset):
    next(iter(Loader(dataset, num_threads=4, **OPTIONS)))
    gc.collect()
    before = threads_and_files()
    for _ in range(200):
        next(iter(Loader(dataset, num_threads=4, **OPTIONS)))
    gc.collect()
    threads, files = threads_and_files()
    assert threads <= before[0]
    assert files <= before[1]


def test_python_goes_on_while_a_batch_is_rendered(dataset):
    loader = long_work(dataset)
    iterator = iter(loader)
    turns = 0
    deadline = time.perf_counter() + 0.05
    while time.perf_counter() < deadline:
        turns += 1
    assert turns > 100
    iterator.close()
    loader.close()


def test_a_batch_that_is_kept_outlives_everything(dataset):
    loader = Loader(dataset, **OPTIONS)
    iterator = iter(loader)
    kept = next(iterator).images
    copied = kept.clone()
    iterator.close()
    del iterator
    gc.collect()
    for _ in range(3):
        for batch in loader:
            assert batch.images.data_ptr() != kept.data_ptr()
            del batch
    assert torch.equal(kept, copied)
    loader.close()
    del loader
    gc.collect()
    assert torch.equal(kept, copied)
