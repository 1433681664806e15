"""Several processes train together: what they reduce, and the gradients that come of it."""

from pathlib import Path

import pytest
import torch
from fixtures_data import write_300w_lp
from ranks import run_ranks
from runs import SMALL, configured
from torch import Tensor, nn

from hmtl import distributed
from hmtl.assemble import training_loader
from hmtl.config import Config
from hmtl.data import Batch, open_dataset
from hmtl.data.normalizing import normalize
from hmtl.data.people import people_to_hold_out, split_off
from hmtl.errors import ConfigError
from hmtl.losses import LossSums, combine, loss_sums, over_ranks
from hmtl.objectives.build import build_objective
from hmtl.objectives.pose import PoseObjective, build_pose_objective
from hmtl.preset import load_preset
from hmtl.probe import probe

CPU = torch.device("cpu")
# Two branches beside the pose, so that every sum of the loss is reduced.
TINY = SMALL | {
    "model.dropout": 0.0,
    "train.batch_size": 8,
    "pretext.grid": 2,
    "pretext.branch_point": 1,
    "pretext.dropout": 0.0,
    "pretext.puzzled_fraction": 0.6,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_300w_lp(tmp_path_factory.mktemp("train"), count=8, subjects=3, size=48, seed=1)


def tiny(**changes: object) -> Config:
    return configured("table2/hmtl-puzzle-rotation2-aug1", TINY, changes)


def freeze_normalisation(module: nn.Module) -> None:
    """Let batch normalisation use its running statistics, which no other sample changes."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.eval()


def relative_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the largest, over the tensors, of the norm of the difference over the norm."""
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - expected[name]).norm() / expected[name].norm().clamp(min=1e-12))
        for name in expected
        if expected[name].norm() > 1e-6
    )


def sums_and_gradients(start: list[float]) -> tuple[Tensor, Tensor]:
    own = torch.tensor(start) + distributed.rank()
    own.requires_grad_()
    total = distributed.all_reduce_sum(own)
    total.square().sum().backward()
    assert own.grad is not None
    return total.detach(), own.grad


def test_sums_over_ranks_are_differentiable() -> None:
    values = [torch.tensor([1.0, -2.0]) + rank for rank in range(3)]
    for total, gradient in run_ranks(sums_and_gradients, 3, [1.0, -2.0]):
        assert torch.equal(total, sum(values))
        # Three ranks compute the same loss, each with a gradient of 2·total.
        assert torch.equal(gradient, 3 * 2 * sum(values))


def test_alone_a_sum_is_the_tensor_itself() -> None:
    value = torch.ones(2, requires_grad=True)
    assert distributed.all_reduce_sum(value) is value
    assert distributed.gather_rows(value) is value
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)


def gathered_and_agreed() -> tuple[Tensor, list[bool]]:
    rank = distributed.rank()
    rows = distributed.gather_rows(torch.full((rank, 2), float(rank)))
    return rows, [distributed.agreed(rank == 2), distributed.agreed(False)]


def test_rows_come_in_the_order_of_the_ranks_whatever_their_number() -> None:
    for rows, votes in run_ranks(gathered_and_agreed, 3):
        assert rows.tolist() == [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
        assert votes == [True, False]


def gradients_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def first_batch(config: Config, root: Path) -> Batch:
    """Return this rank's part of the first global batch."""
    with training_loader(config, open_dataset(root), CPU) as loader:
        return next(iter(loader))


def losses_and_gradients(
    config: Config, root: Path, frozen: bool
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Do a forward and a backward pass as training does, on this rank's part of a batch."""
    objective = build_objective(config, CPU).train()
    if frozen:
        freeze_normalisation(objective)
    module = distributed.data_parallel(objective)
    losses = module(first_batch(config, root))
    losses["loss"].backward()
    return {name: float(loss.detach()) for name, loss in losses.items()}, gradients_of(objective)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss__regression": "mse", "model__head": "regression"},
        {"model__head": "sixd"},
        {"loss__weighting": "uncertainty"},
        {"loss__weighting": "geometric-mean"},
    ],
    ids=["hopenet-rmse", "regression-mse", "sixd", "uncertainty", "geometric-mean"],
)
def test_two_ranks_have_the_gradients_of_the_joined_batch(
    root: Path, changes: dict[str, object]
) -> None:
    config = tiny(**changes)
    losses, gradients = losses_and_gradients(config, root, frozen=True)
    for found, found_gradients in run_ranks(losses_and_gradients, 2, config, root, True):
        assert found == pytest.approx(losses, rel=1e-5)
        assert relative_difference(found_gradients, gradients) <= 1e-5


@pytest.mark.parametrize("preset", ["pretrain/barlow", "pretrain/rotation2"])
def test_two_ranks_have_the_gradients_of_the_joined_batch_in_pretraining(
    root: Path, preset: str
) -> None:
    settings = TINY | {"barlow.projector": [24, 16], "pretext.branch_point": 4}
    config = load_preset(preset).config.updated(settings)
    losses, gradients = losses_and_gradients(config, root, frozen=True)
    assert losses["loss"] > losses.get("lower_bound", 0.0)
    for found, found_gradients in run_ranks(losses_and_gradients, 2, config, root, True):
        assert found == pytest.approx(losses, rel=1e-5)
        assert relative_difference(found_gradients, gradients) <= 1e-5


def halves_under_one_denominator(config: Config, batch: Batch) -> dict[str, Tensor]:
    """Return the gradients where each half goes through the network alone, and one loss is made."""
    objective = build_pose_objective(config, CPU).train()
    sums = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        outputs = objective.model(normalize(batch.images[half]))
        assert batch.permutation is not None
        assert batch.turns is not None
        labels = batch.pose[half], batch.permutation[half], batch.turns[half], batch.puzzled[half]
        sums.append(loss_sums(outputs, *labels, bin_width=config.model.bin_width))
    present = [[value for value in part if value is not None] for part in sums]
    total = LossSums(*(first + second for first, second in zip(*present, strict=True)))
    combine(
        total,
        weighting=objective.weighting,
        alpha=config.loss.alpha,
        regression=config.loss.regression,
    )["loss"].backward()
    return gradients_of(objective)


def test_with_local_normalisation_two_ranks_have_the_gradients_of_the_halves(root: Path) -> None:
    config = tiny()
    expected = halves_under_one_denominator(config, first_batch(config, root))
    joined = losses_and_gradients(config, root, frozen=False)[1]
    # The normalisation of the joined batch makes a difference that the test can see.
    assert relative_difference(joined, expected) > 1e-3
    for _, gradients in run_ranks(losses_and_gradients, 2, config, root, False):
        assert relative_difference(gradients, expected) <= 1e-5


def probed(root: Path) -> list[dict[str, object]]:
    config = load_preset("pretrain/barlow").config.updated(TINY | {"probe.neighbours": 2})
    faces = open_dataset(root)
    learnt, held_out = split_off(faces, people_to_hold_out(faces))
    return probe(build_objective(config, CPU).kept(), learnt, held_out, config)


def test_ranks_share_the_probe_and_agree_on_it(root: Path) -> None:
    alone = probed(root)
    first, second, third = run_ranks(probed, 3, root)
    assert first == second == third
    for found, expected in zip(first, alone, strict=True):
        assert found["n"] == expected["n"]
        assert found["mae"]["mean"] == pytest.approx(expected["mae"]["mean"], rel=1e-3)


def test_normalisation_is_not_synchronised_on_the_cpu() -> None:
    with pytest.raises(ConfigError, match=r"'train\.sync_batchnorm' must be false on the CPU"):
        build_objective(tiny(train__sync_batchnorm=True), CPU)


class InDoublePrecision(nn.Module):
    """A pose objective whose network computes in float64: the rounding of float32 grows in it."""

    def __init__(self, objective: PoseObjective, config: Config) -> None:
        super().__init__()
        self.objective, self.config = objective.double(), config

    def forward(self, batch: Batch) -> Tensor:
        outputs = self.objective.model(batch.normalized().double())
        labels = batch.pose, batch.permutation, batch.turns, batch.puzzled
        sums = loss_sums(outputs, *labels, bin_width=self.config.model.bin_width)
        weighting = self.objective.weighting
        return combine(over_ranks(sums), weighting=weighting, alpha=2.0, regression="rmse")["loss"]


def double_gradients(config: Config, root: Path, device: str) -> dict[str, Tensor]:
    objective = build_objective(config, torch.device(device)).train()
    assert isinstance(objective, PoseObjective)
    module = distributed.data_parallel(InDoublePrecision(objective, config))
    module(first_batch(config, root).to(device)).backward()
    return {name: gradient.cpu() for name, gradient in gradients_of(objective).items()}


@pytest.mark.gpu
def test_with_synchronised_normalisation_two_ranks_have_the_gradients_of_the_joined_batch(
    root: Path,
) -> None:
    config = tiny(train__sync_batchnorm=True, train__amp="off")
    local = config.updated({"train.sync_batchnorm": False})
    joined = run_ranks(double_gradients, 1, config, root, "cuda")[0]
    # gloo, unlike NCCL, lets two ranks share a GPU.
    for gradients in run_ranks(double_gradients, 2, config, root, "cuda"):
        assert relative_difference(gradients, joined) <= 1e-5
    for gradients in run_ranks(double_gradients, 2, local, root, "cuda"):
        assert relative_difference(gradients, joined) > 1e-3
