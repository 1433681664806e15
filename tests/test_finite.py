"""What is not finite is found on the device, and the network's buffers come back."""

import math

import pytest
import torch
from torch import nn

from hmtl.optim.finite import KeptBuffers, finite


def network() -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1, bias=False))
    for param in layers.parameters():
        param.grad = torch.ones_like(param)
    return layers


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_element_that_is_not_finite_is_found(value: float) -> None:
    layers = network()
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    loss = torch.tensor(2.0)
    assert finite([loss], optimizer)
    assert not finite([loss, torch.tensor(value)], optimizer)
    for param in layers.parameters():
        assert param.grad is not None
        param.grad.view(-1)[-1] = value
        assert not finite([loss], optimizer)
        param.grad.view(-1)[-1] = 1.0
    assert finite([loss], optimizer)


def test_parameters_without_gradients_are_no_matter() -> None:
    layers = network()
    layers.zero_grad()
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1)
    assert finite([torch.tensor(1.0)], optimizer)
    assert not finite([torch.tensor(math.nan)], optimizer)


def test_running_statistics_come_back_to_the_bit() -> None:
    layers = network()
    layers(torch.randn(8, 3))
    before = {name: buffer.clone() for name, buffer in layers.named_buffers()}
    kept = KeptBuffers(layers)
    kept.keep()
    layers(torch.full((8, 3), math.nan))
    assert layers[1].running_mean.isnan().all()
    kept.restore(unless=torch.tensor(False))
    assert all(torch.equal(buffer, before[name]) for name, buffer in layers.named_buffers())


def test_statistics_of_a_good_update_stay() -> None:
    layers, twin = network(), network()
    twin.load_state_dict(layers.state_dict())
    kept = KeptBuffers(layers)
    images = torch.randn(8, 3)
    for _ in range(2):
        kept.keep()
        layers(images)
        kept.restore(unless=torch.tensor(True))
        twin(images)
    for name, buffer in twin.named_buffers():
        assert torch.equal(buffer, dict(layers.named_buffers())[name])
