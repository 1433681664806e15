"""The whole method on rendered heads: render, train without and with the puzzle, compare."""

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hmtl import checkpoint, plots, protocols
from hmtl.assemble import evaluation_loader, load_network, training_loader
from hmtl.config import Config
from hmtl.data import Dataset, open_dataset
from hmtl.engine import train
from hmtl.errors import DataError, RunError
from hmtl.evaluate import RESULTS, predict, pretext_accuracy
from hmtl.objectives.pose import build_pose_objective
from hmtl.preset import load_preset
from hmtl.report import Section, Table, render_report
from hmtl.run_checkpoints import LAST
from hmtl.runlog import LOG, read_log
from hmtl.synth import render_dataset

REPORT = "report.html"
MEAN_ROW, SL_ROW, HMTL_ROW = "training mean", "SL", "HMTL 3x3 puzzling"
SHOWN = 16  # heads in a picture
ANGLES = ("yaw", "pitch", "roll", "mean")
PROTOCOL = "hopenet"

LEAD = (
    "Heads rendered at known poses, a network trained on some people and tested on others: once"
    " with the pose labels alone (SL), once with a 3×3 puzzle learnt beside them (HMTL). This page"
    " shows that the whole way works. At this size, with half of the HMTL inputs intact, it does"
    " not show that HMTL wins: that takes the paper's data and training."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """A rendered set: other seeds show other people."""

    folder: str
    count: int
    subjects: int
    seed: int


SIZE_PX = 128
TRAIN = Rendering(folder="train", count=2000, subjects=100, seed=1)
TEST = Rendering(folder="test", count=400, subjects=50, seed=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One of the two trainings that are compared."""

    name: str
    run: Path
    config: Config
    pose: npt.NDArray[np.float32]
    """(N, 3) what the trained network says of the test set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the demo's table."""

    name: str
    result: dict[str, Any]
    """An entry of results.json."""
    gain: float
    """Mean MAE of the training mean over this row's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """What the demo found, and where it lies."""

    rows: Sequence[Row]
    puzzle_accuracy: float
    """Share of cells of puzzled test inputs named right."""
    chance: float
    report: Path


def run_demo(
    out: Path,
    *,
    say: Callable[[str], None],
    workers: int = 0,
    scale: float = 1.0,
) -> Demo:
    """Render (once), train both arms, evaluate, and write results and report into `out`.

    `say` is given lines about the progress; `workers` = 0 renders on all cores; `scale` < 1 renders
    and trains on less, for a quick look. Raises DataError where `out` holds something else,
    RunError where a signal stops it.
    """
    data = _rendered(out, TRAIN, scale, say, workers)
    test = _rendered(out, TEST, scale, say, workers)
    sl = _train_arm(SL_ROW, "demo/sl", out / "sl", data, test, say)
    hmtl = _train_arm(HMTL_ROW, "demo/hmtl", out / "hmtl", data, test, say)

    mean = np.broadcast_to(data.pose.mean(axis=0), test.pose.shape)
    results = [
        _entry(MEAN_ROW, mean, test),
        _entry(SL_ROW, sl.pose, test),
        {**_entry(HMTL_ROW, hmtl.pose, test), "puzzle_accuracy": _puzzle_accuracy(hmtl, test)},
    ]
    (out / RESULTS).write_text(json.dumps(results, indent=2) + "\n")
    baseline = results[0]["mae"]["mean"]
    demo = Demo(
        rows=[
            Row(name=result["name"], result=result, gain=baseline / result["mae"]["mean"])
            for result in results
        ],
        puzzle_accuracy=results[-1]["puzzle_accuracy"],
        chance=1.0 / hmtl.config.pretext.grid**2,
        report=out / REPORT,
    )
    demo.report.write_text(_report(demo, sl, hmtl, data, test))
    return demo


def error_table(demo: Demo) -> Table:
    """Return the demo's rows as text."""
    return Table(
        header=["", *ANGLES, "geodesic", "× better than the mean"],
        rows=[
            [
                row.name,
                *(f"{row.result['mae'][angle]:.2f}" for angle in ANGLES),
                f"{row.result['geodesic']:.2f}",
                f"{row.gain:.2f}",
            ]
            for row in demo.rows
        ],
    )


def _rendered(
    out: Path,
    rendering: Rendering,
    scale: float,
    say: Callable[[str], None],
    workers: int,
) -> Dataset:
    root = out / "data" / rendering.folder
    count = max(1, round(rendering.count * scale))
    said = 0

    def on_progress(done: int) -> None:
        nonlocal said
        if 4 * done // count > said:
            said = 4 * done // count
            say(f"rendered {done} of {count} heads for {rendering.folder}")

    render_dataset(
        root,
        layout="300w-lp",
        count=count,
        subjects=max(1, round(rendering.subjects * scale)),
        seed=rendering.seed,
        size=SIZE_PX,
        workers=workers,
        on_progress=on_progress,
    )
    return open_dataset(root)


def _entry(name: str, predicted: Any, test: Dataset) -> dict[str, Any]:
    result = protocols.evaluate(PROTOCOL, predicted, test.pose, dataset=TEST.folder, crop=test.crop)
    return {"name": name, **result}


def _fresh_folder(run: Path) -> Path:
    """Clear what an earlier demo left; refuse to touch anything else."""
    if run.is_dir() and any(run.iterdir()):
        if not (run / LOG).exists():
            raise DataError(f"{run} holds something else than a demo's run: choose another --out")
        shutil.rmtree(run)
    return run


def _train_arm(
    name: str, preset: str, run: Path, data: Dataset, test: Dataset, say: Callable[[str], None]
) -> Arm:
    say(f"training {name}")
    config = load_preset(preset).config
    outcome = train(config, data=data, validation=[test], out=_fresh_folder(run))
    if outcome.stopped_by:
        raise RunError(f"the demo was stopped by {outcome.stopped_by} while it trained {run}")
    network, _ = load_network(run, torch.device("cpu"))
    return Arm(name=name, run=run, config=config, pose=predict(network, test, config).pose)


def _puzzle_accuracy(arm: Arm, test: Dataset) -> float:
    objective = build_pose_objective(arm.config, torch.device("cpu"))
    objective.load_state_dict(checkpoint.load(arm.run / LAST)["model"])
    everything_puzzled = arm.config.updated({"pretext.puzzled_fraction": 1.0})
    return pretext_accuracy(objective.model, test, everything_puzzled)["puzzle"]


def _report(demo: Demo, sl: Arm, hmtl: Arm, data: Dataset, test: Dataset) -> str:
    logs = {arm.name: read_log(arm.run / LOG) for arm in (sl, hmtl)}
    sections = [
        Section(heading="Errors on people never trained on, degrees", table=error_table(demo)),
        Section(
            heading="The puzzle",
            note=f"The puzzle heads name {demo.puzzle_accuracy:.0%} of the tiles of puzzled test"
            f" inputs right; chance is {demo.chance:.0%}.",
        ),
        Section(heading="Training", png=plots.png(plots.training_curves(logs))),
        Section(
            heading="What the HMTL arm is fed",
            png=plots.png(plots.image_sheet(_training_inputs(hmtl.config, data), columns=8)),
            note="Half of the inputs are puzzled (pretext.puzzled_fraction = 0.5).",
        ),
        *(_axes_section(arm, test) for arm in (sl, hmtl)),
    ]
    return render_report("hmtl demo", LEAD, sections)


def _training_inputs(config: Config, data: Dataset) -> plots.Pixels:
    with closing(training_loader(config, data, torch.device("cpu"))) as loader:
        return _to_pixels(next(iter(loader)).images[:SHOWN])


def _axes_section(arm: Arm, test: Dataset) -> Section:
    """Return predicted and true axes on heads from all over the test set."""
    rows = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(np.int64)
    with closing(evaluation_loader(arm.config, test.subset(rows), torch.device("cpu"))) as loader:
        heads = _to_pixels(next(iter(loader)).images)
    poses = {"label": test.pose[rows], arm.name: arm.pose[rows]}
    return Section(
        heading=f"{arm.name} on test heads",
        png=plots.png(plots.pose_sheet(heads, poses, columns=8)),
        note="Solid: predicted axes; dotted: true ones. Blue is the facing direction.",
    )


def _to_pixels(images: torch.Tensor) -> plots.Pixels:
    pixels: plots.Pixels = images.permute(0, 2, 3, 1).numpy()
    return pixels
