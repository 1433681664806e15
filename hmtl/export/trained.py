"""The network of a run, and what is to be known of its numbers wherever it goes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hmtl import __version__, _core
from hmtl.assemble import BEST_WEIGHTS, WEIGHTS, plain_network, read_weights
from hmtl.config import Config
from hmtl.export.target import Input
from hmtl.models.multi_task import PoseNetwork
from hmtl.runlog import LOG, read_log

_SIGNS = {
    "euler": "yaw > 0: the nose turns to the left of the image; pitch > 0: the nose rises;"
    " roll > 0: the head turns clockwise in the image",
    "direction": "of where the head faces: yaw > 0 to the left of the image, pitch > 0 upwards",
}
NO_ROLL = "has no meaning: the network has learnt directions, which have no roll"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A plain network as its run has left it, on the CPU, ready to evaluate."""

    network: PoseNetwork
    run: Path
    path: Path
    """The file with the weights, which need not be in the run's folder."""
    config: Config
    step: int
    data: Mapping[str, str]
    """Of the data set that it was trained on: `crop`, the rule; as far as the run's log is there
    also `layout`, and `boxes` where there is a choice."""

    @property
    def convention(self) -> str:
        """What the poses are: `euler`, or `direction`."""
        return self.config.data.convention or "euler"

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by torchvision's names, the head's by `pose.*`."""
        state = self.network.state_dict()
        return {name.removeprefix("backbone."): tensor for name, tensor in state.items()}


def load_trained(run: Path, weights: str) -> Trained:
    """Return the plain trained network of a run; `weights` is as `read_weights` takes it."""
    saved = read_weights(run, weights)
    network = plain_network(saved, torch.device("cpu"))
    return Trained(
        network=network.requires_grad_(False).to(memory_format=torch.contiguous_format),
        run=run,
        path=saved.path,
        config=saved.config,
        step=saved.step,
        data=_data(saved.path, saved.config),
    )


def facts(trained: Trained, input: Input) -> dict[str, str]:
    """Return what a file with this network says of itself; all of it is text."""
    config = trained.config
    size = config.data.size
    dtype = "uint8" if input == "uint8" else "float32"
    known = {
        "hmtl_version": __version__,
        "step": str(trained.step),
        "config": json.dumps(config.as_dict()),
        "weights_sha256": weights_digest(trained.weights),
        **trained.data,
        "fit": config.data.fit,
        "angle_order": "yaw,pitch,roll",
        "unit": "degrees",
        "convention": trained.convention,
        "signs": _SIGNS[trained.convention],
        "input_layout": f"{dtype} (N, 3, {size}, {size}), red, green, blue",
        "input_range": "0 to 255" if input == "uint8" else _normalisation(),
    }
    return known | ({"roll": NO_ROLL} if trained.convention == "direction" else {})


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the weights: names in order, each with type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        shape = "x".join(map(str, tensor.shape))
        digest.update(f"{name} {tensor.dtype} {shape}\n".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _data(weights: Path, config: Config) -> dict[str, str]:
    """Return what the config and the log beside a run's weights know of the data."""
    log = weights.with_name(LOG)
    # Beside a file that was put elsewhere, a log may be anybody's.
    is_own = weights.name in (WEIGHTS, BEST_WEIGHTS) and log.exists()
    entries = read_log(log) if is_own else []
    starts = [entry for entry in entries if entry["event"] == "start"]
    logged = starts[-1].get("data", {}) if starts else {}
    found = {name: logged.get(name) for name in ("layout", "crop", "boxes")}
    found["crop"] = found["crop"] or config.data.crop or "unknown"
    return {name: value for name, value in found.items() if value}


def _normalisation() -> str:
    """Return in words what `Batch.normalized()` makes of bytes."""
    scales, offsets = torch.tensor(_core.normalize_coefficients(), dtype=torch.float64).view(2, 3)
    deviations = 1 / (255 * scales)
    means = -offsets * deviations
    mean, deviation = (
        ",".join(f"{value:.3f}" for value in values.tolist()) for values in (means, deviations)
    )
    return f"(value / 255 - mean) / deviation with mean {mean} and deviation {deviation}"
