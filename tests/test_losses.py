import math

import numpy as np
import pytest
import torch

from hmtl.losses import build_weighting, combine, loss_sums, multi_task_loss
from hmtl.models.heads import bin_count
from hmtl.models.multi_task import Outputs

N, T = 5, 4


def random_batch(seed: int = 0, bin_width: int = 3, head: str = "hopenet"):
    """Return outputs that ask for gradients, and labels, of puzzle and rotation on a 2×2 grid."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    count = bin_count(bin_width)
    logits = normal(N, 3, count) if head == "hopenet" else None
    if logits is None:
        pose = normal(N, 3)
    else:
        pose = (logits.softmax(-1) * (torch.arange(count) * bin_width - 99.0)).sum(-1)
    labels = {
        "pose": torch.rand(N, 3, generator=generator) * 190 - 95,
        "permutation": torch.stack([torch.randperm(T, generator=generator) for _ in range(N)]),
        "turns": torch.randint(0, 4, (N, T), generator=generator),
        "puzzled": torch.tensor([True, True, False, True, False]),
    }
    return Outputs(pose, logits, normal(N, T, T), normal(N, T, 4)), labels


def losses_of(outputs, labels, *, weight=50.0, alpha=2.0, regression="rmse", bin_width=3, by=None):
    weighting = by or build_weighting("fixed", tasks=["pose"], pretext_weight=weight)
    return multi_task_loss(
        outputs,
        labels["pose"],
        labels["permutation"],
        labels["turns"],
        labels["puzzled"],
        weighting=weighting,
        alpha=alpha,
        regression=regression,
        bin_width=bin_width,
    )


def entropy(logits: np.ndarray, label: int) -> float:
    """Return -log of the softmax at the label."""
    return math.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]


def paper_losses(outputs, labels, *, alpha, regression, bin_width, weight):
    """Formulas 1 and 2 of the paper, sample by sample and cell by cell."""
    result = {}
    for column, angle in enumerate(("yaw", "pitch", "roll")):
        target = labels["pose"][:, column].numpy().astype(float)
        errors = outputs.pose[:, column].detach().numpy().astype(float) - target
        result[angle] = np.mean(errors**2)
        if regression == "rmse":
            result[angle] = math.sqrt(result[angle])
        if outputs.logits is not None:
            logits = outputs.logits[:, column].detach().numpy().astype(float)
            bins = [int((angle + 99) // bin_width) for angle in target]
            classified = np.mean([entropy(logits[n], bins[n]) for n in range(N)])
            result[angle] = classified + alpha * result[angle]
    result["pose"] = result["yaw"] + result["pitch"] + result["roll"]
    for task, logits, key in (
        ("puzzle", outputs.puzzle, "permutation"),
        ("rotation", outputs.turns, "turns"),
    ):
        values = logits.detach().numpy().astype(float)
        answers = labels[key].numpy()
        of_samples = [
            sum(entropy(values[n, cell], answers[n, cell]) for cell in range(T))
            for n in range(N)
            if labels["puzzled"][n]
        ]
        result[task] = sum(of_samples) / len(of_samples)
    result["loss"] = result["pose"] + weight * (result["puzzle"] + result["rotation"])
    return result


@pytest.mark.parametrize("head", ["hopenet", "regression"])
@pytest.mark.parametrize("regression", ["rmse", "mse"])
@pytest.mark.parametrize(("bin_width", "alpha", "weight"), [(3, 2.0, 50.0), (1, 0.5, 1.0)])
def test_losses_are_the_papers_formulas(head, regression, bin_width, alpha, weight):
    outputs, labels = random_batch(bin_width=bin_width, head=head)
    settings = {
        "alpha": alpha,
        "regression": regression,
        "bin_width": bin_width,
        "weight": weight,
    }
    losses = losses_of(outputs, labels, **settings)
    expected = paper_losses(outputs, labels, **settings)
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name].dtype == torch.float32
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name


def test_a_fresh_puzzle_head_loses_the_entropy_of_guessing_in_each_cell():
    outputs, labels = random_batch()
    blank = outputs._replace(puzzle=torch.zeros(N, T, T), turns=torch.zeros(N, T, 4))
    losses = losses_of(blank, labels)
    assert losses["puzzle"].item() == pytest.approx(T * math.log(T), rel=1e-6)
    assert losses["rotation"].item() == pytest.approx(T * math.log(4), rel=1e-6)


def test_samples_that_are_not_puzzled_get_no_pretext_gradient():
    outputs, labels = random_batch()
    losses_of(outputs, labels)["loss"].backward()
    for logits in (outputs.puzzle, outputs.turns):
        has_gradient = logits.grad.abs().sum(dim=(1, 2)) > 0
        assert torch.equal(has_gradient, labels["puzzled"])


def test_without_puzzled_samples_the_pretext_loss_is_0_with_a_gradient():
    outputs, labels = random_batch()
    labels["puzzled"] = torch.zeros(N, dtype=torch.bool)
    losses = losses_of(outputs, labels)
    losses["loss"].backward()
    assert losses["puzzle"].item() == 0.0
    assert losses["loss"].item() == losses["pose"].item()
    assert torch.equal(outputs.puzzle.grad, torch.zeros(N, T, T))


@pytest.mark.parametrize("head", ["hopenet", "regression"])
@pytest.mark.parametrize("regression", ["rmse", "mse"])
def test_a_missing_roll_is_left_out(head, regression):
    outputs, labels = random_batch(head=head)
    complete = losses_of(outputs, labels, regression=regression)
    labels["pose"][:, 2] = float("nan")
    losses = losses_of(outputs, labels, regression=regression)
    losses["loss"].backward()
    assert losses["roll"].item() == 0.0
    assert losses["yaw"].item() == complete["yaw"].item()
    assert losses["pose"].item() == pytest.approx((complete["yaw"] + complete["pitch"]).item())
    leaf = outputs.pose if head == "regression" else outputs.logits
    assert torch.isfinite(leaf.grad).all()
    assert torch.equal(leaf.grad[:, 2], torch.zeros_like(leaf.grad[:, 2]))


def test_an_angle_that_some_samples_lack_is_the_mean_of_the_others():
    outputs, labels = random_batch()
    labels["puzzled"][:] = True
    labels["pose"][3:] = float("nan")
    kept = Outputs(*(tensor[:3] for tensor in outputs[:4]))
    expected = losses_of(kept, {name: tensor[:3] for name, tensor in labels.items()})
    losses = losses_of(outputs, labels)
    for angle in ("yaw", "pitch", "roll"):
        assert losses[angle].item() == pytest.approx(expected[angle].item(), rel=1e-6)


def test_a_perfect_prediction_has_a_gradient_of_0_and_not_nan():
    pose = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    labels = {
        "pose": torch.tensor([[1.0, 2.0, 4.0]]),
        "permutation": None,
        "turns": None,
        "puzzled": torch.tensor([False]),
    }
    losses_of(Outputs(pose, None, None, None), labels)["loss"].backward()
    assert pose.grad.tolist() == [[0.0, 0.0, -1.0]]


def test_a_label_of_exactly_99_counts_for_the_last_bin():
    outputs, labels = random_batch()
    labels["pose"][:] = 99.0
    at_the_end = losses_of(outputs, labels, alpha=0.0)
    labels["pose"][:] = 97.0
    assert losses_of(outputs, labels, alpha=0.0)["yaw"].item() == at_the_end["yaw"].item()


@pytest.mark.parametrize("angle", [-99.5, 99.5])
def test_a_label_outside_the_bins_is_an_error_and_not_the_nearest_bin(angle):
    outputs, labels = random_batch()
    labels["pose"][0, 1] = angle
    with pytest.raises(IndexError, match="out of bounds"):
        losses_of(outputs, labels)


def test_a_head_without_labels_is_an_error():
    outputs, labels = random_batch()
    labels["permutation"] = None
    with pytest.raises(ValueError, match="a head for permutation, but the batch has no"):
        losses_of(outputs, labels)


def test_an_unknown_regression_is_an_error():
    outputs, labels = random_batch()
    with pytest.raises(ValueError, match=r"regression must be one of .*'mae'"):
        losses_of(outputs, labels, regression="mae")


def test_half_precision_logits_are_taken_to_float32_first():
    outputs, labels = random_batch()
    halved = outputs._replace(puzzle=outputs.puzzle.bfloat16(), turns=outputs.turns.bfloat16())
    rounded = outputs._replace(puzzle=halved.puzzle.float(), turns=halved.turns.float())
    assert losses_of(halved, labels)["loss"].item() == losses_of(rounded, labels)["loss"].item()


def test_sums_of_two_halves_give_the_loss_of_the_whole_batch():
    outputs, labels = random_batch()
    names = ("pose", "permutation", "turns", "puzzled")
    halves = [
        loss_sums(
            Outputs(*(tensor[part] for tensor in outputs[:4])),
            *(labels[name][part] for name in names),
            bin_width=3,
        )
        for part in (slice(0, 2), slice(2, N))
    ]
    present = [half[:6] for half in halves]
    joined = type(halves[0])(*(a + b for a, b in zip(*present, strict=True)))
    weighting = build_weighting("fixed", tasks=["pose"], pretext_weight=50.0)
    whole = losses_of(outputs, labels)
    for name, loss in combine(joined, weighting=weighting, alpha=2.0, regression="rmse").items():
        assert loss.item() == pytest.approx(whole[name].item(), rel=1e-6), name


def test_uncertainty_weighting_starts_as_the_plain_sum_and_learns():
    outputs, labels = random_batch()
    tasks = ["pose", "puzzle", "rotation"]
    weighting = build_weighting("uncertainty", tasks=tasks, pretext_weight=50.0)
    losses = losses_of(outputs, labels, by=weighting)
    total = sum(losses[task] for task in tasks)
    assert losses["loss"].item() == pytest.approx(total.item(), rel=1e-6)
    losses["loss"].backward()
    for task in tasks:
        gradient = weighting.log_variance[task].grad.item()
        assert gradient == pytest.approx(0.5 - losses[task].item(), rel=1e-5)


def test_uncertainty_weighting_is_lowest_where_the_variance_is_twice_the_loss():
    weighting = build_weighting("uncertainty", tasks=["pose"], pretext_weight=1.0)
    loss = torch.tensor(3.0)
    totals = []
    for log_variance in (math.log(6.0), math.log(6.0) - 0.1, math.log(6.0) + 0.1):
        weighting.log_variance["pose"].data.fill_(log_variance)
        totals.append(weighting({"pose": loss}).item())
    assert totals[0] == min(totals)
    assert totals[0] == pytest.approx(0.5 + 0.5 * math.log(6.0))


def test_the_geometric_mean_leaves_out_a_task_without_loss():
    weighting = build_weighting("geometric-mean", tasks=["pose"], pretext_weight=1.0)
    pose, puzzle = torch.tensor(8.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    assert weighting({"pose": pose, "puzzle": puzzle}).item() == pytest.approx(4.0)
    zero = torch.tensor(0.0, requires_grad=True)
    total = weighting({"pose": pose, "puzzle": zero})
    total.backward()
    assert total.item() == pytest.approx(8.0)
    assert pose.grad.item() == pytest.approx(1.0)
    assert zero.grad.item() == 0.0


def test_an_unknown_weighting_is_an_error():
    with pytest.raises(ValueError, match=r"weighting must be one of .*'equal'"):
        build_weighting("equal", tasks=["pose"], pretext_weight=1.0)
