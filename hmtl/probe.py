"""What frozen features know of the pose: regressions onto it, judged on held-out people.

The network itself learns nothing here. Angles are in degrees, features are those of the backbone's
pooling.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hmtl.assemble import evaluation_loader
from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.data.people import people_to_hold_out
from hmtl.distributed import gather_rows, rank, world_size
from hmtl.evaluate import dataset_name
from hmtl.metrics import ANGLES, summarize
from hmtl.precision import without_tf32

RIDGE, NEIGHBOURS = "probe-ridge", "probe-knn"
# Of the mean variance of the features, so that their scale does not matter.
PENALTIES = tuple(10.0**power for power in range(-6, 2))
# Of the people whose labels are known, those on whom the penalty is chosen.
_CHOOSING_SHARE = 0.2
_PART = 256

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What a backbone says of the samples of a dataset that could be read."""

    features: Floats
    """(N, D)"""
    pose: Floats
    """(N, 3) the labels, degrees."""
    rows: npt.NDArray[np.int64]
    """(N,) of the dataset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ridge:
    """A linear map from features to angles, and the penalty it was found with."""

    weight: Floats
    """(D, A)"""
    mean_features: Floats
    """(D,)"""
    mean_angles: Floats
    """(A,)"""
    penalty: float

    def __call__(self, features: Floats) -> Floats:
        """Return the angles (M, A) of features (M, D)."""
        return (features - self.mean_features) @ self.weight + self.mean_angles


def probe(
    backbone: nn.Module, learnt: Dataset, held_out: Dataset, config: Config
) -> list[dict[str, Any]]:
    """Return an entry for the log of each of the two regressions onto yaw, pitch and roll.

    `learnt` has the people whose labels the regressions are given, `held_out` those whose poses are
    predicted. Of both, `probe.samples` evenly spread ones are taken. The backbone is left as it is,
    also whether it was in training mode.
    """
    samples, neighbours = config.probe.samples, config.probe.neighbours
    labelled = ~np.isnan(learnt.pose[:, :2]).any(axis=1)
    learnt = _spread(learnt.subset(labelled), samples)
    held_out = _spread(held_out, samples).converted(learnt.convention)
    known = extract_features(backbone, learnt, config)
    asked = extract_features(backbone, held_out, config)
    # ETH-XGaze has no roll.
    angles = [column for column in range(len(ANGLES)) if not np.isnan(known.pose[:, column]).any()]
    targets = known.pose[:, angles]
    ridge = choose_ridge(known.features, targets, _rows_to_choose_by(learnt.subset(known.rows)))
    predictions = {
        RIDGE: ridge(asked.features),
        NEIGHBOURS: nearest_mean(known.features, targets, asked.features, neighbours),
    }
    settings: dict[str, dict[str, Any]] = {
        RIDGE: {"penalty": ridge.penalty},
        NEIGHBOURS: {"neighbours": neighbours},
    }
    entries: list[dict[str, Any]] = []
    for protocol, predicted in predictions.items():
        pose = np.full_like(asked.pose, np.nan)
        pose[:, angles] = predicted
        target = np.where(np.isnan(pose), np.nan, asked.pose)
        entries.append(
            {
                "protocol": protocol,
                "dataset": dataset_name(held_out),
                "n": len(pose),
                "learnt": len(targets),
                **settings[protocol],
                "convention": held_out.convention,
                "mae": summarize(pose, target, "wrapped", held_out.convention)["mae"],
            }
        )
    return entries


def extract_features(backbone: nn.Module, dataset: Dataset, config: Config) -> Features:
    """Return the features of all samples that can be read, as evaluation renders them.

    Ranks that train together share the work, and each returns all features.
    """
    device = next(backbone.parameters()).device
    parts, rows = [], []
    with (
        _evaluating(backbone),
        torch.inference_mode(),
        without_tf32(),
        closing(
            evaluation_loader(config, dataset, device, rank=rank(), world_size=world_size())
        ) as loader,
    ):
        for batch in loader:
            rows.append(batch.index[batch.valid].cpu())
            parts.append(backbone(batch.normalized())[batch.valid].cpu())
    found, features = gather_rows(torch.cat(rows)), gather_rows(torch.cat(parts))
    # Of several ranks the rows come rank by rank.
    order = found.argsort()
    taken = found[order].numpy()
    return Features(
        features=features[order].double().numpy(),
        pose=dataset.pose[taken].astype(np.float64),
        rows=taken,
    )


def fit_ridge(features: Floats, angles: Floats, penalty: float) -> Ridge:
    """Return the ridge regression of angles (N, A) from features (N, D), with an intercept.

    It minimises ‖Y - XW‖² + N·penalty·v·‖W‖² of the centred X and Y, v the mean variance of the
    features.
    """
    mean_features, mean_angles = features.mean(axis=0), angles.mean(axis=0)
    centred = features - mean_features
    products = centred.T @ centred  # (D, D)
    # Features that are all constant have no variance to go by.
    scale = np.trace(products) / len(products) or 1.0
    products[np.diag_indices_from(products)] += penalty * scale
    weight = np.linalg.solve(products, centred.T @ (angles - mean_angles))
    return Ridge(
        weight=weight, mean_features=mean_features, mean_angles=mean_angles, penalty=penalty
    )


def choose_ridge(
    features: Floats,
    angles: Floats,
    choosing: npt.NDArray[np.bool_],
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """Return the regression whose penalty, fitted without the rows `choosing` (N,), errs least.

    It is then fitted on all rows.
    """
    others = ~choosing

    def error(penalty: float) -> float:
        ridge = fit_ridge(features[others], angles[others], penalty)
        return float(np.abs(ridge(features[choosing]) - angles[choosing]).mean())

    return fit_ridge(features, angles, min(penalties, key=error))


def nearest_mean(known: Floats, angles: Floats, asked: Floats, neighbours: int) -> Floats:
    """Return for each of `asked` (M, D) the mean angles (M, A) of the most alike of `known` (N, D).

    How alike two are is the cosine between their deviations from the mean of `known`.
    """
    mean = known.mean(axis=0)
    directions = _unit(known - mean)
    count = min(neighbours, len(known))
    means = []
    # In parts: all cosines of 5,000 samples with as many would take 200 MB, and their order too.
    for part in np.array_split(asked, len(asked) // _PART + 1):
        unlike = -_unit(part - mean) @ directions.T  # (M, N)
        nearest = np.argpartition(unlike, count - 1, axis=1)[:, :count]
        means.append(angles[nearest].mean(axis=1))
    return np.concatenate(means)


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0.0, length, 1.0)


def _spread(dataset: Dataset, count: int) -> Dataset:
    """Return up to `count` samples from all over the dataset."""
    if len(dataset) <= count:
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, count).astype(np.int64))


def _rows_to_choose_by(samples: Dataset) -> npt.NDArray[np.bool_]:
    """Return the rows (N,) of some people; where there is one person only, the last rows."""
    if len(np.unique(samples.subject)) > 1:
        return np.isin(samples.subject, people_to_hold_out(samples, _CHOOSING_SHARE))
    return np.arange(len(samples)) >= (1.0 - _CHOOSING_SHARE) * len(samples)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and every part back into the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
