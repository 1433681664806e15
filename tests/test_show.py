"""`hmtl data show`: its pixels are the loader's, its labels those of the pixels below them."""

import inspect
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pytest
import reference
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from PIL import Image

from hmtl import _core, pose
from hmtl.cli.bench import bench
from hmtl.cli.data_show import show
from hmtl.cli.main import run
from hmtl.data import Augmentation, Dataset, Loader, open_dataset
from hmtl.data.augmentation import PRESETS
from hmtl.data.layouts.registry import LAYOUTS
from hmtl.data.preview import preview
from hmtl.errors import ConfigError
from hmtl.plots import AXIS_COLORS
from hmtl.show.captions import cutout_lines, label_lines, params_lines
from hmtl.show.figure import most_rows, panel_place, sheet_figure, sheet_png
from hmtl.show.marks import Arrow, Outline, tile_marks
from hmtl.show.ranges import field_docs
from hmtl.show.sheet import Sheet, make_sheet
from hmtl.synth import render_dataset

pytestmark = pytest.mark.usefixtures("user_cache")

PRETEXTS = ["none", "puzzle", "rotation", "puzzle-rotation"]
COUNT = 9
HEADER = "path,x0,y0,x1,y1,yaw,pitch,roll"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("show") / "heads"
    render_dataset(out, layout="300w-lp", count=COUNT, subjects=3, seed=4, size=120, workers=1)
    return out


@pytest.fixture(scope="module")
def heads(root: Path) -> Dataset:
    return open_dataset(root)


def in_new_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "hmtl", "data", "show", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def pixels(content: bytes | Path) -> npt.NDArray[np.uint8]:
    source = content if isinstance(content, Path) else io.BytesIO(content)
    return np.asarray(Image.open(source).convert("RGB"))


def cells(
    picture: npt.NDArray[np.uint8], sheet: Sheet, kind: str
) -> list[list[npt.NDArray[np.uint8]]]:
    """Cut the panels of a kind out of the picture of a sheet, a list for each row."""
    found = []
    for number, row in enumerate(sheet.rows):
        found.append([])
        for column, panel in enumerate(row.panels):
            x, y = panel_place(sheet, number, column)
            if panel.kind == kind:
                side = panel.scale * panel.pixels.shape[0]
                part = picture[y : y + side, x : x + side]
                found[-1].append(part[:: panel.scale, :: panel.scale])
    return found


def images(views: Sequence[torch.Tensor], row: int) -> list[npt.NDArray[np.uint8]]:
    return [view[row].permute(1, 2, 0).numpy() for view in views]


@pytest.mark.data
@pytest.mark.parametrize("pretext", PRETEXTS)
def test_the_command_draws_the_bytes_of_the_loaders_first_batch(
    realdata: Path, tmp_path: Path, pretext: str
) -> None:
    place = realdata / "300W_LP"
    out = tmp_path / "sheet.png"
    arguments = ["--pretext", pretext, "--views", "2", "--seed", "5", "--epoch", "2"]
    done = in_new_process(place, *arguments, "--count", 3, "--no-labels", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    dataset = open_dataset(place)
    options = {"batch_size": 3, "seed": 5, "views": 2}
    loader = Loader(dataset, pretext=pretext, **options)
    loader.set_epoch(2)
    batch = next(iter(loader))
    shown = preview(dataset, count=3, seed=5, epoch=2, views=2, pretext=pretext)
    sheet = make_sheet(shown, augmentation="level2")
    assert sheet.title in done.stdout
    drawn = cells(pixels(out), sheet, "view" if pretext == "none" else "input")
    plain = Loader(dataset, 3, augmentation="none", pretext="none").render(batch.index)
    for row in range(3):
        for cell, image in zip(drawn[row], images(batch.views, row), strict=True):
            assert np.array_equal(cell, image)
        (crop,) = cells(pixels(out), sheet, "crop")[row]
        assert np.array_equal(crop, images(plain.views, row)[0])


@pytest.mark.parametrize("scale", [0, 1, 5])
def test_small_images_are_enlarged_without_interpolation(heads: Dataset, scale: int) -> None:
    shown = preview(heads, [7, 2], size=48)
    sheet = make_sheet(shown, augmentation="level2", scale=scale)
    picture = pixels(sheet_png(sheet, labels=False))
    assert sheet.cell == 48 * (scale or 4)
    for row in range(2):
        (cell,) = cells(picture, sheet, "input")[row]
        assert np.array_equal(cell, images(shown.inputs.views, row)[0])
        x, y = panel_place(sheet, row, 3)
        whole = picture[y : y + sheet.cell, x : x + sheet.cell]
        assert np.array_equal(whole, cell.repeat(sheet.cell // 48, 0).repeat(sheet.cell // 48, 1))


def written_labels(
    figure: Figure, place: tuple[int, int], side: int, grid: int
) -> tuple[list[int], list[int]]:
    """Read the permutation and the turns of the panel at `place` from what a figure has written."""
    tiles, turns = list(range(grid**2)), [0] * grid**2
    for text in figure.axes[0].texts:
        column, row = ((text.get_position()[i] - place[i]) / side for i in (0, 1))
        if text.get_bbox_patch() is None or not (0 <= column < grid and 0 <= row < grid):
            continue
        cell = int(row) * grid + int(column)
        number, degrees = re.fullmatch(r"(\d+)?(?: ?↺(\d+)°)?", text.get_text()).groups()
        tiles[cell] = cell if number is None else int(number)
        turns[cell] = int(degrees or 0) // 90
    return tiles, turns


@pytest.mark.parametrize("pretext", PRETEXTS[1:])
@pytest.mark.parametrize(("size", "grid"), [(240, 3), (160, 2), (64, 4)])
def test_written_labels_put_the_pixels_back(
    heads: Dataset, pretext: str, size: int, grid: int
) -> None:
    options = {"pretext": pretext, "grid": grid, "size": size, "views": 2}
    shown = preview(heads, augmentation="level1", **options)
    sheet = make_sheet(shown, augmentation="level1", scale=1 if size > 100 else 8)
    figure = sheet_figure(sheet)
    picture = pixels(sheet_png(sheet, labels=False))
    before, after = cells(picture, sheet, "view"), cells(picture, sheet, "input")
    for row in range(len(sheet.rows)):
        for view in range(2):
            place = panel_place(sheet, row, 3 + 2 * view)
            labels = written_labels(figure, place, sheet.cell // grid, grid)
            untiled = reference.untile(after[row][view], grid, *labels)
            assert np.array_equal(untiled, before[row][view])
            wrong = (np.roll(labels[0], 1).tolist(), labels[1])
            assert not np.array_equal(reference.untile(after[row][view], grid, *wrong), untiled)
            in_place = written_labels(
                figure, panel_place(sheet, row, 2 + 2 * view), sheet.cell // grid, grid
            )
            assert in_place == (list(range(grid**2)), [0] * grid**2)


def test_a_size_that_the_grid_does_not_divide_is_shown_as_it_was_cut(heads: Dataset) -> None:
    options = {"augmentation": "barlow", "pretext": "puzzle-rotation", "views": 2}
    shown = preview(heads, count=COUNT, seed=3, size=224, grid=3, **options)
    sheet = make_sheet(shown, augmentation="barlow")
    picture = pixels(sheet_png(sheet, labels=False))
    before, after = cells(picture, sheet, "view"), cells(picture, sheet, "input")
    scales = shown.params["noise_scale"]
    assert (scales != 0).any()
    for row in range(COUNT):
        for view in range(2):
            permutation, turns = shown.inputs.permutation[row, view], shown.inputs.turns[row, view]
            labels = permutation.tolist(), turns.tolist()
            canvas, known = np.zeros((225, 225, 3), np.uint8), np.zeros((225, 225, 3), np.uint8)
            canvas[:224, :224] = after[row][view]
            known[:224, :224] = 1
            x0, y0, x1, y1 = shown.params["cutout"][row, view]
            known[y0:y1, x0:x1] = 0
            untiled = reference.untile(canvas, 3, *labels)
            is_known = reference.untile(known, 3, *labels) == 1
            assert is_known.mean() > 0.5
            assert before[row][view].shape == (225, 225, 3)
            assert np.array_equal(untiled[is_known], before[row][view][is_known])
    assert "224 px cut from 225" in sheet.subtitle


def test_a_cutout_is_shown_where_it_is_made(heads: Dataset) -> None:
    cut = Augmentation(cutout=1, cutout_area=(0.1, 0.1))
    options = {"size": 64, "grid": 3, "puzzled_fraction": 0.5, "augmentation": cut}
    shown = preview(heads, count=COUNT, **options)
    sheet = make_sheet(shown, augmentation="cut")
    assert sheet.headings[2:] == ("view, before puzzle/cutout", "input")
    assert len(set(shown.inputs.puzzled.tolist())) == 2
    for row, is_puzzled in zip(sheet.rows, shown.inputs.puzzled, strict=True):
        _, _, view, after = row.panels
        assert "cutout" not in " ".join(view.lines)
        assert after.lines[-1].startswith("cutout 20 × 20 at ")
        assert view.pixels.shape[0] == (66 if is_puzzled else 64)
        if not is_puzzled:
            assert (after.pixels != view.pixels).any(axis=-1).sum() in range(300, 401)
    plain = make_sheet(preview(heads, count=1, **options | {"pretext": "none"}), augmentation="cut")
    assert plain.headings[2:] == ("input",)
    assert plain.rows[0].panels[2].lines[-1].startswith("cutout 20 × 20 at ")


@pytest.mark.parametrize("index", [[1.7], [[1]], 1, ["1"], [True]])
def test_rows_that_are_no_whole_numbers_are_refused(heads: Dataset, index: object) -> None:
    with pytest.raises(ConfigError, match="rows must be whole numbers"):
        preview(heads, index, size=32)


def test_an_arrow_points_to_where_the_upper_side_of_a_tile_went() -> None:
    tile = np.zeros((9, 9), dtype=int)
    tile[0, 4] = 1
    for turn in (1, 2, 3):
        row, column = np.argwhere(np.rot90(tile, turn))[0]
        marks = tile_marks(18, 2, None, [0, 0, 0, turn])
        (arrow,) = [mark for mark in marks if isinstance(mark, Arrow)]
        assert arrow.start == pytest.approx(
            (13.5 - (column - 4) * 0.5625, 13.5 - (row - 4) * 0.5625)
        )
        assert arrow.end == pytest.approx((13.5 + (column - 4) * 0.5625, 13.5 + (row - 4) * 0.5625))


def test_samples_that_are_not_puzzled_have_no_tiles(heads: Dataset) -> None:
    shown = preview(heads, count=COUNT, size=48, puzzled_fraction=0.5)
    sheet = make_sheet(shown, augmentation="level2")
    puzzled = [bool(value) for value in shown.inputs.puzzled]
    assert 0 < sum(puzzled) < COUNT
    for row, is_puzzled in zip(sheet.rows, puzzled, strict=True):
        _, _, view, after = row.panels
        assert any(isinstance(mark, Outline) for mark in after.marks) == is_puzzled
        assert any(isinstance(mark, Outline) for mark in view.marks) == is_puzzled
        assert (after.lines[0] == "not puzzled") != is_puzzled


def test_axes_are_those_of_the_pose_that_the_view_shows(heads: Dataset) -> None:
    mirrored = Augmentation(mirror=0.5)
    shown = preview(heads, count=COUNT, augmentation=mirrored, pretext="none", size=200)
    sheet = make_sheet(shown, augmentation="mirrored")
    drawn = [
        {patch.get_facecolor(): patch for patch in patches}
        for patches in arrows(sheet, [2] * COUNT)
    ]
    flags = shown.params["mirror"][:, 0]
    assert 0 < flags.sum() < COUNT
    for row, patches in enumerate(drawn):
        angles = heads.pose[shown.index[row]].astype(float)
        matrix = pose.to_matrix(pose.mirror(angles) if flags[row] else angles)
        assert len(patches) == 3
        for axis, color in enumerate(AXIS_COLORS):
            rgb = tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
            patch = next(p for face, p in patches.items() if np.allclose(face[:3], rgb))
            expected = 84.0 * matrix[:2, axis]
            if isinstance(patch, FancyArrowPatch):
                (x0, y0), (x1, y1) = patch._posA_posB
                assert (x1 - x0, y1 - y0) == pytest.approx(tuple(expected), abs=1e-3)
            else:
                assert np.hypot(*expected) < 14


def arrows(sheet: Sheet, columns: Sequence[int]) -> list[list[FancyArrowPatch | Circle]]:
    """Return the arrows and dots that a figure draws on one panel of each row."""
    axes = sheet_figure(sheet).axes[0]
    found = []
    for row, column in enumerate(columns):
        x, y = panel_place(sheet, row, column)
        inside = []
        for patch in axes.patches:
            if isinstance(patch, FancyArrowPatch):
                start = patch._posA_posB[0]
            elif isinstance(patch, Circle):
                start = patch.center
            else:
                continue
            if 0 <= start[0] - x < sheet.cell and 0 <= start[1] - y < sheet.cell:
                inside.append(patch)
        found.append(inside)
    return found


def test_axes_and_tile_numbers_are_in_the_picture(heads: Dataset) -> None:
    shown = preview(heads, [0, 1, 2], size=224)
    sheet = make_sheet(shown, augmentation="level2")
    bare, labelled = (pixels(sheet_png(sheet, labels=labels)) for labels in (False, True))
    for row in range(3):
        for column, panel in enumerate(sheet.rows[row].panels):
            x, y = panel_place(sheet, row, column)
            part = (slice(y, y + 224), slice(x, x + 224))
            changed = (bare[part] != labelled[part]).any(axis=-1)
            assert changed.any()
            for mark in panel.marks:
                if isinstance(mark, Arrow) and np.hypot(*np.subtract(mark.end, mark.start)) > 40:
                    at = np.rint(0.6 * np.array(mark.end) + 0.4 * np.array(mark.start)).astype(int)
                    color = [int(mark.color[i : i + 2], 16) for i in (1, 3, 5)]
                    around = labelled[part][at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3]
                    assert (np.abs(around.astype(int) - color).max(axis=-1) < 40).any()


def test_directions_have_one_axis(tmp_path: Path) -> None:
    render_dataset(
        tmp_path / "x", layout="eth-xgaze", count=4, subjects=2, seed=1, size=64, workers=1
    )
    dataset = open_dataset(tmp_path / "x")
    sheet = make_sheet(preview(dataset, count=4, pretext="none"), augmentation="level2")
    assert [len(patches) for patches in arrows(sheet, [1] * 4)] == [1] * 4
    assert [name for _, name in sheet.legend if name[:2] in ("x,", "y,", "z,")] == ["z, facing"]
    for row in sheet.rows:
        assert "roll" not in " ".join(row.lines)
        (arrow,) = row.panels[1].marks
        yaw, pitch = (
            float(re.search(rf"{a} (\S+)°", " ".join(row.lines))[1]) for a in ("yaw", "pitch")
        )
        reach = np.subtract(arrow.end, arrow.start)
        # A yaw above 0 is to the left of the image, a pitch above 0 upwards.
        facing = [-np.cos(np.deg2rad(pitch)) * np.sin(np.deg2rad(yaw)), -np.sin(np.deg2rad(pitch))]
        assert reach == pytest.approx(0.42 * 224 * np.array(facing), abs=0.2)


def test_rectangles_lie_where_the_boxes_are(tmp_path: Path) -> None:
    source = np.zeros((60, 100, 3), dtype=np.uint8)
    source[20:40, 30:60] = 255
    Image.fromarray(source).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(
        f"{HEADER}\na.png,30,20,60,40,1,2,3\na.png,-20,20,60,90,0,0,0\n"
    )
    dataset = open_dataset(tmp_path)
    sheet = make_sheet(preview(dataset, [0, 1], size=200), augmentation="level2")
    inside, beyond = (row.panels[0] for row in sheet.rows)
    assert inside.pixels.shape == (120, 200, 3)
    face, box, view = (mark for mark in inside.marks if isinstance(mark, Outline))
    assert face.box == box.box == pytest.approx((60, 40, 120, 80))
    assert view.dashed
    white = np.argwhere((inside.pixels == 255).all(axis=-1))
    assert (white.min(axis=0).tolist(), white.max(axis=0).tolist()) == ([40, 60], [79, 119])
    # 120 × 90 source pixels are shown: the image and what the box reaches of its surroundings.
    share = 200 / 120
    assert beyond.pixels.shape[:2] == (150, 200)
    assert beyond.marks[1].box == pytest.approx((0, 20 * share, 80 * share, 90 * share))
    assert beyond.pixels[10, 10].tolist() == [160] * 3
    assert beyond.pixels[10, 50].tolist() == [0] * 3


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_is_drawn(
    tmp_path: Path, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = tmp_path / "data", tmp_path / "sheet.png"
    if layout in ("csv", "images"):
        place.mkdir()
        Image.new("RGB", (50, 40), "red").save(place / "a.jpg")
        if layout == "csv":
            (place / "labels.csv").write_text(f"{HEADER}\na.jpg,0,0,40,40,1,2,3\n")
    else:
        source = tmp_path / "source" if layout == "packed" else place
        written = "300w-lp" if layout == "packed" else layout
        render_dataset(source, layout=written, count=4, subjects=2, seed=1, size=48, workers=1)
        assert source == place or run(["data", "pack", str(source), str(place)]) == 0
    # Pictures alone are no layout until they are said to be one.
    named = ["--layout", layout] if layout == "images" else []
    assert run(["data", "show", str(place), *named, "--size", "64", "--out", str(out)]) == 0
    assert layout in capsys.readouterr().out
    assert pixels(out).std() > 10


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_drawn_in_two_views(heads: Dataset, name: str) -> None:
    options = {"size": 60, "views": 2, "augmentation": name, "seed": 8}
    sheet = make_sheet(preview(heads, count=4, **options), augmentation=name)
    picture = pixels(sheet_png(sheet, labels=False))
    batch = next(iter(Loader(heads, 4, **options)))
    for row, drawn in enumerate(cells(picture, sheet, "input")):
        assert len(drawn) == 2
        assert all(map(np.array_equal, drawn, images(batch.views, row)))
        told = [panel.lines for panel in sheet.rows[row].panels if panel.kind == "view"]
        assert all(any(line.startswith("crop ") for line in lines) for lines in told)
        if name == "barlow":
            assert all("noise of 12.7 grey levels" in lines for lines in told)


def test_chosen_rows_are_drawn_as_the_epoch_has_them(heads: Dataset) -> None:
    shown = preview(heads, [5, 0, 5], size=64, epoch=3)
    loader = Loader(heads, batch_size=COUNT, size=64)
    loader.set_epoch(3)
    batch = next(iter(loader))
    places = [batch.index.tolist().index(row) for row in (5, 0, 5)]
    assert torch.equal(shown.inputs.images, batch.images[places])
    assert torch.equal(shown.inputs.permutation, batch.permutation[places])
    assert [row.lines[0] for row in make_sheet(shown, augmentation="level2").rows] == [
        "row 5",
        "row 0",
        "row 5",
    ]


def test_render_and_draw_leave_the_pass_where_it_is(heads: Dataset) -> None:
    loader = Loader(heads, batch_size=3, size=32)
    expected = [batch.images for batch in loader]
    loader.set_epoch(0)
    iterator = iter(loader)
    first = next(iterator)
    assert torch.equal(loader.render(first.index).images, first.images)
    assert torch.equal(loader.render(first.index, epoch=1).index, first.index)
    drawn = loader.draw(first.index)
    assert drawn.shape == (3, 1)
    assert drawn["permutation"][:, 0, :9].tolist() == first.permutation.tolist()
    assert torch.equal(next(iterator).images, expected[1])
    with pytest.raises(ConfigError, match=r"number of rows must be in \[1, 3\], got 4"):
        loader.render([0, 1, 2, 3])
    with pytest.raises(ConfigError, match=r"row must be in \[0, 8\], got 9"):
        loader.draw([9])
    with pytest.raises(ConfigError, match=r"rows must be whole numbers \(N,\), got float64 \(1,\)"):
        loader.draw([0.5])
    with pytest.raises(ConfigError, match="epoch must be in"):
        loader.draw([0], epoch=-1)


def test_render_raises_for_a_bad_row_or_marks_it(tmp_path: Path) -> None:
    render_dataset(
        tmp_path / "x", layout="aflw2000", count=3, subjects=1, seed=1, size=48, workers=1
    )
    dataset = open_dataset(tmp_path / "x")
    Path(dataset.paths()[1]).write_bytes(b"no picture")
    with pytest.raises(_core.DecodeError, match=dataset.name[1]):
        Loader(dataset, 3, size=32).render([0, 1])
    loader = Loader(dataset, 3, size=32, on_error="substitute")
    batch = loader.render([0, 1])
    assert (batch.valid.tolist(), batch.index.tolist()) == ([True, False], [0, 1])
    assert [entry["index"] for entry in loader.stats()["bad"]] == [1]


def test_bad_samples_are_named_and_the_others_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = tmp_path / "data", tmp_path / "sheet.png"
    render_dataset(place, layout="aflw2000", count=3, subjects=1, seed=1, size=48, workers=1)
    bad = open_dataset(place).name[1]
    (place / bad).write_bytes(b"no picture")
    assert run(["data", "show", str(place), "--out", str(out), "--size", "64"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert bad in shown.err
    sheet = make_sheet(preview(open_dataset(place), [0, 1, 2], size=64), augmentation="level2")
    assert [row.is_bad for row in sheet.rows] == [False, True, False]
    assert [len(row.panels) for row in sheet.rows] == [4, 1, 4]
    assert pixels(out).shape == pixels(sheet_png(sheet)).shape


def test_an_image_that_is_torn_below_the_crop_is_drawn_without_its_original(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 100, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path)
    (tmp_path / "labels.csv").write_text(f"{HEADER}\na.jpg,20,20,60,60,1,2,3\n")
    os.truncate(path, path.stat().st_size // 2)
    shown = preview(open_dataset(tmp_path), [0], size=64)
    assert shown.bad == {}
    original, crop, *_ = make_sheet(shown, augmentation="level2").rows[0].panels
    assert original.pixels is None
    assert "a.jpg" in original.lines[0]
    assert crop.pixels.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, [], "Missing argument 'DIR'"),
        (1, ["nowhere"], "nowhere"),
        (2, ["ROOT", "--layout", "lp"], "unknown layout 'lp'"),
        (2, ["ROOT", "--crop", "tight"], "unknown crop rule 'tight'"),
        (2, ["ROOT", "--pretext", "jigsaw"], "'jigsaw' is not one of"),
        (2, ["ROOT", "--grid", "1"], "grid must be in [2, 8], got 1"),
        (2, ["ROOT", "--augmentation", "level9"], "unknown augmentation 'level9'"),
        (2, ["ROOT", "--augmentation", "nowhere.toml"], "nowhere.toml"),
        (2, ["--list", "--augmentation", "level9"], "unknown augmentation 'level9'"),
        (2, ["ROOT", "--size", "0"], "size must be in [8, 4096], got 0"),
        (2, ["ROOT", "--views", "0"], "views must be in [1, 64], got 0"),
        (2, ["ROOT", "--views", "64", "--size", "4096"], "a sheet may be 65,535 px wide"),
        (2, ["ROOT", "--index", "9"], "row must be in [0, 8], got 9"),
        (2, ["ROOT", "--index", "-1"], "row must be in [0, 8], got -1"),
        (2, ["ROOT", "--count", "0"], "--count"),
        (2, ["ROOT", "--seed", "-1"], "seed must be in"),
        (2, ["ROOT", "--epoch", "-1"], "epoch must be in"),
        (2, ["ROOT", "--out", "sheet.jpg"], "must end in .png, got sheet.jpg"),
        (1, ["ROOT", "--size", "16", "--pretext", "none", "--out", "no/sheet.png"], "no/sheet.png"),
    ],
)
def test_wrong_arguments_are_one_line(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(root) if word == "ROOT" else word for word in arguments]
    assert run(["data", "show", *words]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("command", [show, bench.commands["loader"]], ids=["show", "bench"])
def test_help_tells_the_defaults_of_the_loader(command: click.Command) -> None:
    defaults = inspect.signature(Loader).parameters
    told = {
        option.name: re.search(r"  \[(.*?)\]$", option.help or "")
        for option in command.params
        if isinstance(option, click.Option)
    }
    told = {name: match[1] for name, match in told.items() if match}
    assert len(told) > 6
    # What None is there depends on the engine.
    known = {name: str(defaults[name].default) for name in told} | {"decode": "planes"}
    assert told == known


def test_a_sheet_has_room_for_so_many(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "sheet.png")
    rows = [word for row in range(COUNT) for word in ("--index", str(row))] * 8
    small = ["--size", "8", "--pretext", "none", "--scale", "1", "--augmentation", "none"]
    assert run(["data", "show", str(root), *rows, *small, "--out", out]) == 0
    shown = capsys.readouterr()
    assert shown.err == "64 of 72 samples drawn: a sheet has no room for more\n"
    assert "64 of 9 samples" in shown.out
    assert run(["data", "show", str(root), "--count", "1000000", *small, "--out", out]) == 0
    assert capsys.readouterr().err == ""
    assert most_rows(4, 4096) == 1
    assert most_rows(4, 224) == 64


def test_the_room_of_a_sheet_is_that_of_the_pixels_that_are_cut_into_tiles(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("hmtl.show.figure._MOST_PIXELS", 2_000_000)
    out = tmp_path / "sheet.png"
    # Pictures of 9 px in a grid of 5 are cut from 10 px, and drawn 18 times as large.
    puzzle = ["--size", "9", "--pretext", "puzzle", "--grid", "5", "--augmentation", "none"]
    assert run(["data", "show", str(root), *puzzle, "--count", "8", "--out", str(out)]) == 0
    room = most_rows(4, 10 * 18)
    assert room < most_rows(4, 9 * 18)
    assert capsys.readouterr().err.startswith(f"{room} of 8 samples drawn")


def test_any_terminal_and_no_display(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "Köpfe $1 \udcff\n"
    place.symlink_to(root, target_is_directory=True)
    out = tmp_path / "bögen.png"
    environment = {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "TkAgg", "DISPLAY": ""}
    for arguments in ([place, "--size", 32, "--count", 2, "--out", out], ["--list"]):
        done = in_new_process(*arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
    assert out.exists()


def test_every_preset_is_listed_as_a_file_that_is_the_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["data", "show", "--list"]) == 0
    tables = tomllib.loads(capsys.readouterr().out)
    assert list(tables) == list(PRESETS)
    for name, preset in PRESETS.items():
        assert Augmentation.from_dict(tables[name]) == preset
        assert run(["data", "show", "--list", "--augmentation", name]) == 0
        text = capsys.readouterr().out
        assert Augmentation.from_dict(tomllib.loads(text)) == preset
        assert list(tomllib.loads(text)) == [field.name for field in fields(Augmentation)]
        assert text.count("# ") == len(fields(Augmentation))


def test_a_listed_preset_draws_the_same_picture_as_its_name(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "level2.toml"
    own.write_text(in_new_process("--list", "--augmentation", "level2").stdout, encoding="utf-8")
    outs = []
    for name in ("level2", own):
        outs.append(tmp_path / f"{len(outs)}.png")
        arguments = ["--augmentation", str(name), "--size", "64", "--no-labels"]
        assert run(["data", "show", str(root), *arguments, "--out", str(outs[-1])]) == 0
    first, second = (pixels(out) for out in outs)
    assert np.array_equal(first[92:], second[92:])


def test_field_docs_are_the_texts_below_the_fields() -> None:
    docs = field_docs(Augmentation)
    assert list(docs) == [field.name for field in fields(Augmentation)]
    assert docs["turn"].startswith("Probability that the whole image is turned by 0 … 3 quarters")
    assert docs["color"] == "Probability of brightness, contrast, saturation and hue together."


def test_every_field_that_was_drawn_is_told(heads: Dataset) -> None:
    changed = Augmentation(
        mirror=1, grey=1, blur=1, down_scale=1, noise=1, noise_deviation=(0.05, 0.05), cutout=1,
        cutout_area=(0.1, 0.1),
    )  # fmt: skip
    (params,) = preview(heads, [0], size=60, augmentation=changed, pretext="none").params[0]
    crop, mirror, *color, blur, down_scale, noise = params_lines(params)
    (cutout,) = cutout_lines(params)
    assert noise == "noise of 12.7 grey levels"
    assert re.fullmatch(r"crop \d+ × \d+ at -?\d+, -?\d+", crop)
    assert (mirror, blur, down_scale) == ("mirror", "blur", "down-scale to 60 px")
    assert color == [f"{name} = 0.30 R +0.59 G +0.11 B +0" for name in "RGB"]
    assert re.fullmatch(r"cutout 19 × 19 at \d+, \d+", cutout)
    (nothing,) = preview(heads, [0], augmentation="none", pretext="none").params[0]
    assert len(params_lines(nothing)) == 1
    assert cutout_lines(nothing) == []


def test_fields_that_are_new_are_told_by_their_names() -> None:
    pair = [("key", "u4", 2), ("place", "f4")]
    dtype = [("later", "u1"), ("much_later", "i4", 2), ("never", "f4"), ("made_up", pair)]
    drawn = np.array([(3, (1, 2), 0.0, ((0, 7), 0.5))], dtype=dtype)[0]
    assert params_lines(drawn) == ["later 3", "much later 1 2", "made up 0 7 0.5"]
    assert params_lines(np.array([(3, 1)], dtype=[("turn", "u1"), ("puzzled", "u1")])[0]) == [
        "turn ↺270°"
    ]


def test_labels_are_told_row_by_row() -> None:
    order = np.arange(9)[::-1]
    assert label_lines(3, order, None) == ["permutation 8 7 6 | 5 4 3 | 2 1 0"]
    assert label_lines(4, None, np.arange(16) % 4) == ["turns", *["0 1 2 3"] * 4]


@pytest.mark.parametrize("options", [{"views": 2}, {"size": 40}, {"pretext": "none", "grid": 8}])
def test_letters_stay_on_the_sheet_and_off_each_other(
    heads: Dataset, options: dict[str, object]
) -> None:
    shown = preview(heads, count=4, augmentation="level2", **options)
    sheet = make_sheet(shown, augmentation="level2")
    figure = sheet_figure(sheet)
    figure.draw_without_rendering()
    boxes = [
        (text.get_window_extent().extents, text)
        for text in figure.axes[0].texts
        if text.get_bbox_patch() is None and text.get_text()
    ]
    width, height = figure.get_size_inches() * figure.dpi
    for number, ((x0, y0, x1, y1), text) in enumerate(boxes):
        assert x0 >= 0, text
        assert y0 >= 0, text
        assert x1 <= width, text
        assert y1 <= height, text
        for (a0, b0, a1, b1), other in boxes[:number]:
            is_apart = x1 <= a0 or a1 <= x0 or y1 <= b0 + 2 or b1 <= y0 + 2
            assert is_apart, (text.get_text(), other.get_text())
