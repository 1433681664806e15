import math

import pytest
import torch
from torch import Tensor, nn
from waiting import without_waiting

from hmtl.optim import adabelief
from hmtl.optim.adabelief import AdaBelief
from hmtl.optim.build import build_optimizer
from hmtl.optim.lars import LARS

NAMES = ["adabelief", "adamw", "lars", "sgd"]


def random_params(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator)) for s in ((3, 4), (5,), ())]


def set_gradients(params: list[nn.Parameter], step: int) -> None:
    """Give gradients of very different sizes that depend on the parameters too."""
    generator = torch.Generator().manual_seed(100 + step)
    for index, param in enumerate(params):
        noise = torch.randn(param.shape, generator=generator)
        param.grad = (param.detach() * 0.5 + noise) * 10.0 ** (2 * index - 2)


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize(("betas", "eps"), [((0.9, 0.999), 1e-14), ((0.8, 0.9), 1e-8)])
def test_adabelief_goes_the_way_of_timms(rectify, weight_decay, betas, eps):
    timm_optim = pytest.importorskip("timm.optim")
    settings = {"lr": 1e-2, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    ours, theirs = random_params(), random_params()
    optimizer = AdaBelief(ours, rectify=rectify, **settings)
    oracle = timm_optim.AdaBelief(theirs, rectify=rectify, **settings)
    for step in range(40):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step()
        oracle.step()
        for own, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)


def test_rectified_steps_begin_as_momentum():
    param = nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = AdaBelief([param], lr=0.1)
    param.grad = torch.tensor([2.0, 0.01])
    optimizer.step()
    torch.testing.assert_close(param.detach(), torch.tensor([1.0 - 0.2, 1.0 - 0.001]))


def optimizer_state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return copies of all moments and step counts."""
    moments = [value for state in optimizer.state.values() for value in state.values()]
    counts = [group["step"] for group in optimizer.param_groups if "step" in group]
    return [value.clone() for value in (*moments, *counts)]


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("name", NAMES)
def test_a_disabled_update_changes_no_bit_whatever_the_gradients(name, value):
    params = random_params()
    optimizer = build_optimizer(name, params, lr=0.1, weight_decay=0.1)
    set_gradients(params, 0)
    optimizer.step()
    before, state = [param.detach().clone() for param in params], optimizer_state(optimizer)
    for param in params:
        param.grad = torch.full_like(param, value)
    optimizer.step(enabled=torch.tensor(False))
    assert all(torch.equal(param, old) for param, old in zip(params, before, strict=True))
    after = optimizer_state(optimizer)
    assert all(torch.equal(new, old) for new, old in zip(after, state, strict=True))
    set_gradients(params, 1)
    optimizer.step(enabled=torch.tensor(True))
    assert not any(torch.equal(param, old) for param, old in zip(params, before, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_disabled_updates_leave_no_trace_in_the_trajectory(name):
    plain, masked = random_params(), random_params()
    first = build_optimizer(name, plain, lr=0.01, weight_decay=0.1)
    second = build_optimizer(name, masked, lr=0.01, weight_decay=0.1)
    for step in range(12):
        set_gradients(plain, step)
        first.step()
        for param in masked:
            param.grad = torch.full_like(param, float("nan"))
        # The first update of all is left out too: no moments are there yet.
        second.step(enabled=torch.tensor(False))
        set_gradients(masked, step)
        second.step(enabled=torch.tensor(True))
    assert all(torch.equal(a, b) for a, b in zip(plain, masked, strict=True))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_one_kernel_for_all_goes_the_way_of_torchs_loops(name):
    plain, fused = random_params(), random_params()
    for params in (plain, fused):
        weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(4))
        params.append(nn.Parameter(weight.to(memory_format=torch.channels_last)))
    settings = {"lr": 0.01, "weight_decay": 0.1, "foreach": False}
    oracle = (
        torch.optim.AdamW(plain, **settings)
        if name == "adamw"
        else torch.optim.SGD(plain, momentum=0.9, **settings)
    )
    optimizer = build_optimizer(name, fused, lr=0.01, weight_decay=0.1)
    for step in range(20):
        set_gradients(plain, step)
        set_gradients(fused, step)
        oracle.step()
        optimizer.step()
    for own, expected in zip(fused, plain, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("momentum", "trust"), [(0.9, 0.001), (0.0, 0.02)])
def test_lars_goes_the_way_of_timms(momentum, trust):
    timm_optim = pytest.importorskip("timm.optim")
    ours, theirs = random_params(), random_params()
    optimizer = LARS(
        ours, lr=0.5, momentum=momentum, weight_decay=0.01, trust=trust, bias_lr_ratio=0.1
    )
    settings = {"momentum": momentum, "trust_coeff": trust}
    oracle = timm_optim.Lars(
        [
            {"params": theirs[:1], "lr": 0.5, "weight_decay": 0.01},
            # Without decay timm adapts no rates.
            {"params": theirs[1:], "lr": 0.05, "weight_decay": 0.0},
        ],
        **settings,
    )
    for step in range(40):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step()
        oracle.step()
        for own, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-5, atol=2e-5)


def test_lars_moves_a_tensor_of_zeros_by_its_gradient():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=0.5, momentum=0.0, weight_decay=0.1)
    weight.grad = torch.full_like(weight, 2.0)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -1.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"trust": 0.0}, "trust must be above 0"),
    ],
)
def test_a_wrong_setting_of_lars_is_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        LARS(random_params(), **settings)


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_goes_on_from_a_loaded_state(name, tmp_path):
    unbroken, broken = random_params(), random_params()
    settings = {"lr": 0.01, "weight_decay": 0.1}
    whole = build_optimizer(name, unbroken, **settings)
    part = build_optimizer(name, broken, **settings)
    for step in range(12):
        if step == 6:
            torch.save(part.state_dict(), tmp_path / "state.pt")
            part = build_optimizer(name, broken, **settings)
            part.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for params, optimizer in ((unbroken, whole), (broken, part)):
            set_gradients(params, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(unbroken, broken, strict=True))


def test_a_tensor_as_rate_is_the_same_as_a_number():
    plain, tensors = random_params(), random_params()
    rate = torch.tensor(1e-2, dtype=torch.float64)
    first, second = AdaBelief(plain, lr=1e-2), AdaBelief(tensors, lr=rate)
    for step in range(8):
        set_gradients(plain, step)
        set_gradients(tensors, step)
        first.step()
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(plain, tensors, strict=True))


def test_adabelief_goes_on_from_a_loaded_state(tmp_path):
    unbroken, broken = random_params(), random_params()
    whole, first = AdaBelief(unbroken), AdaBelief(broken)
    for step in range(20):
        set_gradients(unbroken, step)
        whole.step()
        if step == 9:
            torch.save(first.state_dict(), tmp_path / "state.pt")
            first = AdaBelief(broken, lr=1.0, rectify=False)
            first.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        set_gradients(broken, step)
        first.step()
    assert all(torch.equal(a, b) for a, b in zip(unbroken, broken, strict=True))


def test_parameters_without_gradient_stay():
    params = random_params()
    optimizer = AdaBelief(params, weight_decay=0.1)
    set_gradients(params, 0)
    params[1].grad = None
    before = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[1], before)


def test_adabelief_finds_the_minimum_of_a_parabola():
    param = nn.Parameter(torch.tensor([5.0, -3.0]))
    optimizer = AdaBelief([param], lr=0.1)
    loss = torch.tensor(0.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (param - torch.tensor([1.0, 2.0])).square().sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_closure_may_take_gradients_and_its_loss_is_returned(name):
    param = nn.Parameter(torch.tensor([5.0, -3.0]))
    optimizer = build_optimizer(name, [param], lr=0.1, weight_decay=0.0)

    def closure():
        loss = param.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 34.0
    assert (param.abs() < torch.tensor([5.0, 3.0])).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_scaler_steps_them_as_any_and_leaves_infinite_gradients_out(name):
    ours, scaled = (nn.Parameter(torch.tensor([5.0, -3.0])) for _ in range(2))
    plain = build_optimizer(name, [ours], lr=0.1, weight_decay=0.0)
    optimizer = build_optimizer(name, [scaled], lr=0.1, weight_decay=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    for is_bad in (True, False, True, False):
        # The scaler makes its scale when it first scales something.
        scaler.scale(scaled.detach())
        scaled.grad = torch.full_like(scaled, math.inf if is_bad else 2.0 * scaler.get_scale())
        scaler.step(optimizer)
        scaler.update()
        if not is_bad:
            ours.grad = torch.full_like(ours, 2.0)
            plain.step()
        assert torch.equal(ours, scaled)
    assert scaler.get_scale() == 4.0


@pytest.mark.gpu
def test_adabelief_is_captured_in_a_cuda_graph_and_waits_for_nothing():
    params = [nn.Parameter(param.detach().cuda()) for param in random_params()]
    expected = [nn.Parameter(param.detach().clone()) for param in params]
    optimizer, plain = AdaBelief(params, lr=1e-2), AdaBelief(expected, lr=1e-2)
    enabled = torch.ones((), dtype=torch.bool, device="cuda")
    for param in (*params, *expected):
        param.grad = torch.full_like(param, 0.25)
    # Moments are made in the first step, which a graph cannot hold.
    optimizer.step(enabled=enabled)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step(enabled=enabled)
    for _ in range(9):
        graph.replay()
    enabled.fill_(False)
    graph.replay()
    with without_waiting():
        for _ in range(10):
            plain.step()
    for param, other in zip(params, expected, strict=True):
        torch.testing.assert_close(param, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"betas": (0.9, 1.0)}, r"betas must lie in \(0, 1\)"), ({"eps": 0.0}, "eps must be above 0")],
)
def test_a_wrong_setting_of_adabelief_is_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        AdaBelief(random_params(), **settings)


@pytest.mark.parametrize("name", NAMES)
def test_optimizers_are_built_by_name(name):
    optimizer = build_optimizer(name, random_params(), lr=0.25, weight_decay=0.125)
    group = optimizer.param_groups[0]
    assert type(optimizer).__name__.lower() == name
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)


def test_adabelief_is_built_with_its_own_settings():
    optimizer = build_optimizer(
        "adabelief", random_params(), lr=0.1, weight_decay=0.0, eps=1e-8, rectify=False
    )
    group = optimizer.param_groups[0]
    assert (group["eps"], group["rectify"]) == (1e-8, False)


def test_an_unknown_optimizer_is_an_error():
    with pytest.raises(ValueError, match=r"optimizer must be one of .*'lion'"):
        build_optimizer("lion", random_params(), lr=0.1, weight_decay=0.0)


def test_updating_in_packs_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(elements: int) -> list[Tensor]:
        monkeypatch.setattr(adabelief, "PACK_ELEMENTS", elements)
        generator = torch.Generator().manual_seed(3)
        shapes = [(7, 5, 3, 3), (11,), (), (4, 300)]
        params = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
        params[0] = params[0].detach().to(memory_format=torch.channels_last).requires_grad_()
        optimizer = AdaBelief(params, weight_decay=0.01)
        for _ in range(8):
            for param in params:
                param.grad = torch.randn(param.shape, generator=generator)
            optimizer.step()
        return params

    whole = trained(1 << 40)
    for elements in (1, 40, 1000):
        parts = trained(elements)
        assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
