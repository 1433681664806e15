"""What all tests share: which code is tested, and what must be there for marked ones."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from trees import link_tree

# After a plain install the checkout's `hmtl` has no compiled core: test what is installed.
_CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _CHECKOUT]

# Of torch, here and in what tests start: the networks are small, and on a busy machine threads that
# wait for each other take three times as long. Read when torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

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

    return None if torch.cuda.is_available() else "there is no CUDA device"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker in ("data", "dali", "gpu"):
        marked = [item for item in items if item.get_closest_marker(marker)]
        if not marked or marker in _REQUIRED:
            continue
        if reason := _missing(marker):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def realdata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of links to the real samples, so that nothing is written beside them."""
    if reason := _missing("data"):
        pytest.fail(f"HMTL_REQUIRE demands real data: {reason}")
    return link_tree(Path(os.environ["HMTL_DATA"]), tmp_path_factory.mktemp("realdata"))


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
