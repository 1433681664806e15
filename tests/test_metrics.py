import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmtl.errors import RunError
from hmtl.metrics import angular_error, lenient_error, summarize
from hmtl.pose import geodesic

ANGLES = ("yaw", "pitch", "roll")
angles = st.floats(-1000, 1000)


@given(angles, angles)
def test_wrapped_errors_are_the_nearest_of_all_turns(first, second):
    candidates = [abs(first - second + 360.0 * k) for k in range(-7, 8)]
    assert angular_error(first, second) == pytest.approx(min(candidates), abs=1e-9)


@given(angles, angles, st.booleans())
def test_errors_do_not_depend_on_the_order(first, second, wrap):
    forth, back = angular_error(first, second, wrap), angular_error(second, first, wrap)
    assert forth == pytest.approx(back, abs=1e-9)


def test_plain_errors_are_not_wrapped():
    assert angular_error(90.0, -720.0, wrap=False) == 810.0
    assert angular_error(90.0, -720.0, wrap=True) == 90.0


def test_errors_of_less_than_half_a_turn_are_exact():
    assert angular_error(0.1, 0.3) == 0.3 - 0.1


@given(st.floats(-180, 180), st.floats(-180, 180))
def test_lenient_errors_are_the_minimum_that_6drepnet_takes(predicted, target):
    shifted = [predicted, predicted + 360, predicted - 360, predicted + 180, predicted - 180]
    expected = min(abs(target - value) for value in shifted)
    assert lenient_error(predicted, target) == pytest.approx(expected, abs=1e-9)


def random_poses(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.uniform(-85, 85, (count, 3)).astype(np.float32)
    return target + rng.normal(0, 5, (count, 3)).astype(np.float32), target


def test_a_summary_is_the_mean_of_the_samples():
    predicted, target = random_poses()
    summary = summarize(predicted, target)
    errors = np.abs(predicted.astype(float) - target.astype(float))
    for column, angle in enumerate(ANGLES):
        assert summary["mae"][angle] == pytest.approx(errors[:, column].mean())
    assert summary["mae"]["mean"] == pytest.approx(errors.mean())
    expected = np.mean([geodesic(a, b) for a, b in zip(predicted, target, strict=True)])
    assert summary["geodesic"] == pytest.approx(expected)


def test_the_angle_between_directions_is_their_geodesic():
    rng = np.random.default_rng(1)
    target = np.column_stack([rng.uniform(-80, 80, (20, 2)), np.full(20, np.nan)])
    predicted = target + rng.normal(0, 5, (20, 3))
    summary = summarize(predicted, target, convention="direction")

    def axis(direction):
        yaw, pitch = np.deg2rad(direction[:2])
        return np.array([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)])

    dots = [axis(a) @ axis(b) for a, b in zip(predicted, target, strict=True)]
    assert summary["geodesic"] == pytest.approx(np.rad2deg(np.arccos(dots)).mean(), abs=1e-6)
    assert summary["mae"]["roll"] is None
    assert summary["mae"]["yaw"] == pytest.approx(np.abs(predicted - target)[:, 0].mean())


def test_a_prediction_may_lack_only_what_the_target_lacks():
    with pytest.raises(RunError, match="in row 1"):
        summarize([[0, 0, np.nan], [np.nan, 0, np.nan]], [[0, 0, np.nan]] * 2, "plain", "direction")


def test_yaw_bins_part_the_samples_by_the_labels_yaw():
    predicted, target = random_poses()
    bins = summarize(predicted, target)["yaw_bins"]
    assert list(bins) == ["0-30", "30-60", "60-180"]
    assert sum(part["n"] for part in bins.values()) == len(target)
    middle = [n for n in range(len(target)) if 30 <= abs(target[n, 0]) < 60]
    alone = summarize(predicted[middle], target[middle])
    assert bins["30-60"]["n"] == len(middle)
    assert bins["30-60"]["pitch"] == pytest.approx(alone["mae"]["pitch"])
    assert bins["30-60"]["mean"] == pytest.approx(alone["mae"]["mean"])
    assert bins["30-60"]["geodesic"] == pytest.approx(alone["geodesic"])


@pytest.mark.parametrize(
    ("yaw", "name"), [(-29.99, "0-30"), (30.0, "30-60"), (-60.0, "60-180"), (-180.0, "60-180")]
)
def test_the_lower_edge_belongs_to_a_yaw_bin(yaw, name):
    bins = summarize([[0.0, 0.0, 0.0]], [[yaw, 0.0, 0.0]])["yaw_bins"]
    assert [key for key, part in bins.items() if part["n"]] == [name]


def test_an_empty_yaw_bin_has_no_numbers():
    empty = summarize([[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]])["yaw_bins"]["60-180"]
    assert empty == {
        "n": 0,
        "yaw": None,
        "pitch": None,
        "roll": None,
        "mean": None,
        "geodesic": None,
    }


def test_without_roll_there_is_neither_its_error_nor_a_geodesic_one():
    predicted, target = random_poses()
    target[:, 2] = np.nan
    summary = summarize(predicted, target)
    mae = summary["mae"]
    assert mae["roll"] is None
    assert summary["geodesic"] is None
    assert mae["mean"] == pytest.approx((mae["yaw"] + mae["pitch"]) / 2)


def test_samples_without_roll_count_for_the_other_angles_only():
    predicted, target = random_poses(4)
    target[2:, 2] = np.nan
    summary = summarize(predicted, target)
    with_roll = summarize(predicted[:2], target[:2])
    assert summary["mae"]["roll"] == pytest.approx(with_roll["mae"]["roll"])
    assert summary["geodesic"] == pytest.approx(with_roll["geodesic"])
    assert summary["mae"]["yaw"] == pytest.approx(
        np.abs(predicted[:, 0].astype(float) - target[:, 0].astype(float)).mean()
    )


def test_predictions_of_a_diverged_network_are_an_error_and_not_left_out():
    with pytest.raises(RunError, match=r"must be finite, got \[ 0\. nan  0\.\] in row 1"):
        summarize([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0]], np.zeros((2, 3)))


def test_poses_of_another_shape_are_an_error():
    with pytest.raises(ValueError, match=r"must both be \(N, 3\), got predicted \(1, 2\)"):
        summarize([[0.0, 0.0]], [[0.0, 0.0]])
