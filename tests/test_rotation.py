"""The `sixd` head: six numbers, matrices, geodesic loss, poses; against `hmtl.pose` and SciPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_data import write_300w_lp
from runs import quiet
from scipy.spatial.transform import Rotation

from hmtl import engine, pose
from hmtl.assemble import load_network
from hmtl.data import open_dataset
from hmtl.errors import ConfigError
from hmtl.evaluate import evaluate
from hmtl.losses import FixedWeighting, multi_task_loss
from hmtl.models.heads import SixdHead
from hmtl.models.multi_task import Outputs
from hmtl.models.rotation import geodesic, matrix_of_pose, matrix_of_six, pose_of_matrix
from hmtl.preset import load_preset
from hmtl.runlog import read_log
from hmtl.synth import render_dataset


def random_poses(count: int) -> np.ndarray:
    """Return poses (N, 3) in degrees with a yaw that the matrix determines."""
    return np.random.default_rng(0).uniform((-89, -179, -179), (89, 179, 179), (count, 3))


def random_matrices(count: int, seed: int) -> np.ndarray:
    rotations = Rotation.random(count, rng=np.random.default_rng(seed))
    return np.asarray(rotations.as_matrix())


def float32(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def test_matrices_of_poses_are_those_of_the_reference() -> None:
    poses = random_poses(200)
    found = matrix_of_pose(float32(poses))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, pose.to_matrix(poses), atol=1e-6)


def test_poses_come_back_from_their_matrices() -> None:
    poses = random_poses(200)
    np.testing.assert_allclose(pose_of_matrix(float32(pose.to_matrix(poses))), poses, atol=2e-3)


def test_a_head_in_profile_has_no_roll_of_its_own() -> None:
    matrix = pose.to_matrix([[90.0, 20.0, 30.0], [-90.0, 20.0, 30.0]])
    found = pose_of_matrix(float32(matrix))
    np.testing.assert_allclose(found, pose.from_matrix(matrix), atol=2e-2)
    assert found[:, 2].tolist() == [0.0, 0.0]


def test_six_numbers_become_the_rotation_whose_columns_they_point_along() -> None:
    expected = random_matrices(50, seed=1)
    lengths = np.array([[0.1, 7.0]])
    columns = expected[:, :, :2] * lengths
    # The second may lean towards the first.
    columns[:, :, 1] += 0.3 * columns[:, :, 0]
    found = matrix_of_six(float32(columns.transpose(0, 2, 1).reshape(50, 6)))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_any_six_numbers_become_a_rotation() -> None:
    six = torch.randn(50, 6, generator=torch.Generator().manual_seed(2))
    found = matrix_of_six(six)
    identity = torch.eye(3).expand(50, 3, 3)
    torch.testing.assert_close(found.transpose(1, 2) @ found, identity, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(50), atol=1e-5, rtol=0.0)


def test_the_angle_between_rotations_is_scipys() -> None:
    first, second = random_matrices(100, seed=3), random_matrices(100, seed=4)
    relative = Rotation.from_matrix(first).inv() * Rotation.from_matrix(second)
    found = geodesic(float32(first), float32(second))
    np.testing.assert_allclose(found, np.rad2deg(relative.magnitude()), atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.01, 90.0, 179.99, 180.0])
def test_small_and_large_angles_are_exact_and_have_finite_gradients(angle: float) -> None:
    axis = np.array([2.0, -1.0, 2.0]) / 3.0
    turn = Rotation.from_rotvec(np.deg2rad(angle) * axis).as_matrix()
    first = torch.eye(3)[None].requires_grad_()
    found = geodesic(first, float32(turn)[None])
    assert float(found.detach()) == pytest.approx(angle, abs=2e-5 + 1e-6 * angle)
    (gradient,) = torch.autograd.grad(found.sum(), first)
    assert gradient.isfinite().all()
    # 1 in radians, spread over the entries of the matrix.
    assert gradient.norm() <= 1.01 * np.rad2deg(1.0)


@pytest.mark.parametrize(
    "six", [[1.0, 0, 0, 0, 1, 0], [-1.0, 0, 0, 0, -1, 0], [0.0] * 6, [1.0] * 6]
)
def test_the_loss_has_finite_gradients_at_0_and_180_degrees_and_where_no_rotation_is(
    six: list[float],
) -> None:
    numbers = torch.tensor([six], requires_grad=True)
    geodesic(matrix_of_six(numbers), torch.eye(3)[None]).sum().backward()
    assert numbers.grad is not None
    assert numbers.grad.isfinite().all()


def test_the_gradient_is_that_of_finite_differences() -> None:
    six = torch.randn(4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    target = torch.from_numpy(random_matrices(4, seed=6))
    assert torch.autograd.gradcheck(
        lambda numbers: geodesic(matrix_of_six(numbers), target), six.requires_grad_()
    )


def test_the_loss_is_the_mean_angle_of_samples_with_a_whole_pose() -> None:
    poses = float32(random_poses(5))
    matrices = float32(random_matrices(5, seed=7)).requires_grad_()
    outputs = Outputs(pose_of_matrix(matrices.detach()), None, None, None, matrices)
    labels = poses.clone()
    labels[3, 2] = torch.nan
    losses = multi_task_loss(
        outputs,
        labels,
        None,
        None,
        torch.zeros(5, dtype=torch.bool),
        weighting=FixedWeighting(1.0),
        alpha=2.0,
        regression="rmse",
        bin_width=3,
    )
    kept = [0, 1, 2, 4]
    expected = pose.geodesic(
        pose.from_matrix(matrices.detach().numpy()[kept]), poses.numpy()[kept]
    ).mean()
    assert float(losses["loss"].detach()) == pytest.approx(expected, rel=1e-4)
    losses["loss"].backward()
    assert matrices.grad is not None
    assert matrices.grad.isfinite().all()
    assert not matrices.grad[3].any()


def test_a_fresh_head_faces_the_viewer() -> None:
    found = SixdHead(8, dropout=0.0)(torch.zeros(2, 8)).pose
    torch.testing.assert_close(found, torch.zeros(2, 3))


def test_rotations_are_not_learnt_from_directions(tmp_path: Path) -> None:
    root = tmp_path / "heads"
    render_dataset(root, layout="eth-xgaze", count=6, subjects=2, seed=3, size=32, workers=1)
    config = load_preset("table2/sl-aug1").config.updated(
        {"model.head": "sixd", "model.backbone": "resnet18", "train.batch_size": 2}
    )
    for convention in ("", "euler"):
        with pytest.raises(ConfigError, match="must not be 'sixd' for samples without a roll"):
            engine.train(
                config.updated({"data.convention": convention}),
                data=open_dataset(root, split="fit"),
                out=tmp_path / f"run{convention}",
                reporter=quiet(),
            )


@pytest.mark.slow
def test_a_run_with_rotations_learns_and_is_evaluated(tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path / "data", count=8, subjects=3, size=48, seed=1)
    config = load_preset("table2/hmtl-puzzle2-aug1").config.updated(
        {
            "model.head": "sixd",
            "model.backbone": "resnet18",
            "model.dropout": 0.0,
            "data.size": 32,
            "data.augmentation": "none",
            "pretext.weight": 0.0,
            "pretext.branch_point": 1,
            "pretext.puzzled_fraction": 0.0,
            "train.batch_size": 8,
            "train.epochs": 30,
            "train.milestones": [29],
            "train.log_steps": 1,
        }
    )
    data, out = open_dataset(root), tmp_path / "run"
    engine.train(config, data=data, out=out, reporter=quiet())
    losses = [entry["pose"] for entry in read_log(out / "log.jsonl") if entry["event"] == "step"]
    assert losses[-1] < 0.5 * losses[0]
    network, learnt = load_network(out, torch.device("cpu"))
    (entry,) = evaluate(network, data, learnt, names=["wrapped"])
    assert 0.0 < entry["geodesic"] <= 180.0
