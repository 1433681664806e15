"""Regressions from frozen features, against SciPy and plain NumPy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from fixtures_data import write_300w_lp
from hdf5_trees import write_xgaze
from torch import nn

from hmtl.config import Config
from hmtl.data import Dataset, open_dataset
from hmtl.data.people import people_to_hold_out, split_off
from hmtl.models.backbone import build_backbone
from hmtl.probe import choose_ridge, extract_features, fit_ridge, nearest_mean, probe

SETTINGS = {"data.size": 32, "train.batch_size": 4, "data.num_threads": 1}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("faces")
    return open_dataset(write_300w_lp(root, count=40, subjects=8, size=48, seed=4))


def config(**settings: object) -> Config:
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return Config().updated(SETTINGS | dotted)


class Colours(nn.Module):
    """A backbone that sees the mean colours and the middles of what is bright, and drops out."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(5, affine=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = (images.mean(dim=1) > 0.5).float() + 1e-6
        place = torch.linspace(-1, 1, images.shape[-1])
        total = bright.sum(dim=(1, 2))
        middle = [(bright * axis).sum(dim=(1, 2)) / total for axis in (place, place[:, None])]
        colours = (images * bright[:, None]).sum(dim=(2, 3)) / total[:, None]
        features = torch.cat([torch.stack(middle, dim=1), colours], dim=1)
        return self.norm(self.dropout(features * self.scale))


@pytest.mark.parametrize("penalty", [1e-4, 1.0])
def test_the_ridge_solves_the_stacked_least_squares_problem(penalty: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 7)) * 5 + 3, rng.normal(size=(30, 2))
    ridge = fit_ridge(x, y, penalty)
    centred = x - x.mean(axis=0)
    strength = penalty * len(x) * x.var(axis=0).mean()
    rows = np.concatenate([centred, np.sqrt(strength) * np.eye(7)])
    weight = scipy.linalg.lstsq(rows, np.concatenate([y - y.mean(axis=0), np.zeros((7, 2))]))[0]
    np.testing.assert_allclose(ridge.weight, weight, rtol=1e-8)
    asked = rng.normal(size=(4, 7))
    expected = (asked - x.mean(axis=0)) @ weight + y.mean(axis=0)
    np.testing.assert_allclose(ridge(asked), expected, rtol=1e-8)


def test_the_scale_of_the_features_does_not_matter_to_the_ridge() -> None:
    rng = np.random.default_rng(1)
    x, y, asked = rng.normal(size=(20, 5)), rng.normal(size=(20, 3)), rng.normal(size=(6, 5))
    small, large = fit_ridge(x, y, 0.1), fit_ridge(1000 * x, y, 0.1)
    np.testing.assert_allclose(small(asked), large(1000 * asked), rtol=1e-8)


def test_features_without_spread_predict_the_mean() -> None:
    y = np.array([[1.0, 2.0], [3.0, 6.0]])
    ridge = fit_ridge(np.full((2, 4), 7.0), y, 1e-6)
    np.testing.assert_allclose(ridge(np.full((1, 4), 7.0)), [[2.0, 4.0]])


def test_the_penalty_is_the_one_that_errs_least_on_the_rows_to_choose_by() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 40))
    y = x[:, :2] + rng.normal(size=(60, 2))
    choosing = np.arange(60) % 3 == 0
    penalties = (1e-6, 1e-2, 1.0, 100.0)
    errors = {}
    for penalty in penalties:
        ridge = fit_ridge(x[~choosing], y[~choosing], penalty)
        errors[penalty] = np.abs(ridge(x[choosing]) - y[choosing]).mean()
    chosen = choose_ridge(x, y, choosing, penalties)
    assert chosen.penalty == min(errors, key=errors.__getitem__)
    assert chosen.penalty not in (1e-6, 100.0)
    np.testing.assert_allclose(chosen.weight, fit_ridge(x, y, chosen.penalty).weight)


@pytest.mark.parametrize("neighbours", [1, 3, 50])
def test_the_nearest_are_found_by_the_cosine(neighbours: int) -> None:
    rng = np.random.default_rng(3)
    known, asked, angles = (
        rng.normal(size=(12, 4)) + 2,
        rng.normal(size=(5, 4)),
        rng.normal(size=(12, 2)),
    )
    mean = known.mean(axis=0)
    expected = []
    for row in asked - mean:
        cosine = [
            row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in known - mean
        ]
        expected.append(angles[np.argsort(cosine)[::-1][:neighbours]].mean(axis=0))
    np.testing.assert_allclose(nearest_mean(known, angles, asked, neighbours), expected)


def test_many_are_asked_in_parts() -> None:
    rng = np.random.default_rng(5)
    known, asked, angles = (
        rng.normal(size=(9, 3)),
        rng.normal(size=(600, 3)),
        rng.normal(size=(9, 2)),
    )
    whole = nearest_mean(known, angles, asked, 2)
    rows = [nearest_mean(known, angles, row[None], 2)[0] for row in asked]
    np.testing.assert_allclose(whole, rows)


def test_samples_without_labels_are_not_learnt_from(faces: Dataset) -> None:
    pose = faces.pose.copy()
    pose[::3] = np.nan
    partly = replace(faces, pose=pose)
    learnt, held_out = split_off(partly, people_to_hold_out(partly))
    for entry in probe(Colours(), learnt, held_out, config(probe__neighbours=3)):
        assert entry["learnt"] == int(np.isfinite(learnt.pose[:, 0]).sum())
        assert entry["mae"]["roll"] is not None


def test_features_come_in_rows_as_evaluation_renders_them(faces: Dataset) -> None:
    backbone = build_backbone("resnet18").train()
    backbone.layer1.eval()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    found = extract_features(backbone, faces, config())
    part = extract_features(backbone, faces.subset([7, 2]), config())
    np.testing.assert_allclose(part.features, found.features[[7, 2]], rtol=1e-3, atol=1e-4)
    assert np.array_equal(found.rows, np.arange(40))
    assert np.array_equal(found.pose, faces.pose.astype(np.float64))
    assert all(torch.equal(tensor, before[n]) for n, tensor in backbone.state_dict().items())
    assert backbone.training
    assert not backbone.layer1.training
    assert backbone.layer2.training


def test_features_that_show_the_pose_are_told_from_those_that_do_not(faces: Dataset) -> None:
    learnt, held_out = split_off(faces, people_to_hold_out(faces, 0.25))
    seen = probe(Colours().train(), learnt, held_out, config(probe__neighbours=3))
    mean = np.abs(held_out.pose - learnt.pose.mean(axis=0)).mean()
    assert [entry["protocol"] for entry in seen] == ["probe-ridge", "probe-knn"]
    for entry in seen:
        assert entry["n"] == len(held_out)
        assert entry["learnt"] == len(learnt)
        assert entry["mae"]["mean"] < 0.5 * mean
        angles = [entry["mae"][angle] for angle in ("yaw", "pitch", "roll")]
        assert entry["mae"]["mean"] == pytest.approx(np.mean(angles))
    assert seen[1]["neighbours"] == 3


def test_a_data_set_without_roll_is_probed_for_yaw_and_pitch(faces: Dataset) -> None:
    learnt, held_out = split_off(faces.converted("direction"), people_to_hold_out(faces))
    for entry in probe(Colours(), learnt, held_out, config(probe__samples=20)):
        assert entry["learnt"] == 20
        assert entry["mae"]["roll"] is None
        assert entry["mae"]["mean"] == pytest.approx(
            (entry["mae"]["yaw"] + entry["mae"]["pitch"]) / 2
        )


def test_one_person_is_enough_to_choose_the_penalty_by(faces: Dataset) -> None:
    learnt = faces.subset(faces.subject == 0)
    entries = probe(Colours(), learnt, faces.subset(faces.subject == 1), config())
    assert entries[0]["learnt"] == len(learnt)


def test_the_last_tenth_by_name_is_held_out(faces: Dataset) -> None:
    names = [faces.subjects[number] for number in people_to_hold_out(faces)]
    assert names == sorted(faces.subjects)[-1:]
    assert len(people_to_hold_out(faces, 0.5)) == 4
    learnt, held_out = split_off(faces, people_to_hold_out(faces))
    assert len(learnt) + len(held_out) == len(faces)
    assert not set(learnt.subject) & set(held_out.subject)


def test_the_papers_people_are_held_out_where_they_are(tmp_path: Path) -> None:
    write_xgaze(tmp_path, train=(3, 108, 111, 200))
    dataset = open_dataset(tmp_path, split="train")
    chosen = [dataset.subjects[number] for number in people_to_hold_out(dataset)]
    assert chosen == ["subject0108", "subject0111"]


def test_somebody_has_to_be_left_to_learn_from(faces: Dataset) -> None:
    one = faces.subset(faces.subject == 3)
    with pytest.raises(ValueError, match=r"nobody of the 1 people of .* is left to learn from"):
        split_off(one, people_to_hold_out(one))
