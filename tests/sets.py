"""Rendered data sets in the four published layouts, side by side, for whole tables."""

from pathlib import Path

from hmtl.synth import render_dataset

# Name of the folder, layout, images, people. Of ten people of ETH-XGaze two are for tests, one is
# for validation.
SETS = (
    ("300W_LP", "300w-lp", 24, 6),
    ("AFLW", "aflw2000", 12, 3),
    ("kinect", "biwi", 12, 3),
    ("gaze", "eth-xgaze", 90, 10),
)


def render_sets(folder: Path) -> Path:
    for seed, (name, layout, count, subjects) in enumerate(SETS):
        root = folder / name
        render_dataset(
            root, layout=layout, count=count, subjects=subjects, seed=seed, size=48, workers=1
        )
    return folder
