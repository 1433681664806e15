"""What all tests share: which code is tested, and what must be there for marked ones."""

import ctypes
import gc
import importlib.util
import os
import platform
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from trees import link_tree

# After a plain install the checkout's `hmtl` has no compiled core: test what is installed. Its
# `benchmarks` are nowhere else.
_CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _CHECKOUT]
sys.path.append(str(_CHECKOUT))

# Of torch, here and in what tests start: the networks are small, and on a busy machine threads that
# wait for each other take three times as long. Read when torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

# Of cuBLAS: as `hmtl.engine` sets it, whichever test is the first that multiplies on a GPU.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a shared machine.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

_REQUIRED = set(filter(None, os.environ.get("HMTL_REQUIRE", "").split(",")))


def _missing(marker: str) -> str | None:
    """Say why tests with this marker cannot run here, or None where they can."""
    if marker == "data":
        root = os.environ.get("HMTL_DATA")
        if root is None:
            return "HMTL_DATA does not name a folder with real data sets"
        return None if Path(root).is_dir() else f"HMTL_DATA names {root}, which is no folder"
    if marker == "dali":
        installed = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.dali")
        return None if installed else "NVIDIA DALI is not installed (the extra dali-cu13)"
    import torch  # noqa: PLC0415 — only a session with GPU tests pays for it

    return None if torch.cuda.is_available() else "there is no CUDA device, or no -m gpu to see it"


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs but from `-m gpu`: what other tests expect is what a CPU computes."""
    wanted = config.option.markexpr
    if "gpu" not in wanted or "not gpu" in wanted:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker in ("data", "dali", "gpu"):
        marked = [item for item in items if item.get_closest_marker(marker)]
        if not marked or marker in _REQUIRED:
            continue
        if reason := _missing(marker):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let what a test printed, such as names that are not UTF-8, pass between processes."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encodable(item) for item in value)
    return value


@pytest.fixture(scope="session")
def realdata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of links to the real samples, so that nothing is written beside them."""
    if reason := _missing("data"):
        pytest.fail(f"HMTL_REQUIRE demands real data: {reason}")
    return link_tree(Path(os.environ["HMTL_DATA"]), tmp_path_factory.mktemp("realdata"))


@pytest.fixture(scope="module", autouse=True)
def _memory_goes_back() -> Generator[None, None, None]:
    """Give back what a module has freed: who trains in a process lets it keep its peak."""
    yield
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data set of pictures of all kinds and odd sizes."""
    from mixed import write_mixed  # noqa: PLC0415 — of the package that the path above leads to

    return write_mixed(tmp_path_factory.mktemp("mixed"))


@pytest.fixture
def without_dali(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide NVIDIA DALI from who looks for it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "nvidia" in name else find(name)
    )


@pytest.fixture
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of the user that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def quick_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--dry-run` measure for an instant how long a run would take."""
    monkeypatch.setattr("hmtl.bench.plan._TIMED_S", 0.2)


@pytest.fixture(autouse=True)
def _what_is_required(request: pytest.FixtureRequest) -> None:
    for marker in ("dali", "gpu"):
        if request.node.get_closest_marker(marker) and (reason := _missing(marker)):
            pytest.fail(f"HMTL_REQUIRE demands {marker}: {reason}")
