"""Predictions on a data set, and what the protocols make of them."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hmtl import pose as poses
from hmtl import protocols
from hmtl.assemble import evaluation_loader
from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.distributed import gather_rows, rank, world_size
from hmtl.durable import write_text
from hmtl.errors import DataError
from hmtl.pose import Convention
from hmtl.precision import without_tf32

RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """The poses a network gives to the samples of a dataset, row by row."""

    pose: npt.NDArray[np.float32]
    """(N, 3) degrees; NaN where the sample could not be read."""
    valid: npt.NDArray[np.bool_]
    """(N,) False where the sample could not be read."""


def predict(network: nn.Module, dataset: Dataset, config: Config) -> Predictions:
    """Return the poses of all samples; `network` maps images to (N, 3) degrees.

    Runs in float32, without TF32, on the network's device, and leaves the network in evaluation
    mode. Ranks that train together share the work, and each returns the poses of all samples.
    """
    device = next(network.parameters()).device
    pose = np.full((len(dataset), 3), np.nan, dtype=np.float32)
    valid = np.zeros(len(dataset), dtype=bool)
    network.eval()
    loader = evaluation_loader(config, dataset, device, rank=rank(), world_size=world_size())
    rows, poses_of_rows = [], []
    with closing(loader), torch.inference_mode(), without_tf32():
        for batch in loader:
            rows.append(batch.index[batch.valid].cpu())
            poses_of_rows.append(network(batch.normalized())[batch.valid].cpu())
    index = gather_rows(torch.cat(rows)).numpy()
    pose[index] = gather_rows(torch.cat(poses_of_rows)).numpy()
    valid[index] = True
    return Predictions(pose=pose, valid=valid)


def evaluate(
    network: nn.Module,
    dataset: Dataset,
    config: Config,
    *,
    names: Sequence[str] = protocols.DEFAULT_PROTOCOLS,
) -> list[dict[str, Any]]:
    """Return an entry of `results.json` for each protocol in `names`.

    Where the network has learnt another convention than the dataset's, directions are compared:
    every pose has one.
    """
    if np.isnan(dataset.pose).all():
        raise DataError(f"{dataset.root} has no poses to compare with")
    predictions = predict(network, dataset, config)
    learnt: Convention = config.data.convention or "euler"
    compared: Convention = learnt if learnt == dataset.convention else "direction"
    predicted = poses.convert(predictions.pose, learnt, compared)
    target = poses.convert(dataset.pose, dataset.convention, compared)
    return [
        protocols.evaluate(
            name,
            predicted,
            target,
            dataset=dataset_name(dataset),
            crop=dataset.crop,
            convention=compared,
            split=dataset.split,
            boxes=dataset.boxes,
            valid=predictions.valid,
        )
        for name in names
    ]


def dataset_name(dataset: Dataset) -> str:
    """Return the name of a dataset in results and logs: its folder's."""
    return dataset.root.name


def pretext_accuracy(model: nn.Module, dataset: Dataset, config: Config) -> dict[str, float]:
    """Return the share of cells of puzzled inputs that the pretext heads name right.

    `model` is a MultiTaskNet. Keys are "puzzle" and "rotation", as far as the model has the head.
    """
    device = next(model.parameters()).device
    hits: dict[str, list[Tensor]] = {"puzzle": [], "rotation": []}
    model.eval()
    loader = evaluation_loader(config, dataset, device, puzzled=True)
    with closing(loader), torch.inference_mode(), without_tf32():
        for batch in loader:
            outputs = model(batch.normalized())
            answers = {
                "puzzle": (outputs.puzzle, batch.permutation),
                "rotation": (outputs.turns, batch.turns),
            }
            for task, (logits, labels) in answers.items():
                if logits is not None and labels is not None:
                    hits[task].append((logits.argmax(dim=-1) == labels)[batch.puzzled])
    return {task: float(torch.cat(found).float().mean()) for task, found in hits.items() if found}


def record(run: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Keep entries in a run's `results.json`, in the place of those of the same samples.

    Those are entries of equal protocol, data set, split, crop rule, boxes, subjects, list and
    weights.
    """
    path = run / RESULTS
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    keys = ("protocol", "dataset", "split", "crop", "boxes", "subjects", "list", "weights")
    results = {tuple(entry.get(key) for key in keys): entry for entry in (*known, *entries)}
    text = json.dumps(list(results.values()), indent=2, ensure_ascii=False, allow_nan=False)
    # Names that are not UTF-8 hold surrogates, which JSON writes as \udcNN.
    write_text(path, text.encode("utf-8", "backslashreplace").decode() + "\n")
