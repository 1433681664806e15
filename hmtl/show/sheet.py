"""What stands where on a sheet: a row for each sample, a panel for each step of its way."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from hmtl.data import DecodeError
from hmtl.data.batch import Batch
from hmtl.data.preview import Preview, canvas_side, source_image
from hmtl.plots import AXIS_COLORS
from hmtl.show.captions import (
    box_text,
    cutout_lines,
    label_lines,
    params_lines,
    pose_text,
    pose_texts,
)
from hmtl.show.marks import (
    BOX_COLOR,
    FACE_COLOR,
    VIEW_COLORS,
    Mark,
    Outline,
    Pixels,
    axis_arrows,
    tile_marks,
)

# Enlarged by a whole factor to at least so many px, so that there is room for labels.
_LEAST_CELL_PX = 160
# What lies outside a source image.
_OUTSIDE = 160


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """A picture, what is drawn over it and what is written below it."""

    kind: str
    """original, crop, view or input."""
    pixels: Pixels | None
    """(H, W, 3), drawn without interpolation; None where there is no picture."""
    scale: int = 1
    """Every pixel is drawn as a square of this side."""
    marks: tuple[Mark, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SheetRow:
    """One sample."""

    name: str
    lines: tuple[str, ...]
    """What is known of it, and what is wrong with it."""
    is_bad: bool
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sheet:
    """A sheet of samples."""

    title: str
    subtitle: str
    headings: tuple[str, ...]
    """Over the columns of panels."""
    rows: tuple[SheetRow, ...]
    cell: int
    """Side of a column, px."""
    legend: tuple[tuple[str, str], ...]
    """Colours and what they stand for."""


def enlargement(size: int) -> int:
    """Return the whole factor that makes images of side `size` px legible with their labels."""
    return -(-_LEAST_CELL_PX // size)


def column_count(views: int, *, has_puzzle: bool) -> int:
    """Return the number of panels in a row."""
    return 2 + views * (2 if has_puzzle else 1)


def make_sheet(shown: Preview, *, augmentation: str, scale: int = 0) -> Sheet:
    """Lay out a preview, made with an augmentation of this name.

    Pixels of the panels `crop`, `view` and `input` are those of the preview's batches, drawn
    `scale` times as large; 0 takes the `enlargement` of their size.
    """
    factor = scale or enlargement(shown.settings["size"])
    names = shown.dataset.subset(shown.index).name
    return Sheet(
        title=_title(shown, augmentation),
        subtitle=_subtitle(shown, factor),
        headings=_headings(shown),
        rows=tuple(_row(shown, row, name, factor) for row, name in enumerate(names)),
        cell=factor * canvas_side(shown.settings),
        legend=_legend(shown),
    )


def _title(shown: Preview, augmentation: str) -> str:
    settings = shown.settings
    pretext, grid, views = settings["pretext"], settings["grid"], settings["views"]
    parts = [shown.dataset.root.name, f"augmentation {augmentation}"]
    if pretext != "none":
        parts.append(f"{pretext} {grid} × {grid}")
    if views > 1:
        parts.append(f"{views} views")
    return " · ".join(parts)


def _subtitle(shown: Preview, factor: int) -> str:
    settings, dataset = shown.settings, shown.dataset
    size, canvas = settings["size"], canvas_side(settings)
    parts = [
        f"{dataset.layout}{f', split {dataset.split}' if dataset.split else ''}",
        f"crop rule {dataset.crop}, fit {settings['fit']}",
        f"{size} px{f' cut from {canvas}' if canvas != size else ''}"
        f"{f', drawn {factor} times as large' if factor > 1 else ''}",
        f"seed {shown.seed}, epoch {shown.epoch}",
        f"{len(shown.index):,} of {len(dataset):,} samples",
    ]
    return " · ".join(parts)


def _headings(shown: Preview) -> tuple[str, ...]:
    views = len(shown.inputs.views)
    has_puzzle = shown.inputs is not shown.views
    has_cutout = bool((shown.params["cutout"]["x1"] > shown.params["cutout"]["x0"]).any())
    before = "before puzzle/cutout" if has_cutout else "before the puzzle"
    headings = ["original", "plain crop"]
    for view in range(views):
        number = f" {view + 1}" if views > 1 else ""
        headings.append(f"view{number}, {before}" if has_puzzle else f"input{number}")
        if has_puzzle:
            headings.append(f"input{number}")
    return tuple(headings)


def _legend(shown: Preview) -> tuple[tuple[str, str], ...]:
    views = len(shown.views.views)
    entries = [(FACE_COLOR, "face"), (BOX_COLOR, "box")]
    entries += [
        (VIEW_COLORS[view % len(VIEW_COLORS)], f"view {view + 1}" if views > 1 else "view")
        for view in range(views)
    ]
    names = ("x, right-left axis of the head", "y, down", "z, facing")
    known = range(3) if shown.dataset.convention == "euler" else (2,)
    return (*entries, *((AXIS_COLORS[axis], names[axis]) for axis in known))


def _row(shown: Preview, row: int, name: str, factor: int) -> SheetRow:
    dataset, sample = shown.dataset, int(shown.index[row])
    subject = dataset.subjects[dataset.subject[sample]]
    lines = [f"row {sample}", f"subject {subject}", "as labelled:"]
    lines += pose_texts(dataset.pose[sample])
    reason = shown.bad.get(sample)
    panels = [_original(shown, row, factor * shown.settings["size"])]
    if reason is None:
        panels.append(_crop(shown, row, factor))
        for view in range(len(shown.views.views)):
            panels += _view(shown, row, view, factor)
    return SheetRow(
        name=name,
        lines=tuple(lines if reason is None else [*lines, reason]),
        is_bad=reason is not None,
        panels=tuple(panels),
    )


def _pixels(images: Tensor, row: int) -> Pixels:
    pixels: Pixels = images[row].permute(1, 2, 0).numpy()
    return pixels


def _crop(shown: Preview, row: int, factor: int) -> Panel:
    box = shown.dataset.box[shown.index[row]]
    return Panel(
        kind="crop",
        pixels=_pixels(shown.crop.images, row),
        scale=factor,
        marks=_axes(shown, shown.crop, row),
        lines=(box_text("box", box),),
    )


def _axes(shown: Preview, batch: Batch, row: int) -> tuple[Mark, ...]:
    pose = batch.pose[row].numpy()
    return axis_arrows(pose, shown.dataset.convention, batch.images.shape[-1])


def _view(shown: Preview, row: int, view: int, factor: int) -> list[Panel]:
    """Return the panel of a view and, where there is a puzzle, that of the input made of it."""
    size, grid = shown.settings["size"], shown.settings["grid"]
    is_puzzled = bool(shown.inputs.puzzled[row])
    views = shown.canvases if is_puzzled else shown.views
    pose = pose_text(views.pose[row].numpy())
    in_place = None if shown.inputs.permutation is None else range(grid**2)
    cells = tile_marks(canvas_side(shown.settings), grid, in_place) if is_puzzled else ()
    cutout, others = cutout_lines(shown.params[row, view]), params_lines(shown.params[row, view])
    before = Panel(
        kind="view",
        pixels=_pixels(views.views[view], row),
        scale=factor,
        marks=(*cells, *_axes(shown, views, row)),
        lines=(pose, *others, *(cutout if shown.inputs is shown.views else ())),
    )
    if shown.inputs is shown.views:
        return [before]
    permutation = _labels(shown.inputs.permutation, row, view)
    turns = _labels(shown.inputs.turns, row, view)
    marks = tile_marks(
        size,
        grid,
        None if permutation is None else permutation.tolist(),
        None if turns is None else turns.tolist(),
    )
    after = Panel(
        kind="input",
        pixels=_pixels(shown.inputs.views[view], row),
        scale=factor,
        marks=marks if is_puzzled else _axes(shown, shown.inputs, row),
        lines=(
            *(label_lines(grid, permutation, turns) if is_puzzled else ("not puzzled",)),
            *cutout,
        ),
    )
    return [before, after]


def _labels(labels: Tensor | None, row: int, view: int) -> npt.NDArray[Any] | None:
    """Return the labels (T,) of one view."""
    if labels is None:
        return None
    of_row: npt.NDArray[Any] = labels[row].numpy()
    return of_row if of_row.ndim == 1 else of_row[view]


def _original(shown: Preview, row: int, cell: int) -> Panel:
    """Return the source image in a square of side `cell`, with the rectangles in it."""
    dataset, sample = shown.dataset, int(shown.index[row])
    boxes = [dataset.face[sample], dataset.box[sample]]
    colors = [FACE_COLOR, BOX_COLOR]
    for view, drawn in enumerate(shown.params[row]["box"]):
        boxes.append(np.array(drawn.tolist(), dtype=np.float32))
        colors.append(VIEW_COLORS[view % len(VIEW_COLORS)])
    try:
        source = source_image(dataset, sample, exif=shown.settings["exif"])
    except (DecodeError, OSError) as error:
        return Panel(kind="original", pixels=None, lines=(str(error),))
    height, width = source.shape[:2]
    pixels, shift, share = _thumbnail(source, np.stack(boxes), cell)
    marks = []
    for box, color in zip(boxes, colors, strict=True):
        x0, y0, x1, y1 = ((box.reshape(2, 2) - shift) * share).ravel().tolist()
        dashed = color not in (FACE_COLOR, BOX_COLOR)
        marks.append(Outline(box=(x0, y0, x1, y1), color=color, dashed=dashed))
    size = f"{width} × {height} px"
    return Panel(kind="original", pixels=pixels, marks=tuple(marks), lines=(size,))


def _thumbnail(
    source: Pixels, boxes: npt.NDArray[np.float32], cell: int
) -> tuple[Pixels, npt.NDArray[np.float64], float]:
    """Return an image with what its boxes reach of its surroundings, in a square of side `cell`.

    Then the source pixel at its upper left corner (x, y), and the thumbnail's pixels for one of the
    source.
    """
    height, width = source.shape[:2]
    corners = boxes.reshape(-1, 2, 2).astype(np.float64)
    whole = np.array([width, height], dtype=np.float64)
    # A box that is far off would make the image a dot.
    low = np.floor(np.clip(corners[:, 0].min(axis=0), -whole / 2, 0))
    high = np.ceil(np.clip(corners[:, 1].max(axis=0), whole, 1.5 * whole))
    share = float(cell / (high - low).max())
    size = np.maximum(np.rint(whole * share), 1).astype(int)
    filter_ = Image.Resampling.BOX if share < 1 else Image.Resampling.NEAREST
    small = Image.fromarray(source).resize((int(size[0]), int(size[1])), filter_, reducing_gap=3.0)
    sides = np.minimum(np.ceil((high - low) * share), cell).astype(int)
    canvas = Image.new("RGB", (int(sides[0]), int(sides[1])), (_OUTSIDE,) * 3)
    place = np.rint(-low * share).astype(int)
    canvas.paste(small, (int(place[0]), int(place[1])))
    return np.asarray(canvas), low, share
