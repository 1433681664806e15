"""`hmtl predict` on pictures: poses are those of an evaluation, and what is wrong is named."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import exif, scene
from PIL import Image
from predicting import (
    ANGLES,
    EDGES,
    make_direction_run,
    make_run,
    numbers,
    predicted,
    rows_of,
)

from hmtl import checkpoint, evaluate
from hmtl.assemble import load_network
from hmtl.cli.main import run as hmtl
from hmtl.data import open_dataset
from hmtl.errors import ConfigError
from hmtl.predict.boxes import parse_box, widened
from hmtl.predict.faces import crop_faces, predict_faces

pytestmark = pytest.mark.usefixtures("user_cache")

CPU = torch.device("cpu")
HEADER = "path,x0,y0,x1,y1,yaw,pitch,roll"
# Odd sizes, fractions, a box that leaves its picture on each side, two faces on one picture.
FACES = [
    ("a.jpg", (61, 47), "3.25,2.5,40.75,41"),
    ("a.jpg", (61, 47), "-10,-7.5,25,31"),
    ("e.JPEG", (45, 45), "1e-3,0,44,44"),
    ("b/c.png", (33, 70), "20,11,90.5,60"),
    ("b/d.jpg", (128, 96), "0,0,96,128"),
    ("b/d.jpg", (128, 96), "40,100,90,170"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("predict"))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of pictures with their table."""
    folder = tmp_path / "faces"
    (folder / "b").mkdir(parents=True)
    for seed, (name, (height, width), _) in enumerate(FACES):
        if not (folder / name).exists():
            scene(height, width, seed).save(folder / name)
    lines = [HEADER, *(f"{name},{box},0,0,0" for name, _, box in FACES)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_poses_are_those_of_an_evaluation_bit_for_bit(trained: Path, faces: Path) -> None:
    out = faces.parent / "poses.csv"
    done = predicted(trained, faces, "--boxes", faces / "labels.csv", "--out", out)
    assert (done.code, done.err) == (0, "")
    network, config = load_network(trained, CPU)
    dataset = open_dataset(faces)
    expected = evaluate.predict(network, dataset, config).pose
    rows = rows_of(out.read_text())
    assert np.ptp(expected, axis=0).min() > 1e-3
    assert np.array_equal(numbers(rows, ANGLES), expected)
    assert np.array_equal(numbers(rows, EDGES), dataset.box)
    assert [row["path"] for row in rows] == [f"faces/{name}" for name in dataset.name]
    assert np.array_equal(numbers(rows_of(done.out), ANGLES), expected)


def test_the_csv_is_a_data_set_that_can_be_learnt_from(trained: Path, faces: Path) -> None:
    boxes = faces.parent / "boxes.csv"
    (faces / "labels.csv").rename(boxes)
    boxes.write_text(boxes.read_text().replace("\n", "\nfaces/").removesuffix("faces/"))
    assert predicted(trained, faces, "--boxes", boxes, "--out", faces / "labels.csv").code == 0
    dataset = open_dataset(faces)
    assert (dataset.layout, len(dataset)) == ("csv", len(FACES))
    assert dataset.name == [name for name, _, _ in FACES]
    network, config = load_network(trained, CPU)
    assert np.array_equal(evaluate.predict(network, dataset, config).pose, dataset.pose)
    again = predicted(trained, faces, "--boxes", faces / "labels.csv")
    assert np.array_equal(numbers(rows_of(again.out), ANGLES), dataset.pose)


def test_without_boxes_whole_pictures_are_cropped_as_the_layout_images_does(
    trained: Path, faces: Path
) -> None:
    done = predicted(trained, faces)
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert "the whole picture is taken for the face" in done.err
    network, config = load_network(trained, CPU)
    dataset = open_dataset(faces, "images")
    rows = rows_of(done.out)
    expected = evaluate.predict(network, dataset, config).pose
    assert np.array_equal(numbers(rows, ANGLES), expected)
    assert np.array_equal(numbers(rows, EDGES), dataset.box)
    assert [row["path"] for row in rows] == [f"{faces}/{name}" for name in dataset.name]


@pytest.mark.data
def test_real_faces_get_the_poses_of_an_evaluation(
    realdata: Path, trained: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(realdata / "AFLW2000")
    lines = [
        ",".join([f"{dataset.root}/{name}", *map(str, box.tolist())])
        for name, box in zip(dataset.name, dataset.box, strict=True)
    ]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["path,x0,y0,x1,y1", *lines]))
    done = predicted(trained, dataset.root, "--boxes", boxes)
    assert (done.code, done.err) == (0, "")
    network, config = load_network(trained, CPU)
    expected = evaluate.predict(network, dataset, config).pose
    assert len(expected) > 1
    assert np.array_equal(numbers(rows_of(done.out), ANGLES), expected)


def test_images_in_memory_get_the_poses_of_png_files(trained: Path, tmp_path: Path) -> None:
    network, config = load_network(trained, CPU)
    sides = [(40, 52), (71, 33), (32, 32), (9, 200), (64, 64), (50, 50)]
    images = [np.asarray(scene(*size, seed)) for seed, size in enumerate(sides)]
    lines = [HEADER]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{-2.5 * number},1,{30 + number},{38.25},0,0,0")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = open_dataset(tmp_path)
    expected = evaluate.predict(network, dataset, config).pose
    poses = predict_faces(network, config, images, dataset.box)
    assert poses.dtype == np.float32
    assert np.array_equal(poses, expected)
    views = [np.flip(np.flip(image, 1).copy(), 1) for image in images]
    assert np.array_equal(predict_faces(network, config, views, dataset.box), expected)
    whole = evaluate.predict(network, open_dataset(tmp_path, "images"), config).pose
    assert np.array_equal(predict_faces(network, config, images), whole)
    assert predict_faces(network, config, []).shape == (0, 3)


@pytest.mark.gpu
def test_a_gpu_gives_the_poses_of_an_evaluation_on_it(trained: Path, tmp_path: Path) -> None:
    network, config = load_network(trained, torch.device("cuda"))
    images = [np.asarray(scene(40 + seed, 50, seed)) for seed in range(6)]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    expected = evaluate.predict(network, open_dataset(tmp_path, "images"), config).pose
    assert predict_faces(network, config, images) == pytest.approx(expected, abs=1e-3)
    done = predicted(trained, tmp_path)
    assert numbers(rows_of(done.out), ANGLES) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("fit", ["short-side", "stretch"])
def test_crops_are_those_that_the_run_is_configured_for(trained: Path, fit: str) -> None:
    _, config = load_network(trained, CPU)
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 33:] = (10, 200, 90)
    box = np.array([[0, 0, 40, 20]], dtype=np.float32)
    crop = crop_faces(config.updated({"data.fit": fit}), [image], box)
    assert crop.shape == (1, 3, 32, 32)
    assert crop[0, :, 16, -1].tolist() == ([10, 200, 90] if fit == "stretch" else [0, 0, 0])


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        ([np.zeros((4, 4, 3), np.float32)], None, "must be uint8 .* got float32 .* image 0"),
        ([np.zeros((4, 4), np.uint8)], None, r"must be uint8 .* got uint8 \(4, 4\)"),
        ([np.zeros((0, 4, 3), np.uint8)], None, r"got uint8 \(0, 4, 3\)"),
        ([np.zeros((4, 4, 3), np.uint8)], [[0, 0, 1, 1]] * 2, r"boxes must be \(1, 4\)"),
        ([np.zeros((4, 4, 3), np.uint8)], [[2, 0, 2, 1]], "x0 < x1"),
        ([np.zeros((4, 4, 3), np.uint8)], [[0, 0, np.nan, 1]], "x0 < x1"),
    ],
)
def test_images_and_boxes_that_make_no_sense_are_refused(
    trained: Path, images: list, boxes: list | None, message: str
) -> None:
    network, config = load_network(trained, CPU)
    with pytest.raises(ValueError, match=message):
        predict_faces(network, config, images, boxes)


def test_a_run_that_learnt_directions_gives_no_roll(tmp_path: Path, faces: Path) -> None:
    learnt = make_direction_run(tmp_path / "x")
    files = {suffix: tmp_path / f"poses.{suffix}" for suffix in ("csv", "json")}
    for out in files.values():
        done = predicted(learnt, faces, "--out", out)
        assert done.code == 0
        assert "has learnt directions, which have no roll" in done.err
    rows = rows_of(files["csv"].read_text())
    items = json.loads(files["json"].read_text())
    assert {row["roll"] for row in rows} == {""}
    assert {item["roll"] for item in items} == {None}
    network, config = load_network(learnt, CPU)
    expected = evaluate.predict(network, open_dataset(faces, "images"), config).pose
    for found in (rows, items):
        assert np.array_equal(numbers(found, ANGLES[:2]), expected[:, :2])


def test_json_has_the_values_of_the_csv(trained: Path, faces: Path) -> None:
    for suffix in ("csv", "json"):
        arguments = ["--boxes", faces / "labels.csv", "--out", faces.parent / f"poses.{suffix}"]
        assert predicted(trained, faces, *arguments).code == 0
    rows = rows_of((faces.parent / "poses.csv").read_text())
    items = json.loads((faces.parent / "poses.json").read_text())
    assert [list(item) for item in items] == [HEADER.split(",")] * len(FACES)
    assert [item["path"] for item in items] == [row["path"] for row in rows]
    assert np.array_equal(numbers(items, EDGES + ANGLES), numbers(rows, EDGES + ANGLES))


def test_a_margin_makes_squares_round_the_same_middle(trained: Path, faces: Path) -> None:
    done = predicted(trained, faces / "a.jpg", "--box", "10,20,30,30", "--margin", "1.5")
    assert done.code == 0
    assert numbers(rows_of(done.out), EDGES).tolist() == [[5, 10, 35, 40]]
    network, config = load_network(trained, CPU)
    dataset = open_dataset(faces).subset([0])
    object.__setattr__(dataset, "box", np.array([[5, 10, 35, 40]], dtype=np.float32))
    expected = evaluate.predict(network, dataset, config).pose
    assert np.array_equal(numbers(rows_of(done.out), ANGLES), expected)
    assert widened([[0, 0, 4, 2], [1, 1, 2, 5]], 1.0).tolist() == [[0, -1, 4, 3], [-0.5, 1, 3.5, 5]]
    assert widened([0, 0, 4, 2], None).tolist() == [[0, 0, 4, 2]]


def test_bad_pictures_are_named_and_the_others_go_on(trained: Path, faces: Path) -> None:
    whole = (faces / "b" / "d.jpg").read_bytes()
    (faces / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (faces / "b" / "text.png").write_text("no picture")
    (faces / "link.jpg").symlink_to(faces / "nowhere.jpg")
    scene(40, 30).save(faces / "turned.jpg", exif=b"Exif\0\0" + exif(6))
    good = predicted(trained, *(faces / name for name in ("a.jpg", "b/c.png", "b/d.jpg", "e.JPEG")))
    done = predicted(trained, faces)
    assert done.code == 1
    lines = done.err.splitlines()[1:]
    assert len(lines) == 5
    assert sum(line.startswith("error: ") for line in lines) == 4
    for name in ("b/cut.jpg", "b/text.png", "link.jpg", "turned.jpg"):
        assert sum(f"{faces}/{name}" in line for line in lines) == 1
    (turned,) = [line for line in lines if "turned.jpg" in line]
    assert "EXIF orientation 6" in turned
    assert "exif_transpose" in turned
    assert lines[-1] == "faces: 4, inputs at fault: 4, pictures or frames without a face: 0"
    assert {row["path"] for row in rows_of(done.out)} == {r["path"] for r in rows_of(good.out)}
    assert len(rows_of(done.out)) == 4


def test_a_job_without_one_usable_picture_fails(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xd9")
    done = predicted(trained, tmp_path / "a.jpg", "--out", tmp_path / "poses.json")
    assert done.code == 1
    assert f"{tmp_path}/a.jpg" in done.err
    assert json.loads((tmp_path / "poses.json").read_text()) == []


def test_pictures_that_the_list_lacks_are_named(trained: Path, faces: Path) -> None:
    boxes = faces.parent / "boxes.csv"
    boxes.write_text("path,x0,y0,x1,y1\nfaces/a.jpg,1,2,30,40\nfaces/b/../a.jpg,5,2,30,40\n")
    done = predicted(trained, faces, "--boxes", boxes)
    assert done.code == 0
    assert len(rows_of(done.out)) == 2
    for name in ("b/c.png", "b/d.jpg", "e.JPEG"):
        assert f"no face on {faces}/{name}, by {boxes}\n" in done.err
    assert "faces: 2, inputs at fault: 0, pictures or frames without a face: 3" in done.err
    done = predicted(trained, faces / "e.JPEG", "--boxes", boxes)
    assert done.code == 1
    assert rows_of(done.out) == []


def test_a_box_beside_its_picture_is_named(trained: Path, faces: Path) -> None:
    done = predicted(trained, faces, "--box", "47,0,60,60")
    assert done.code == 1
    message = f"box 47,0,60,60 lies outside {faces}/a.jpg, which is 47 × 61 px"
    assert f"error: {message}\n" in done.err
    assert [Path(row["path"]).name for row in rows_of(done.out)] == ["c.png", "d.jpg"]


def test_names_that_are_not_utf_8_stay_what_they_are(trained: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xff"))
    folder.mkdir()
    for name in (b"\xe9,1.png", b'a"\n.png'):
        scene(40, 40).save(folder / os.fsdecode(name))
    for suffix in ("csv", "json"):
        done = predicted(trained, folder, "--out", folder / f"poses.{suffix}")
        assert done.code == 0
        assert r"\xff" in done.out
    assert len(rows_of(done.out)) == 2
    assert done.out.count("\n") == 3
    dataset = open_dataset(folder)
    assert {os.fsencode(name) for name in dataset.name} == {b"\xe9,1.png", b'a"\n.png'}
    items = json.loads((folder / "poses.json").read_text())
    assert {item["path"] for item in items} == set(dataset.name)


def test_paths_are_relative_to_the_file_where_pictures_lie_below_it(
    trained: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    scene(40, 40).save(tmp_path / "other" / "x.png")
    monkeypatch.chdir(tmp_path / "other")
    out = faces / "poses.csv"
    done = predicted(trained, "x.png", "../faces/a.jpg", "../faces", "./x.png", "--out", out)
    assert done.code == 0
    paths = [row["path"] for row in rows_of(out.read_text())]
    assert paths == [f"{tmp_path}/other/x.png", "a.jpg", "e.JPEG", "b/c.png", "b/d.jpg"]
    shown = [row["path"] for row in rows_of(done.out)]
    assert shown[:2] == ["x.png", "../faces/a.jpg"]
    assert "../faces/b/c.png" in shown


def test_a_terminal_shows_a_line_for_each_face(trained: Path, faces: Path) -> None:
    class Terminal(io.StringIO):
        encoding = "ascii"

        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with contextlib.redirect_stdout(terminal):
        assert hmtl(["predict", str(trained), str(faces / "a.jpg")]) == 0
    heading, line = terminal.getvalue().splitlines()
    assert heading.split() == [*ANGLES, "face"]
    *angles, name, box = line.split()
    expected = numbers(rows_of(predicted(trained, faces / "a.jpg").out), ANGLES)[0]
    assert [float(angle) for angle in angles] == pytest.approx(expected, abs=0.051)
    assert (name, box) == (f"{faces}/a.jpg", "0,0,47,61")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.jpg", "error: there is no file or folder {}\n"),
        ("notes.txt", "must end in one of .jpg, .jpeg, .png, .avi, "),
        ("empty", "no pictures in {}, looked for "),
    ],
)
def test_inputs_that_cannot_be_meant_end_the_job_before_the_network(
    faces: Path, name: str, message: str
) -> None:
    (faces / "notes.txt").write_text("")
    (faces / "empty").mkdir()
    out = faces / "poses.csv"
    done = predicted("no-such-run", faces / "a.jpg", faces / name, "--out", out)
    assert done.code == 1
    assert message.format(faces / name) in done.err
    assert done.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "1,2,3"], "must have four numbers"),
        (["--box", "1,2,1,5"], "x0 < x1 and y0 < y1"),
        (["--box", "1,2,x,5"], "finite numbers"),
        (["--box", "1,2,1e30,5"], "finite numbers"),
        (["--box", "1,2,3,4", "--boxes", "{}/labels.csv"], "only one of --box"),
        (["--margin", "1.3"], "--margin widens boxes"),
        (["--box", "1,2,3,4", "--margin", "0"], "--margin must be above 0"),
        (["--box", "1,2,3,4", "--margin", "nan"], "--margin must be above 0"),
        (["--out", "{}/poses.txt"], "--out must end in .csv or .json"),
        (["--out", "{}/none/poses.csv"], "there is no folder"),
        (["--boxes", "{}/labels.csv", "--out", "{}/b/../labels.csv"], "must not be a file that"),
        (["--boxes", "{}/none.csv"], "does not exist"),
        (["--every", "0"], "0 is not in the range"),
        (["--draw", "{}"], "must be empty"),
        (["--draw", "{}/labels.csv"], "go into a folder"),
        (["--draw", "{}/drawn"], "must not go into the input"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_line(
    faces: Path, arguments: list[str], message: str
) -> None:
    table = (faces / "labels.csv").read_bytes()
    done = predicted("no-such-run", faces, *(text.format(faces) for text in arguments))
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert (faces / "labels.csv").read_bytes() == table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,x0,y0,x1\na.jpg,1,2,3\n", "columns must have path,x0,y0,x1,y1, no y1 in"),
        ("path,x0,y0,x1,y1\n", "no boxes in"),
        ("", "columns must have"),
        ("path,x0,y0,x1,y1\na.jpg,1,2,3\n", "as many fields as the header (TABLE:2)"),
        ("path,x0,y0,x1,y1\na.jpg,1,2,3,4,5\n", "as many fields as the header (TABLE:2)"),
        ("path,x0,y0,x1,y1\na.jpg,1,2,3,4\na.jpg,1,2,1,4\n", "x0 < x1 and y0 < y1"),
        ("path,x0,y0,x1,y1\na.jpg,1,2,three,4\n", "finite numbers within ±1e+09, got 'three'"),
        ("path,x0,y0,x1,y1\n,1,2,3,4\n", "a path must name a file"),
        ("path,x0,y0,x1,y1,frame\na.jpg,1,2,3,4,-1\n", "whole number from 0 on, got '-1'"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_with_its_line(
    faces: Path, table: str, message: str
) -> None:
    boxes = faces.parent / "boxes.csv"
    boxes.write_text(table)
    done = predicted("no-such-run", faces, "--boxes", boxes)
    assert done.code == 1
    assert message.replace("TABLE", str(boxes)) in done.err
    assert done.err.count("\n") == 1


def test_a_run_that_is_not_there_costs_no_earlier_result(faces: Path) -> None:
    out = faces.parent / "poses.csv"
    out.write_text("what was there")
    done = predicted("no-such-run", faces, "--out", out)
    assert done.code == 1
    assert "no-such-run" in done.err
    assert out.read_text() == "what was there"


def test_a_run_that_learnt_on_an_engine_that_is_not_here_predicts(
    trained: Path, faces: Path, tmp_path: Path
) -> None:
    saved = checkpoint.load_weights(trained / "weights.safetensors")
    config = saved.config.updated({"data.engine": "cuda", "data.decode": "rgb"})
    other = tmp_path / "other"
    other.mkdir()
    checkpoint.save_weights(other / "weights.safetensors", saved.tensors, config, 1)
    done = predicted(other, faces)
    assert done.code == 0
    plain = config.updated({"data.engine": "native"})
    network, _ = load_network(other, CPU)
    expected = evaluate.predict(network, open_dataset(faces, "images"), plain).pose
    assert np.array_equal(numbers(rows_of(done.out), ANGLES), expected)


def test_boxes_of_more_faces_than_are_rendered_at_once_are_all_there(
    trained: Path, faces: Path
) -> None:
    lines = [HEADER, *(f"a.jpg,{number / 10},0,{20 + number},30,0,0,0" for number in range(37))]
    (faces / "labels.csv").write_text("\n".join(lines))
    done = predicted(trained, faces / "a.jpg", "--boxes", faces / "labels.csv")
    network, config = load_network(trained, CPU)
    expected = evaluate.predict(network, open_dataset(faces), config).pose
    assert np.array_equal(numbers(rows_of(done.out), ANGLES), expected)


def test_a_box_is_of_four_numbers() -> None:
    assert parse_box("1,2.5, 3,4") == (1.0, 2.5, 3.0, 4.0)
    with pytest.raises(ConfigError, match="four numbers"):
        parse_box("1,2,3")
