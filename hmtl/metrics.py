"""How far predicted poses are from the labels. Poses are (N, 3) yaw, pitch, roll in degrees."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from hmtl import pose
from hmtl.errors import RunError

Difference = Literal["plain", "wrapped", "lenient"]
Summary = dict[str, float | None]

ANGLES = ("yaw", "pitch", "roll")
# Bins of the label's |yaw| in degrees; the lower edge belongs to a bin.
YAW_BINS = {"0-30": (0.0, 30.0), "30-60": (30.0, 60.0), "60-180": (60.0, np.inf)}


def angular_error(
    predicted: npt.ArrayLike, target: npt.ArrayLike, wrap: bool = True
) -> npt.NDArray[np.float64]:
    """Return the absolute difference of angles in degrees, wrapped to [0, 180] or plain.

    Where the target is NaN, so is the error.
    """
    difference = np.asarray(predicted, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    if wrap:
        # Only differences of more than half a turn are touched, so that the others stay exact.
        difference = np.where(np.abs(difference) > 180.0, pose.wrap(difference), difference)
    return np.asarray(np.abs(difference))


def lenient_error(predicted: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the smallest absolute difference in degrees after adding 0, ±180 or ±360.

    6DRepNet's published numbers are counted like this; a prediction that faces backwards has no
    error here.
    """
    difference = np.asarray(predicted, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    shifts = np.array([0.0, 180.0, -180.0, 360.0, -360.0])
    return np.asarray(np.abs(difference[..., np.newaxis] + shifts).min(axis=-1))


def summarize(
    predicted: npt.ArrayLike,
    target: npt.ArrayLike,
    difference: Difference = "wrapped",
    convention: pose.Convention = "euler",
) -> dict[str, object]:
    """Return "mae" (yaw, pitch, roll, mean), "geodesic" and "yaw_bins", in degrees.

    Both are of `convention`; directions have no roll, and the angle between two of them stands as
    "geodesic". Targets may be NaN: such an angle counts neither in its MAE nor in "mean", the mean
    of the angles' MAE, and such a sample not in "geodesic". What nothing is left of is None.
    "yaw_bins" has by bin of the label's |yaw| the count "n", the MAE and the geodesic.
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    target = np.asarray(target, dtype=np.float64)
    if predicted.shape != target.shape or target.ndim != 2 or target.shape[1] != len(ANGLES):
        raise ValueError(
            f"poses must both be (N, 3), got predicted {predicted.shape} and target {target.shape}"
        )
    wrong = ~(np.isfinite(predicted) | np.isnan(target)).all(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise RunError(f"predicted poses must be finite, got {predicted[row]} in row {row}")
    errors = _ERRORS[difference](predicted, target)
    turned = _TURNED[convention](predicted, target)
    yaw = np.abs(pose.wrap(target[:, 0]))
    bins = {}
    for name, (low, high) in YAW_BINS.items():
        inside = (yaw >= low) & (yaw < high)
        bins[name] = {
            "n": int(inside.sum()),
            **_mae(errors[inside]),
            "geodesic": _mean(turned[inside]),
        }
    return {"mae": _mae(errors), "geodesic": _mean(turned), "yaw_bins": bins}


def _plain_error(predicted: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return angular_error(predicted, target, wrap=False)


_TURNED = {"euler": pose.geodesic, "direction": pose.angle_between}
_ERRORS = {"plain": _plain_error, "wrapped": angular_error, "lenient": lenient_error}


def _mae(errors: npt.NDArray[np.float64]) -> Summary:
    """Return the mean of errors (N, 3) by angle, and the mean of those."""
    means = {angle: _mean(errors[:, column]) for column, angle in enumerate(ANGLES)}
    known = [mean for mean in means.values() if mean is not None]
    return {**means, "mean": sum(known) / len(known) if known else None}


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of the numbers that are not NaN; None where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
