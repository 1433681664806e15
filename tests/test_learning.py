"""Training learns: the ten real images can be learnt by heart, and come back from saved weights."""

import numpy as np
import pytest
import torch

from hmtl.assemble import load_network
from hmtl.data import open_dataset
from hmtl.engine import train
from hmtl.evaluate import evaluate
from hmtl.preset import load_preset

SMALL = {
    "model.backbone": "resnet18",
    "data.size": 64,
    "data.augmentation": "none",
    "train.batch_size": 10,
    "train.epochs": 8,
    "train.milestones": [],
}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("preset", "limit"), [("table2/sl-aug1", 3.0), ("table2/hmtl-puzzle3-aug1", 20.0)]
)
def test_ten_real_images_are_learnt_by_heart(realdata, tmp_path, preset, limit):
    """The puzzled arm never saw an intact image, so evaluating on intact ones is harder for it."""
    data = open_dataset(realdata / "300W_LP")
    # Ten times in an epoch: what is written after each takes as long as some updates.
    often = data.subset(np.tile(np.arange(10), 10))
    train(load_preset(preset).config.updated(SMALL), data=often, out=tmp_path)
    network, config = load_network(tmp_path, torch.device("cpu"))
    entry = evaluate(network, data, config, names=["hopenet"])[0]
    assert entry["n"] == 10
    assert entry["mae"]["mean"] < limit
