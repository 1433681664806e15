"""Pictures of runs: training curves, sheets of network inputs, pose axes on faces."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from hmtl.pose import to_matrix

Pixels = npt.NDArray[np.uint8]

# Colours of the head's axes: right-left, down, facing. HopeNet's drawings have the same.
AXIS_COLORS = ("#d62728", "#2ca02c", "#1f77b4")

# One per run, told apart by people who do not see red and green as different.
_RUN_COLORS = ("#0b6e99", "#d9730d", "#6940a5", "#4d6461")

_TICK_DEG = 30


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def training_curves(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw the pose loss by step and the mean MAE by step of runs, given their log entries."""
    figure = Figure(figsize=(9.0, 3.2))
    loss_axes, error_axes = figure.subplots(1, 2)
    for color, (name, entries) in zip(_RUN_COLORS, logs.items(), strict=False):
        # Where all updates of a line were skipped it has no losses.
        steps = [entry for entry in entries if entry["event"] == "step" and "pose" in entry]
        evals = [e for e in entries if e["event"] == "eval" and e["protocol"] == "hopenet"]
        loss_axes.plot(
            [e["step"] for e in steps], [e["pose"] for e in steps], color=color, label=name
        )
        error_axes.plot(
            [e["step"] for e in evals],
            [e["mae"]["mean"] for e in evals],
            color=color,
            marker="o",
            label=name,
        )
    for axes, title in (
        (loss_axes, "pose loss"),
        (error_axes, "mean MAE on the test set, degrees"),
    ):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def pose_histograms(pose: Mapping[str, Mapping[str, Any]], *, title: str) -> Figure:
    """Draw how often each angle occurs, given angles of the `pose` of `dataset_stats`.

    What lies below or above the edges is counted in the headings of the axes.
    """
    figure = Figure(figsize=(3.0 * len(pose), 3.0))
    figure.suptitle(title, x=0.01, horizontalalignment="left", fontsize=11, parse_math=False)
    all_axes = figure.subplots(1, len(pose), squeeze=False)[0]
    for axes, (angle, stats) in zip(all_axes, pose.items(), strict=True):
        histogram = stats["histogram"]
        edges, counts = np.array(histogram["edges"]), np.array(histogram["counts"])
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=_RUN_COLORS[0])
        low, high = _drawn_range(edges, counts)
        axes.set_xlim(low, high)
        # Thirteen ticks of a whole circle would run into each other.
        axes.xaxis.set_major_locator(MultipleLocator(_TICK_DEG * (1 if high - low <= 180 else 2)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_ylim(0, 1.05 * max(counts.max(), 1))
        beyond = histogram["below"] + histogram["above"]
        heading = f"{angle}, {beyond:,} beyond" if beyond else angle
        axes.set_title(heading, loc="left", fontsize=10)
        axes.set_xlabel("degrees")
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("samples")
    figure.tight_layout()
    return figure


def _drawn_range(edges: npt.NDArray[Any], counts: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the multiples of `_TICK_DEG` around the bins that are not empty."""
    filled = np.flatnonzero(counts)
    if len(filled) == 0:
        return -_TICK_DEG, _TICK_DEG
    low, high = edges[filled[0]] // _TICK_DEG, -(-edges[filled[-1] + 1] // _TICK_DEG)
    return int(low) * _TICK_DEG, int(high) * _TICK_DEG


def image_sheet(images: Pixels, *, columns: int, captions: Sequence[str] = ()) -> Figure:
    """Lay out images (N, S, S, 3), each under its caption."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, (1.75 if captions else 1.5) * rows))
    for place, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(image)
        axes.axis("off")
        if captions:
            axes.set_title(captions[place], fontsize=7)
    return figure


def pose_sheet(images: Pixels, poses: Mapping[str, npt.NDArray[Any]], *, columns: int) -> Figure:
    """Draw the axes of poses (N, 3) in degrees on images (N, S, S, 3); later names lie on top.

    The first pose is drawn thin and dashed, the others solid.
    """
    figure = image_sheet(images, columns=columns)
    size = images.shape[1]
    for place, axes in enumerate(figure.axes):
        for order, values in enumerate(poses.values()):
            matrix = to_matrix(values[place])
            for axis, color in enumerate(AXIS_COLORS):
                # The picture shows x to the right and y down; z comes towards the viewer.
                tip = size / 2 + 0.42 * size * matrix[:2, axis]
                axes.plot(
                    [size / 2, tip[0]],
                    [size / 2, tip[1]],
                    color=color,
                    linewidth=1.0 if order == 0 else 2.0,
                    linestyle=":" if order == 0 else "-",
                )
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
    return figure
