"""The whole method on rendered heads: render, train without and with the puzzle, compare."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hmtl import checkpoint, plots, protocols
from hmtl.assemble import build_model, load_network
from hmtl.config import Config, load_preset
from hmtl.data import Dataset, Loader, open_dataset
from hmtl.engine import train
from hmtl.errors import DataError
from hmtl.evaluate import RESULTS, predict, pretext_accuracy
from hmtl.report import Section, Table, render_report
from hmtl.runlog import LOG, read_log
from hmtl.synth import render_dataset
from hmtl.trainer import LAST

REPORT = "report.html"
MEAN_ROW, SL_ROW, HMTL_ROW = "training mean", "SL", "HMTL 3x3 puzzling"
# Name of the row, folder of the run, preset.
ARMS = ((SL_ROW, "sl", "demo/sl"), (HMTL_ROW, "hmtl", "demo/hmtl"))
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
TRAIN = Rendering(folder="train", count=2400, subjects=120, seed=1)
TEST = Rendering(folder="test", count=400, subjects=50, seed=2)


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
    and trains on less, for a quick look. Raises DataError where `out` holds something else.
    """
    data = _rendered(out, TRAIN, scale, say, workers)
    test = _rendered(out, TEST, scale, say, workers)
    arms = {name: (folder, load_preset(preset).config) for name, folder, preset in ARMS}
    mean = np.broadcast_to(data.pose.mean(axis=0), test.pose.shape)
    results = {MEAN_ROW: _entry(MEAN_ROW, mean, test)}
    predictions = {}
    for name, (folder, config) in arms.items():
        run = _fresh_folder(out / folder)
        say(f"training {name}")
        train(config, data=data, validation=[test], out=run)
        network, _ = load_network(run, torch.device("cpu"))
        predictions[name] = predict(network, test, config).pose
        results[name] = _entry(name, predictions[name], test)

    folder, config = arms[HMTL_ROW]
    accuracy = _puzzle_accuracy(out / folder, config, test)
    results[HMTL_ROW]["puzzle_accuracy"] = accuracy
    (out / RESULTS).write_text(json.dumps(list(results.values()), indent=2) + "\n")
    baseline = results[MEAN_ROW]["mae"]["mean"]
    demo = Demo(
        rows=[
            Row(name=name, result=result, gain=baseline / result["mae"]["mean"])
            for name, result in results.items()
        ],
        puzzle_accuracy=accuracy,
        chance=1.0 / config.pretext.grid**2,
        report=out / REPORT,
    )
    logs = {name: read_log(out / folder / LOG) for name, (folder, _) in arms.items()}
    sections = [
        Section(heading="Errors on people never trained on, degrees", table=error_table(demo)),
        Section(
            heading="The puzzle",
            note=f"The puzzle heads name {accuracy:.0%} of the tiles of puzzled test inputs right;"
            f" chance is {demo.chance:.0%}.",
        ),
        Section(heading="Training", png=plots.png(plots.training_curves(logs))),
        *_pictures(config, data, test, predictions),
    ]
    demo.report.write_text(render_report("hmtl demo", LEAD, sections))
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


def _puzzle_accuracy(run: Path, config: Config, test: Dataset) -> float:
    model = build_model(config)
    model.load_state_dict(checkpoint.load(run / LAST)["model"])
    everything_puzzled = config.updated({"pretext.puzzled_fraction": 1.0})
    return pretext_accuracy(model, test, everything_puzzled)["puzzle"]


def _pictures(
    config: Config, data: Dataset, test: Dataset, predictions: dict[str, Any]
) -> list[Section]:
    """Return the sheets: what the HMTL arm is fed, and what both arms say of test heads."""
    shown = 16
    options: dict[str, Any] = {"batch_size": shown, "size": config.data.size}
    inputs = Loader(
        data,
        augmentation=config.data.augmentation,
        pretext=config.pretext.task,
        grid=config.pretext.grid,
        puzzled_fraction=config.pretext.puzzled_fraction,
        **options,
    )
    fed = next(iter(inputs))
    heads = next(iter(Loader(test, augmentation="none", pretext="none", shuffle=False, **options)))
    sheet = plots.image_sheet(_to_pixels(fed.images), columns=8)
    truth = test.pose[:shown]
    sections = [
        Section(
            heading="What the HMTL arm is fed",
            png=plots.png(sheet),
            note="Half of the inputs are puzzled (pretext.puzzled_fraction = 0.5).",
        )
    ]
    for name, pose in predictions.items():
        axes = plots.pose_sheet(
            _to_pixels(heads.images), {"label": truth, name: pose[:shown]}, columns=8
        )
        sections.append(
            Section(
                heading=f"{name} on test heads",
                png=plots.png(axes),
                note="Solid: predicted axes; dotted: true ones. Blue is the facing direction.",
            )
        )
    return sections


def _to_pixels(images: torch.Tensor) -> plots.Pixels:
    pixels: plots.Pixels = images.permute(0, 2, 3, 1).numpy()
    return pixels
