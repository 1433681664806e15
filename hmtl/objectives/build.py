"""From a config to what it trains and how that is judged."""

from collections.abc import Callable, Sequence

import torch

from hmtl.config import Config
from hmtl.data import Dataset
from hmtl.evaluate import evaluate
from hmtl.objectives.objective import Objective
from hmtl.objectives.pose import PoseObjective, build_pose_objective
from hmtl.runlog import Entry

Validate = Callable[[], list[Entry]]
"""Returns an entry of `results.json` for each data set and protocol; the first one's mean MAE says
how good the network is."""


def build_objective(config: Config, device: torch.device) -> Objective:
    """Return what `train.objective` names, with random weights, on `device`."""
    return build_pose_objective(config, device)


def build_validation(objective: Objective, datasets: Sequence[Dataset], config: Config) -> Validate:
    """Return what evaluates the objective's network, as it is when called, on data sets."""

    def validate() -> list[Entry]:
        assert isinstance(objective, PoseObjective)
        network = objective.model.pose_network()
        return [entry for dataset in datasets for entry in evaluate(network, dataset, config)]

    return validate
