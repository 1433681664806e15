"""The engines that a loader may have, opened where they are there, else named with the reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.failures import FAILED, MISSING, said
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.sides import OTHER_ENGINES
from hmtl.data import Dataset, Loader
from hmtl.data.engines import EngineName
from hmtl.errors import ConfigError


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

    engine: EngineName
    device: str

    @property
    def name(self) -> str:
        return f"{self.engine}, {self.device}"


NATIVE_CPU = Engine(engine="native", device="cpu")
"""What the others are held against."""


def engines(device: str) -> list[Engine]:
    """Return all that there may be, `NATIVE_CPU` first."""
    names: tuple[EngineName, ...] = ("native", *OTHER_ENGINES)
    found = [Engine(engine=name, device=device) for name in names]
    return [NATIVE_CPU] + [engine for engine in found if engine != NATIVE_CPU]


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


def of_each(
    chosen: Sequence[Engine],
    open_one: Callable[[Engine], Loader],
    measure: Callable[[Engine, Loader], Any],
) -> dict[str, Any]:
    """Return by engine what `measure` finds of the engine and its loader, or why there is none."""
    found: dict[str, Any] = {}
    for engine in chosen:
        try:
            with open_one(engine) as loader:
                found[engine.name] = measure(engine, loader)
        except (ConfigError, ImportError) as error:
            found[engine.name] = {MISSING: said(error)}
        except Exception as error:  # the figures of the others are worth having
            found[engine.name] = {FAILED: said(error)}
    return found
