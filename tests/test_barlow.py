"""Barlow Twins' loss and network, against the paper's formula and what must hold of it."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hmtl.models.barlow import BarlowTwinsNet, build_projector
from hmtl.models.multi_task import MultiTaskNet
from hmtl.redundancy import EPS, barlow_twins, lower_bound

WEIGHT = 0.0051


def embeddings(rows: int, features: int, *, seed: int, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Two views of the same samples, alike but for some noise, with their own means."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(rows, features, generator=generator)
    first, second = (
        shared + noise * torch.randn(rows, features, generator=generator) + offset
        for offset in (0.3, -1.0)
    )
    return first, second


def papers_loss(first: npt.ArrayLike, second: npt.ArrayLike, weight: float) -> float:
    """Equations 1 and 2 of the paper, of embeddings that are mean-centred along the batch."""
    a, b = (np.asarray(z, dtype=np.float64) for z in (first, second))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    loss = 0.0
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            norms = math.sqrt((a[:, i] ** 2).sum()) * math.sqrt((b[:, j] ** 2).sum())
            c = (a[:, i] * b[:, j]).sum() / norms
            loss += (1.0 - c) ** 2 if i == j else weight * c**2
    return loss


@pytest.mark.parametrize(("rows", "features"), [(2, 3), (16, 5), (7, 12)])
def test_the_loss_is_the_papers(rows: int, features: int) -> None:
    first, second = embeddings(rows, features, seed=rows)
    ours = barlow_twins(first, second, 0.3).loss
    assert float(ours) == pytest.approx(papers_loss(first, second, 0.3), rel=1e-3, abs=1e-4)


def test_the_gradient_is_that_of_the_formula_in_float64() -> None:
    first, second = embeddings(9, 4, seed=3)
    first.requires_grad_()
    (ours,) = torch.autograd.grad(barlow_twins(first, second, WEIGHT).loss, first)
    exact = first.detach().double().requires_grad_()
    a, b = (
        (z - z.mean(0)) / (z.var(0, unbiased=False) + EPS).sqrt() for z in (exact, second.double())
    )
    c = a.T @ b / len(a)
    weights = torch.full_like(c, WEIGHT).fill_diagonal_(1.0)
    (theirs,) = torch.autograd.grad(((c - torch.eye(4)).square() * weights).sum(), exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-6)


def test_what_is_logged_beside_the_loss_describes_the_correlation() -> None:
    first, second = embeddings(64, 6, seed=1)
    found = barlow_twins(first, second, WEIGHT)
    c = np.corrcoef(first.T.double().numpy(), second.T.double().numpy())[:6, 6:]
    off_diagonal = c[~np.eye(6, dtype=bool)]
    assert float(found.mean_diagonal) == pytest.approx(np.diag(c).mean(), abs=1e-4)
    assert float(found.rms_off_diagonal) == pytest.approx(
        np.sqrt((off_diagonal**2).mean()), abs=1e-4
    )


@given(scale=st.floats(0.1, 100.0), shift=st.floats(-10.0, 10.0), feature=st.integers(0, 4))
def test_scale_and_shift_of_a_feature_do_not_matter(
    scale: float, shift: float, feature: int
) -> None:
    first, second = embeddings(20, 5, seed=2)
    moved = first.clone()
    moved[:, feature] = moved[:, feature] * scale + shift
    before, after = (barlow_twins(z, second, WEIGHT).loss for z in (first, moved))
    assert float(after) == pytest.approx(float(before), rel=2e-3)


def test_views_change_places_without_effect() -> None:
    first, second = embeddings(12, 5, seed=4)
    one, other = barlow_twins(first, second, WEIGHT), barlow_twins(second, first, WEIGHT)
    assert float(one.loss) == pytest.approx(float(other.loss), rel=1e-5)


def test_twins_with_uncorrelated_features_have_no_loss() -> None:
    # The columns of a Hadamard matrix are orthogonal and, but for the first, without a mean.
    hadamard = torch.ones(1, 1)
    for _ in range(4):
        hadamard = torch.cat(
            [torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)]
        )
    twins = hadamard[:, 1:]
    found = barlow_twins(twins, twins, 1.0)
    assert float(found.loss) == pytest.approx(0.0, abs=1e-6)
    assert float(found.mean_diagonal) == pytest.approx(1.0, abs=1e-4)


def test_a_feature_without_spread_gives_a_finite_loss_and_gradient() -> None:
    first, second = embeddings(8, 3, seed=5)
    first[:, 1] = 2.0
    first.requires_grad_()
    loss = barlow_twins(first, second, WEIGHT).loss
    (gradient,) = torch.autograd.grad(loss, first)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@given(
    rows=st.integers(2, 12),
    features=st.integers(1, 24),
    weight=st.floats(0.001, 3.0),
    noise=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**31),
)
def test_no_embeddings_fall_below_the_bound(
    rows: int, features: int, weight: float, noise: float, seed: int
) -> None:
    first, second = embeddings(rows, features, seed=seed, noise=noise)
    bound = lower_bound(rows, features, weight)
    assert float(barlow_twins(first, second, weight).loss) >= bound * (1 - 1e-4) - 1e-4


def test_the_bound_is_reached() -> None:
    rows, features = 3, 8
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    second = first.clone()
    for views in (first, second):
        views.requires_grad_()
    optimizer = torch.optim.Adam([first, second], lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        loss = barlow_twins(first, second, 0.1).loss
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() == pytest.approx(lower_bound(rows, features, 0.1), rel=0.01)


def test_the_bound_of_the_papers_batch() -> None:
    assert lower_bound(64, 2048, WEIGHT) == pytest.approx(283.5, abs=0.1)
    assert lower_bound(2049, 2048, WEIGHT) == 0.0
    assert lower_bound(1, 10, WEIGHT) == 10.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_give_a_loss_in_float32(dtype: torch.dtype) -> None:
    first, second = (z.to(dtype) for z in embeddings(512, 16, seed=6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = barlow_twins(first, second, WEIGHT)
    whole = barlow_twins(first.float(), second.float(), WEIGHT)
    assert all(value.dtype == torch.float32 for value in half)
    assert all(torch.equal(a, b) for a, b in zip(half, whole, strict=True))


def test_embeddings_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"both be \(n, D\), got \(2, 3\) and \(2, 4\)"):
        barlow_twins(torch.zeros(2, 3), torch.zeros(2, 4), WEIGHT)


def test_the_projector_is_the_papers() -> None:
    layers = list(build_projector(512, (2048, 1024, 256)))
    kinds = [type(layer) for layer in layers]
    assert kinds == [
        nn.Linear,
        nn.BatchNorm1d,
        nn.ReLU,
        nn.Linear,
        nn.BatchNorm1d,
        nn.ReLU,
        nn.Linear,
    ]
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear)]
    assert shapes == [(2048, 512), (1024, 2048), (256, 1024)]
    assert all(layer.bias is None for layer in layers if isinstance(layer, nn.Linear))
    with pytest.raises(ValueError, match="projector must have a layer"):
        build_projector(512, ())


def test_the_backbone_starts_as_that_of_the_pose_network() -> None:
    net = BarlowTwinsNet(backbone="resnet18", projector=(32, 32, 16), seed=7)
    pose = MultiTaskNet(
        backbone="resnet18",
        head="hopenet",
        bin_width=3,
        decode="left",
        dropout=0.0,
        pretext="puzzle",
        grid=2,
        branch_point=3,
        pretext_dropout=0.0,
        heads=True,
        seed=7,
    )
    theirs = pose.backbone.state_dict()
    assert all(torch.equal(tensor, theirs[n]) for n, tensor in net.backbone.state_dict().items())
    other = BarlowTwinsNet(backbone="resnet18", projector=(32, 32, 16), seed=8)
    assert not torch.equal(net.projector[0].weight, other.projector[0].weight)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 16)
