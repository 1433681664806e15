"""The engines that a loader may have, opened where they are there, else named with the reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.scale import Scale
from hmtl.data import Dataset, Loader
from hmtl.errors import ConfigError

NATIVE_CPU = "native, cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a loader is to make."""

    name: str
    dataset: Dataset
    options: dict[str, Any]
    """Of a Loader; its size, batch size, device and engine come on top."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine, and where its batches end."""

    name: str
    engine: str
    device: str


def engines(device: str) -> list[Engine]:
    """Return all that there may be, the one that the others are held against first."""
    found = [Engine(name=NATIVE_CPU, engine="native", device="cpu")]
    if device != "cpu":
        found.append(Engine(name=f"native, {device}", engine="native", device=device))
    return found + [
        Engine(name=f"{engine}, {device}", engine=engine, device=device)
        for engine in ("cuda", "dali")
    ]


def open_loader(
    engine: Engine, job: Job, scale: Scale, *, batch_size: int, **changes: Any
) -> Loader:
    """Return a loader of an engine; raise ConfigError or ImportError where it is not there."""
    options = {**job.options, **changes}
    return Loader(
        job.dataset,
        batch_size=batch_size,
        size=scale.size,
        engine=engine.engine,
        device=engine.device,
        rank=0,
        world_size=1,
        **options,
    )


def opened(
    job: Job, scale: Scale, *, batch_size: int, **changes: Any
) -> Iterator[tuple[Engine, Loader | str]]:
    """Yield every engine with its loader, closed afterwards, or why it is missing."""
    for engine in engines(scale.device):
        try:
            loader = open_loader(engine, job, scale, batch_size=batch_size, **changes)
        except (ConfigError, ImportError) as error:
            yield engine, str(error)
            continue
        with loader:
            yield engine, loader
