"""The state of a loader as plain JSON, and why one does not fit a loader."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from hmtl.data.arguments import whole_number
from hmtl.data.dataset import Dataset
from hmtl.data.options import RenderOptions
from hmtl.data.order import LARGEST_EPOCH, BatchPlan
from hmtl.errors import ConfigError

_VERSION = 2
_KEYS = ("version", "seed", "epoch", "samples", "settings")
_FINGERPRINT = "dataset.fingerprint"
_NOTHING = object()


class Position(NamedTuple):
    """Where an epoch stands."""

    epoch: int
    batches: int
    """Handed out so far."""


def all_that_shapes_batches(
    dataset: Dataset, plan: BatchPlan, options: RenderOptions, *, shuffle: bool
) -> dict[str, Any]:
    """Return what must be equal, beside the seed, for the same batches, as plain JSON.

    Numbers of threads, batches ahead and ranks are not in it.
    """
    return {
        "dataset": {
            "layout": dataset.layout,
            "split": dataset.split,
            "crop": dataset.crop,
            "boxes": dataset.boxes,
            "convention": dataset.convention,
            "files": len(dataset.files),
            "samples": len(dataset),
            "fingerprint": dataset.fingerprint,
        },
        "global_batch": plan.global_batch,
        "shuffle": shuffle,
        "drop_last": plan.drop_last,
        **options.as_dict(),
    }


def make_state(position: Position, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a loader that stands there; whoever has it may change it."""
    return {
        "version": _VERSION,
        "seed": seed,
        "epoch": position.epoch,
        "samples": position.batches * settings["global_batch"],
        "settings": deepcopy(settings),
    }


def read_state(state: object, plan: BatchPlan, seed: int, settings: dict[str, Any]) -> Position:
    """Return where a state stands.

    Raises ConfigError where it is no state, or naming what differs where the batches of a loader
    with this plan, seed and settings would not be the same.
    """
    checked = _well_formed(state)
    theirs = {"seed": checked["seed"], **checked["settings"]}
    if differences := list(_differences(theirs, {"seed": seed, **settings})):
        raise ConfigError(f"loader state was taken with {'; '.join(differences)}")
    epoch = whole_number("epoch of the loader state", checked["epoch"], 0, LARGEST_EPOCH)
    most = len(plan) * plan.global_batch
    samples = whole_number("samples of the loader state", checked["samples"], 0, most)
    batches, rest = divmod(samples, plan.global_batch)
    if rest:
        raise ConfigError(
            f"samples of the loader state must be a multiple of the global batch of"
            f" {plan.global_batch}, got {samples}"
        )
    return Position(epoch, batches)


def _well_formed(state: object) -> Mapping[str, Any]:
    """Return the argument; raise ConfigError unless it has the keys of a state."""
    if not isinstance(state, Mapping):
        raise ConfigError(f"loader state must be a dict, got {type(state).__name__}")
    version = state.get("version")
    if isinstance(version, bool) or version != _VERSION:
        raise ConfigError(f"loader state must have version {_VERSION}, got {version!r}")
    if state.keys() != set(_KEYS):
        raise ConfigError(f"loader state must have the keys {list(_KEYS)}, got {list(state)}")
    if not isinstance(state["settings"], Mapping):
        raise ConfigError(f"settings of the loader state must be a dict, got {state['settings']!r}")
    return state


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield "key = value, this loader has value" for each setting that differs."""
    flat_theirs, flat_ours = dict(_flat(theirs)), dict(_flat(ours))
    differing = [
        key
        for key in sorted(flat_theirs.keys() | flat_ours.keys())
        if flat_theirs.get(key, _NOTHING) != flat_ours.get(key, _NOTHING)
    ]
    if _FINGERPRINT in differing and any(_is_of_dataset(key) for key in differing):
        # Hashes tell people nothing, and something readable says the same.
        differing.remove(_FINGERPRINT)
    for key in differing:
        if key == _FINGERPRINT:
            yield (
                "another data set: as many files and samples, the same layout and crop rule, but"
                " the files (names, sizes, times) or the choice of samples differ"
            )
        else:
            there, here = (_shown(flat, key) for flat in (flat_theirs, flat_ours))
            yield f"{key} = {there}, this loader has {here}"


def _is_of_dataset(key: str) -> bool:
    return key != _FINGERPRINT and key.split(".")[0] == "dataset"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "no such setting"
