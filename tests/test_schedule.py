import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from hmtl.optim.lars import LARS
from hmtl.optim.schedule import cosine_rate, set_rate, step_rate


def rate_at(step: int, **changes: object) -> float:
    settings = {
        "base": 0.001,
        "steps_per_epoch": 10,
        "milestones": (20, 100),
        "gamma": 0.1,
        "warmup_epochs": 0,
    }
    return step_rate(step=step, **(settings | changes))


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1e-3), (199, 1e-3), (200, 1e-4), (999, 1e-4), (1000, 1e-5), (5000, 1e-5)],
)
def test_the_rate_falls_at_milestones(step, expected):
    assert rate_at(step) == pytest.approx(expected, rel=1e-12)


def test_the_rate_rises_over_the_warmup_from_above_0():
    rates = [rate_at(step, warmup_epochs=2) for step in range(25)]
    assert rates[0] == pytest.approx(0.001 / 20)
    assert rates[9] == pytest.approx(0.001 / 2)
    assert rates[19:] == pytest.approx([0.001] * 6)
    assert all(a < b for a, b in pairwise(rates[:20]))


def test_a_fraction_of_an_epoch_can_be_the_warmup():
    assert rate_at(0, warmup_epochs=0.5) == pytest.approx(0.001 / 5)
    assert rate_at(0, warmup_epochs=0.01) == 0.001


def test_the_rate_is_torchs_multistep_schedule():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5, 5], gamma=0.5)
    for epoch in range(8):
        expected = schedule.get_last_lr()[0]
        ours = rate_at(epoch * 10 + 9, base=0.1, milestones=(2, 5, 5), gamma=0.5)
        assert math.isclose(ours, expected, rel_tol=1e-12)
        optimizer.step()
        schedule.step()


def cosine_at(step: int, **changes: object) -> float:
    settings = {
        "base": 0.2,
        "steps_per_epoch": 10,
        "epochs": 8,
        "warmup_epochs": 0,
        "final": 0.0,
    }
    return cosine_rate(step=step, **(settings | changes))


def test_the_cosine_is_torchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80, eta_min=0.002)
    for step in range(80):
        expected = schedule.get_last_lr()[0]
        assert math.isclose(cosine_at(step, final=0.01), expected, rel_tol=1e-9)
        optimizer.step()
        schedule.step()


def test_the_cosine_begins_at_the_end_of_the_warmup():
    rates = [cosine_at(step, warmup_epochs=2, final=0.001) for step in range(80)]
    assert rates[0] == pytest.approx(0.2 / 20)
    assert rates[19:21] == pytest.approx([0.2, 0.2])
    assert rates[50] == pytest.approx(0.2 * (0.001 + 0.999 / 2))
    assert all(a > b for a, b in pairwise(rates[20:]))
    # A run that goes on beyond its epochs stays at the floor.
    assert cosine_at(80, final=0.001) == cosine_at(95, final=0.001) == pytest.approx(0.0002)


def test_a_warmup_as_long_as_the_run_never_divides_by_0():
    assert [cosine_at(step, warmup_epochs=8) for step in (0, 79, 80)] == pytest.approx(
        [0.2 / 80, 0.2, 0.2]
    )


def test_biases_have_their_part_of_the_rate():
    weight, bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer = LARS([weight, bias], lr=0.2, bias_lr_ratio=0.024)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.0048])
    set_rate(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.0024])
    plain = torch.optim.SGD([weight], lr=1.0)
    set_rate(plain, 0.1)
    assert plain.param_groups[0]["lr"] == 0.1
