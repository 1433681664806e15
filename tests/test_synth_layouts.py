"""Rendered data sets as others read them: names, types, labels and pictures of each layout."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import plain_readers
import pytest
from PIL import Image
from rotations import turn_of
from trees import files_of

from hmtl import pose as poses
from hmtl.synth import pose_of, render_dataset
from hmtl.synth.camera import draw_camera, recording
from hmtl.synth.framing import face_patch
from hmtl.synth.head import build_head
from hmtl.synth.job import Job
from hmtl.synth.raycast import Canvas
from hmtl.synth.samples import camera_stream, draw_sample, render_sample
from hmtl.synth.writers.biwi import sequence_of
from hmtl.synth.writers.xgaze import numbers_of

COUNT, SUBJECTS, SEED, SIZE = 24, 8, 3, 48
XGAZE_NUMBERS = [0, 108, 3, 4, 1, 5, 6, 7]
NAMES = {
    "300w-lp": lambda i: "{0}/{0}_3{1:06d}_1_{2}".format(
        ("AFW", "HELEN", "IBUG", "LFPW")[i % 4], i % 8, i // 8
    ),
    "aflw2000": lambda i: f"image{i + 1:05d}",
    "biwi": lambda i: f"hpdb/{i % 8 + 1:02d}/frame_{i // 8 + 3:05d}",
    "eth-xgaze": lambda i: (
        f"{'test' if i % 8 == 4 else 'train'}/subject{XGAZE_NUMBERS[i % 8]:04d}.h5#{i // 8}"
    ),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Return a folder for each layout."""
    folder = tmp_path_factory.mktemp("heads")
    for layout in NAMES:
        render(folder / layout, layout)
    return {layout: folder / layout for layout in NAMES}


def render(out, layout, *, count=COUNT, subjects=SUBJECTS, workers=1, **options):
    render_dataset(
        out,
        layout=layout,
        count=count,
        subjects=subjects,
        seed=SEED,
        size=SIZE,
        workers=workers,
        **options,
    )


def job_of(layout):
    return Job(layout=layout, count=COUNT, subjects=SUBJECTS, seed=SEED, size=SIZE)


def test_the_plain_readers_know_nothing_of_this_project():
    tree = ast.parse(Path(plain_readers.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name])
    }

    assert imported == {"json", "h5py", "numpy", "PIL", "scipy"}


@pytest.mark.parametrize("layout", NAMES)
def test_a_plain_script_reads_the_poses_that_were_rendered(roots, layout):
    found = {name: angles for name, angles, _ in plain_readers.READERS[layout](roots[layout])}

    assert sorted(found) == sorted(NAMES[layout](i) for i in range(COUNT))
    for index in range(COUNT):
        expected = pose_of(layout, SEED, index)
        if layout == "eth-xgaze":
            x, y, z = turn_of(expected) @ [0.0, 0.0, 1.0]
            expected = np.degrees([np.arctan2(-x, z), np.arctan2(-y, np.hypot(x, z))])
        assert np.abs(found[NAMES[layout](index)] - expected).max() < 1e-4
        assert np.abs(expected).max() > 1.0


@pytest.mark.parametrize("layout", ["biwi", "eth-xgaze"])
def test_a_plain_script_reads_the_images_that_were_rendered(roots, layout):
    found = {name: image for name, _, image in plain_readers.READERS[layout](roots[layout])}
    job = job_of(layout)
    for index in (0, 9, 20):
        camera = draw_camera(SIZE, camera_stream(job, index % SUBJECTS))
        framer = recording(camera) if layout == "biwi" else face_patch(SIZE)
        rendered = render_sample(job, draw_sample(job, index), framer)

        image = found[NAMES[layout](index)]

        assert image.shape == (SIZE, 64 if layout == "biwi" else SIZE, 3)
        assert np.array_equal(image, rendered.image)
        assert np.array_equal(rendered.pose, pose_of(layout, SEED, index))


@pytest.mark.parametrize("layout", ["biwi", "eth-xgaze"])
def test_bytes_do_not_depend_on_the_number_of_workers_or_the_time(tmp_path, layout):
    seen = []
    render(tmp_path / "one", layout, count=37, subjects=5)
    render(tmp_path / "three", layout, count=37, subjects=5, workers=3, on_progress=seen.append)

    assert files_of(tmp_path / "one") == files_of(tmp_path / "three")
    assert seen == sorted(seen)
    assert seen[-1] == 37


@pytest.mark.parametrize("layout", ["biwi", "eth-xgaze"])
def test_an_image_does_not_depend_on_how_many_there_are(tmp_path, roots, layout):
    render(tmp_path, layout, count=9)
    few, many = (
        {name: image for name, _, image in plain_readers.READERS[layout](root)}
        for root in (tmp_path, roots[layout])
    )

    assert len(few) == 9
    assert all(np.array_equal(image, many[name]) for name, image in few.items())


class InterruptedHereError(Exception):
    pass


@pytest.mark.parametrize("layout", ["biwi", "eth-xgaze"])
def test_an_interrupted_rendering_is_made_whole_and_then_left_alone(tmp_path, roots, layout):
    def interrupt(_done):
        raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        render(tmp_path, layout, on_progress=interrupt)
    if layout == "eth-xgaze":
        (tmp_path / "train" / "subject0003.h5.partial").write_bytes(b"cut off")
    assert files_of(tmp_path).keys() != files_of(roots[layout]).keys()
    render(tmp_path, layout)

    assert files_of(tmp_path) == files_of(roots[layout])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    render(tmp_path, layout, on_progress=interrupt)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_biwi_files_have_the_published_form(roots):
    folder = roots["biwi"] / "hpdb" / "05"
    lines = (folder / "frame_00004_pose.txt").read_text().split("\n")
    calibration = (folder / "rgb.cal").read_text().split("\n")

    assert [len(line.split()) for line in lines] == [3, 3, 3, 0, 3, 0]
    assert all(line.endswith(" ") for line in lines if line)
    assert [len(line.split()) for line in calibration] == [3, 3, 3, 0, 4, 0, 3, 3, 3, 0, 3, 0, 2, 0]
    assert calibration[12] == f"64 {SIZE}"
    # How fast.ai's course takes the matrix from the file.
    assert np.genfromtxt(folder / "rgb.cal", skip_footer=6).shape == (3, 3)
    names = {path.suffix for path in roots["biwi"].rglob("*") if path.is_file()}
    assert names == {".png", ".txt", ".cal", ".json"}
    with Image.open(folder / "frame_00004_rgb.png") as image:
        assert (image.size, image.mode, image.format) == ((64, SIZE), "RGB", "PNG")


def test_the_calibrations_of_biwi_differ_and_their_rotations_are_not_trivial(roots):
    texts = {path.read_text() for path in roots["biwi"].rglob("rgb.cal")}
    rotations = [np.loadtxt(text.splitlines()[6:9]) for text in texts]

    assert len(texts) == SUBJECTS
    for rotation in rotations:
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.abs(rotation - np.eye(3)).max() > 1e-3


def test_sequences_of_other_people_are_passed_over():
    numbers = [sequence_of(subject) for subject in range(22)]

    assert numbers == [*range(1, 15), 16, 17, 19, 20, 23, 24, 25, 26]


def head_places(sample, rendered):
    """Return x, y (N, 2) in px of a fine grid's points on the head, loose long hair left out."""
    identity = sample.identity
    if identity.hair_style == "long":
        identity = replace(identity, hair_style="full")
    height, width = rendered.image.shape[:2]
    x, y = (((np.arange(8 * side) + 0.5) / 8) for side in (width, height))
    canvas = Canvas(
        ((x - rendered.place[0]) / rendered.scale).astype(np.float32),
        ((y - rendered.place[1]) / rendered.scale).astype(np.float32),
    )
    frame = poses.to_matrix(sample.pose) @ np.diag(identity.proportions)
    for part in build_head(identity, sample.expression).parts:
        canvas.draw(part, frame, np.zeros(3))
    rows, columns = np.nonzero(canvas.covered)
    return np.stack([x[columns], y[rows]], axis=-1)


def test_the_240_mm_square_lies_on_the_head(roots):
    job = job_of("biwi")
    for index in range(COUNT):
        sample = draw_sample(job, index)
        camera = draw_camera(SIZE, camera_stream(job, index % SUBJECTS))
        rendered = render_sample(job, sample, recording(camera))
        path = roots["biwi"] / f"{NAMES['biwi'](index)}_rgb.png"
        with Image.open(path) as image:
            assert np.array_equal(image, rendered.image)
        places = head_places(sample, rendered)
        low, high = places.min(axis=0), places.max(axis=0)

        x, y, side = plain_readers.head_square(path)

        assert (np.abs(places - [x, y]) < side / 2).all(axis=1).mean() > 0.95
        # A pixel here, six in a frame of 480 px.
        assert np.abs((low + high) / 2 - [x, y]).max() < 0.06 * side
        # The square is the head with a little room.
        assert 0.7 * side < (high - low).max() < 1.1 * side


def test_heads_of_biwi_are_about_a_metre_away_and_near_the_middle(roots):
    for path in roots["biwi"].rglob("*_pose.txt"):
        depth = float(path.read_text().splitlines()[4].split()[2])
        frame = path.with_name(path.name.replace("pose.txt", "rgb.png"))
        x, y, _ = plain_readers.head_square(frame)
        assert 780.0 < depth < 1240.0
        assert 0.35 < x / 64 < 0.65
        assert 0.4 < y / SIZE < 0.6


def test_xgaze_files_have_the_published_data_sets(roots):
    expected = {
        "face_patch": ((3, SIZE, SIZE, 3), np.uint8, (1, SIZE, SIZE, 3)),
        "face_head_pose": ((3, 2), np.float64, (1, 2)),
        "face_gaze": ((3, 2), np.float64, (1, 2)),
        "face_mat_norm": ((3, 3, 3), np.float64, (1, 3, 3)),
        "frame_index": ((3, 1), np.int64, (1, 1)),
        "cam_index": ((3, 1), np.int64, (1, 1)),
    }
    for path in roots["eth-xgaze"].rglob("*.h5"):
        with h5py.File(path, "r") as file:
            found = {name: (d.shape, d.dtype.type, d.chunks) for name, d in file.items()}
            assert file["face_patch"].compression == "lzf"
            assert file["face_head_pose"].compression is None
            assert file["cam_index"][:, 0].tolist() == [0, 1, 2]
        gaze = {"face_gaze"} if path.parent.name == "train" else set()
        assert found.keys() == expected.keys() - {"face_gaze"} | gaze
        assert all(found[name] == expected[name] for name in found)


def test_the_split_of_xgaze_lists_every_file_under_its_published_number(roots):
    split = json.loads((roots["eth-xgaze"] / "train_test_split.json").read_text())

    assert split.keys() == {"train", "test", "test_person_specific"}
    for name in ("train", "test"):
        assert sorted(split[name]) == sorted(p.name for p in (roots["eth-xgaze"] / name).iterdir())
    assert split["test"] == ["subject0001.h5"]
    assert split["test_person_specific"] == []


def test_every_number_of_subjects_of_xgaze_has_distinct_published_numbers():
    for subjects in (1, 2, 5, 12, 22, 95, 130):
        numbers = numbers_of(subjects)
        assert len(set(numbers)) == subjects
        assert (108 in numbers) == (subjects >= 2)
        assert (1 in numbers) == (subjects >= 5)
        assert 0 in numbers
    assert {108, 109, 111} < set(numbers_of(22))
    assert numbers_of(90) == numbers_of(130)[:90]


def test_heads_of_xgaze_are_level_and_their_directions_uniform():
    turns = [turn_of(pose_of("eth-xgaze", SEED, index)) for index in range(300)]
    directions = np.array(
        [[np.arctan2(-turn[0, 2], turn[2, 2]), np.arcsin(-turn[1, 2])] for turn in turns]
    )

    # The right-left axis has no vertical part.
    assert max(abs(turn[1, 0]) for turn in turns) < 1e-9
    assert min(turn[0, 0] for turn in turns) > 0
    for angles, limit in zip(np.degrees(directions).T, (75.0, 40.0), strict=True):
        assert np.abs(angles).max() <= limit
        counts = np.histogram(angles, 4, (-limit, limit))[0]
        assert counts.min() > 50


def test_the_gaze_of_xgaze_follows_the_painted_irises(roots):
    job, seen = job_of("eth-xgaze"), 0
    for index in range(COUNT):
        folder, name = NAMES["eth-xgaze"](index).split("#")[0].split("/")
        if folder == "test":
            continue
        with h5py.File(roots["eth-xgaze"] / folder / name, "r") as file:
            gaze, head = file["face_gaze"][index // 8], file["face_head_pose"][index // 8]
        offset = np.degrees(gaze - head)
        expression = draw_sample(job, index).expression
        assert np.abs(offset).max() < 35.0
        if abs(expression.gaze_x) > 0.03:
            seen += 1
            assert np.sign(offset[1]) == -np.sign(expression.gaze_x)

    assert seen > 5


def test_a_patch_of_xgaze_is_filled_by_the_face():
    job = job_of("eth-xgaze")
    for index in range(COUNT):
        rendered = render_sample(job, draw_sample(job, index), face_patch(SIZE))
        corners, wings = rendered.points[[36, 39, 42, 45], :2], rendered.points[[31, 35], :2]
        middle = (corners.mean(axis=0) + wings.mean(axis=0)) / 2
        assert np.abs(middle - SIZE / 2).max() < 0.03 * SIZE
        # Two half head widths across, more or less.
        assert 1.8 < SIZE / rendered.scale < 2.1
