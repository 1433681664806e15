"""From a config to what it trains and how that is judged."""

import os
import shutil
from collections.abc import Callable, Sequence

import torch

from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.distributed import synchronise_normalisation
from hmtl.errors import ConfigError
from hmtl.evaluate import evaluate
from hmtl.objectives.barlow import build_barlow_objective
from hmtl.objectives.objective import Objective
from hmtl.objectives.pose import build_pose_objective
from hmtl.objectives.pretext import build_pretext_objective
from hmtl.probe import probe
from hmtl.runlog import Entry

Validate = Callable[[], list[Entry]]
"""Returns an entry of `results.json` for each data set and protocol; the first one's mean MAE says
how good the network is."""

_BUILDERS: dict[str, Callable[[Config, torch.device], Objective]] = {
    "pose": build_pose_objective,
    "pretext": build_pretext_objective,
    "barlow": build_barlow_objective,
}


def build_objective(config: Config, device: torch.device) -> Objective:
    """Return what `train.objective` names, with random weights, on `device`.

    Raises ConfigError where it cannot be compiled, or normalise by all ranks, as `train` wants it.
    """
    objective = _BUILDERS[config.train.objective](config, device)
    if config.train.sync_batchnorm:
        _refuse_synchronisation(device)
        synchronise_normalisation(objective)
    if config.train.compile:
        _refuse_without_compiler(device)
        # In place: the names of the weights stay, and what shares the layers evaluates as ever.
        objective.get_submodule("model").compile(dynamic=False)
    return objective


def _refuse_synchronisation(device: torch.device) -> None:
    if device.type == "cpu":
        raise ConfigError(
            "config key 'train.sync_batchnorm' must be false on the CPU: torch synchronises batch"
            " normalisation between GPUs only"
        )


def _refuse_without_compiler(device: torch.device) -> None:
    # torch would say so in a page of traceback, at the first step.
    compilers = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    if device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise ConfigError(
            f"config key 'train.compile' needs a C++ compiler, {' or '.join(compilers)}: not found"
        )


def build_validation(
    objective: Objective, datasets: Sequence[Dataset], config: Config, *, learnt: Dataset
) -> Validate:
    """Return what judges the objective's network, as it is when called, by data sets.

    Poses are evaluated. Of a backbone without a pose head the features are probed, by regressions
    that are given the labels of `learnt`.
    """
    network = objective.kept()

    def judge(dataset: Dataset) -> list[Entry]:
        if config.train.objective == "pose":
            return evaluate(network, dataset, config)
        return probe(network, learnt, dataset, config)

    return lambda: [entry for dataset in datasets for entry in judge(dataset)]
