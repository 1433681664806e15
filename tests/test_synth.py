"""Rendered heads: labels, landmarks and pictures agree; data sets are reproducible."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rotations import axis_rotation, turn_of
from scipy import stats
from scipy.io import loadmat
from trees import files_of

from hmtl.cli.main import run
from hmtl.errors import ConfigError, DataError
from hmtl.synth import NEUTRAL, draw_identity, render_dataset, render_head
from hmtl.synth.raycast import Canvas, Part, surface_points

COUNT, SUBJECTS, SIZE = 160, 8, 64


@pytest.fixture(scope="module")
def train_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("heads") / "train"
    render_dataset(
        root, layout="300w-lp", count=COUNT, subjects=SUBJECTS, seed=3, size=SIZE, workers=1
    )
    return root


@pytest.fixture(scope="module")
def aflw_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("heads") / "aflw"
    render_dataset(root, layout="aflw2000", count=40, subjects=40, seed=4, size=SIZE, workers=1)
    return root


def render(pose, *, seed=0, size=128, **changes):
    identity = replace(draw_identity(np.random.default_rng(7)), **changes)
    return render_head(identity, pose, np.random.default_rng(seed), size=size)


def poses_of(root):
    """Return the degrees (N, 3) yaw, pitch, roll of all label files, in the order of the names."""
    radians = [loadmat(path)["Pose_Para"][0, :3] for path in sorted(root.rglob("*.mat"))]
    return np.rad2deg(np.array(radians, dtype=np.float64))[:, [1, 0, 2]]


def kabsch(source, target):
    """Return the rotation that turns points (N, 3) into others best, whatever scale and place."""
    covariance = (target - target.mean(axis=0)).T @ (source - source.mean(axis=0))
    left, _, right = np.linalg.svd(covariance)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return left @ flip @ right


@pytest.mark.parametrize("pose", [(0, 0, 30), (60, -20, 10), (-75, 40, -30), (33, 25, -12)])
def test_landmarks_are_turned_by_exactly_the_labelled_rotation(pose):
    frontal, turned = render((0, 0, 0)), render(pose, seed=1)
    expected = turn_of(pose)

    # The identity's stretch comes before the rotation, so both clouds are one rigid body.
    found = kabsch(frontal.points, turned.points)

    angle = np.rad2deg(np.arccos(np.clip((np.trace(found @ expected.T) - 1) / 2, -1, 1)))
    assert angle < 1e-3


def green_lips(pose, seed):
    """Return the centre x, y of the lips' pixels, found by their colour, and the rendering."""
    rendered = render(pose, seed=seed, size=160, lips=np.array([0.0, 1.0, 0.0], dtype=np.float32))
    low = np.floor(rendered.points[48:, :2].min(axis=0) - 12).astype(int)
    high = np.ceil(rendered.points[48:, :2].max(axis=0) + 12).astype(int)
    window = rendered.image[low[1] : high[1], low[0] : high[0]].astype(float)
    is_green = (window[..., 1] > 2 * window[..., 0]) & (window[..., 1] > 2 * window[..., 2])
    assert is_green.sum() > 20
    return np.argwhere(is_green)[:, ::-1].mean(axis=0) + low + 0.5, rendered


@pytest.mark.parametrize("seed", range(3))
def test_yaw_moves_the_mouth_in_the_picture_to_the_left_and_pitch_moves_it_up(seed):
    frontal, base = green_lips((0, 0, 0), seed)
    left, turned = green_lips((40, 0, 0), seed)
    up, raised = green_lips((0, 35, 0), seed)
    down, lowered = green_lips((0, -25, 0), seed)

    assert abs(frontal[0] - base.place[0]) < 1.0
    assert left[0] < turned.place[0] - 10
    assert up[1] - raised.place[1] < frontal[1] - base.place[1] - 5
    assert down[1] - lowered.place[1] > up[1] - raised.place[1] + 10


@pytest.mark.parametrize("seed", range(3))
def test_roll_turns_the_picture_clockwise(seed):
    lips, rendered = green_lips((0, 0, 30), seed)

    # Below the centre of the head a clockwise turn leads to the left.
    assert lips[0] < rendered.place[0] - 8
    left_eye, right_eye = (rendered.points[i : i + 6].mean(axis=0) for i in (36, 42))
    assert left_eye[0] < right_eye[0]
    assert right_eye[1] > left_eye[1] + 5


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 10, 20), (-30, -10, -20)])
def test_the_mouth_landmarks_lie_on_the_mouth_of_the_picture(pose):
    lips, rendered = green_lips(pose, 5)

    distance = np.linalg.norm(lips - rendered.points[48:60, :2].mean(axis=0))

    assert distance < 0.08 * rendered.scale


def test_the_far_side_of_a_turned_face_is_hidden():
    frontal, turned = render((0, 0, 0)), render((70, 0, 0))

    assert frontal.visible[17:].all()
    # Yaw > 0 turns the nose to the left: what is at the left of a frontal face goes out of sight.
    assert not turned.visible[36]
    assert turned.visible[45]
    assert not turned.ears_visible[0]
    assert turned.ears_visible[1]


def test_ray_casting_finds_the_foremost_surface_and_its_normal():
    turn = (
        axis_rotation((1, 0, 0), 35) @ axis_rotation((0, 1, 0), 50) @ axis_rotation((0, 0, 1), 20)
    )
    part = Part(
        center=np.array([0.3, -0.2, 0.1]),
        semi=turn @ np.diag([1.0, 0.4, 0.7]),
        color=np.ones(3, dtype=np.float32),
    )
    frame, origin = axis_rotation((0, 1, 0), -25), np.array([0.1, 0.2, 0.3])
    steps = np.linspace(-1.5, 1.5, 21)
    canvas = Canvas(steps.astype(np.float32), steps.astype(np.float32))

    canvas.draw(part, frame, origin)

    z = np.linspace(-2.0, 2.0, 2001)
    back = np.linalg.inv(frame @ part.semi)
    center = origin + frame @ part.center
    for row, y in enumerate(steps):
        for column, x in enumerate(steps):
            ray = np.stack([np.full_like(z, x), np.full_like(z, y), z])
            unit = back @ (ray - center[:, None])
            inside = np.flatnonzero((unit * unit).sum(axis=0) <= 1.0)
            if len(inside) < 3:
                continue
            assert abs(canvas.depth[row, column] - z[inside[-1]]) < 4e-3
            gradient = back.T @ unit[:, inside[-1]]
            gradient /= np.linalg.norm(gradient)
            assert canvas.normal[:, row, column] @ gradient > 0.999
    assert canvas.covered.sum() > 30


def test_landmark_rays_end_on_the_outermost_part():
    inner = Part(center=np.zeros(3), semi=np.eye(3), color=np.ones(3, dtype=np.float32))
    outer = replace(inner, center=np.array([0.0, 0.0, 1.0]), semi=np.diag([0.5, 0.5, 1.0]))

    points = surface_points(
        [inner, outer], np.zeros((3, 3)), np.array([[0.0, 0, 1], [0, 0, -1], [1, 0, 0]])
    )

    assert np.allclose(points, [[0, 0, 2], [0, 0, -1], [1, 0, 0]])


def test_a_head_is_the_same_for_the_same_random_numbers():
    assert np.array_equal(render((10, 20, 30)).image, render((10, 20, 30)).image)
    assert not np.array_equal(render((10, 20, 30)).image, render((10, 20, 30), seed=1).image)


def test_the_neutral_expression_is_the_default():
    identity = draw_identity(np.random.default_rng(1))

    given = render_head(identity, (5, 5, 5), np.random.default_rng(2), expression=NEUTRAL)
    default = render_head(identity, (5, 5, 5), np.random.default_rng(2))

    assert np.array_equal(given.image, default.image)


def test_300w_lp_files_have_the_published_names_and_types(train_root):
    images = sorted(train_root.rglob("*.jpg"))
    photos = {path.stem.rsplit("_", 1)[0] for path in images}

    assert {path.parent.name for path in images} == {"AFW", "HELEN", "IBUG", "LFPW"}
    assert len(images) == COUNT
    assert len(photos) == SUBJECTS
    assert all(path.stem.startswith(path.parent.name + "_") for path in images)
    for path in images[::20]:
        labels = loadmat(path.with_suffix(".mat"))
        assert (labels["Pose_Para"].shape, labels["Pose_Para"].dtype) == ((1, 7), np.float32)
        assert (labels["pt2d"].shape, labels["pt2d"].dtype) == ((2, 68), np.float64)
        assert (labels["roi"].shape, labels["roi"].dtype) == ((1, 4), np.int16)
        with Image.open(path) as image:
            assert (image.size, image.mode, image.format) == ((SIZE, SIZE), "RGB", "JPEG")


def test_landmarks_lie_inside_and_fill_two_to_three_fifths_of_the_image(train_root):
    for path in train_root.rglob("*.mat"):
        points = loadmat(path)["pt2d"]
        side = (points.max(axis=1) - points.min(axis=1)).max() / SIZE
        assert points.min() > 0
        assert points.max() < SIZE
        assert 0.38 <= side <= 0.5


def test_poses_are_uniform_over_the_whole_range(train_root):
    poses = poses_of(train_root)

    for angles, limit in zip(poses.T, (75.0, 40.0, 30.0), strict=True):
        assert np.abs(angles).max() <= limit
        assert stats.kstest(angles, stats.uniform(-limit, 2 * limit).cdf).pvalue > 0.01


def test_stored_poses_fit_the_stored_points(aflw_root):
    """The rotation between two people is that of the labels but for their different faces."""
    paths = sorted(aflw_root.glob("*.mat"))
    poses = np.deg2rad(poses_of(aflw_root))
    clouds = [loadmat(path)["pt3d_68"].T.astype(np.float64) for path in paths]
    angles = []
    for (y, p, r), cloud in zip(poses[1:], clouds[1:], strict=True):
        back = (
            axis_rotation((0, 0, 1), -np.rad2deg(r))
            @ axis_rotation((0, 1, 0), np.rad2deg(y))
            @ axis_rotation((1, 0, 0), -np.rad2deg(p))
        )
        y0, p0, r0 = np.rad2deg(poses[0])
        first = (
            axis_rotation((1, 0, 0), p0)
            @ axis_rotation((0, 1, 0), -y0)
            @ axis_rotation((0, 0, 1), r0)
        )
        rest = kabsch(cloud @ back.T, clouds[0] @ first)
        angles.append(np.rad2deg(np.arccos(np.clip((np.trace(rest) - 1) / 2, -1, 1))))

    assert np.mean(angles) < 4.0


def test_aflw2000_hides_points_as_the_published_files_do(aflw_root):
    hidden_ears = []
    for path in sorted(aflw_root.glob("*.mat")):
        labels = loadmat(path)
        points = labels["pt2d"]
        hidden = points[0] == -1
        assert points.shape == (2, 21)
        assert labels["pt3d_68"].shape == (3, 68)
        assert np.array_equal(points[1] == SIZE + 2, hidden)
        assert points[:, ~hidden].min() > 0
        assert points[:, ~hidden].max() < SIZE
        pitch, yaw, _ = np.rad2deg(labels["Pose_Para"][0, :3])
        # A raised head shows the far ear below the jaw.
        if abs(yaw) > 50 and pitch < 15:
            hidden_ears.append(hidden[12 if yaw > 0 else 16])

    assert len(list(aflw_root.glob("image?????.jpg"))) == 40
    assert hidden_ears
    assert all(hidden_ears)


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    arguments = {"layout": "300w-lp", "count": 37, "subjects": 5, "seed": 1, "size": 32}
    seen = []
    render_dataset(tmp_path / "one", workers=1, **arguments)
    render_dataset(tmp_path / "three", workers=3, on_progress=seen.append, **arguments)

    assert files_of(tmp_path / "one") == files_of(tmp_path / "three")
    assert seen == sorted(seen)
    assert seen[-1] == 37


def test_another_seed_has_other_people_and_names(tmp_path):
    for seed in (1, 11):
        render_dataset(
            tmp_path / str(seed),
            layout="300w-lp",
            count=8,
            subjects=8,
            seed=seed,
            size=32,
            workers=1,
        )
    first, second = ({path.stem for path in (tmp_path / s).rglob("*.jpg")} for s in ("1", "11"))

    assert len(first) == 8
    assert not first & second
    people = [draw_identity(np.random.default_rng([seed, 0, 0, 0])) for seed in (1, 11)]
    assert not np.array_equal(people[0].skin, people[1].skin)


def test_a_finished_rendering_is_left_as_it_is(tmp_path):
    arguments = {"layout": "aflw2000", "count": 2, "subjects": 1, "seed": 0, "size": 32}
    render_dataset(tmp_path, workers=1, **arguments)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    calls = []

    render_dataset(tmp_path, workers=1, on_progress=calls.append, **arguments)

    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert calls == []


class InterruptedHereError(Exception):
    pass


def test_an_interrupted_rendering_is_made_whole(tmp_path):
    arguments = {"layout": "300w-lp", "count": 20, "subjects": 4, "seed": 0, "size": 32}
    render_dataset(tmp_path / "whole", workers=1, **arguments)

    def interrupt(_done):
        raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        render_dataset(tmp_path / "torn", workers=1, on_progress=interrupt, **arguments)
    assert len(files_of(tmp_path / "torn")) < len(files_of(tmp_path / "whole"))
    render_dataset(tmp_path / "torn", workers=1, **arguments)

    assert files_of(tmp_path / "torn") == files_of(tmp_path / "whole")


def test_a_folder_with_something_else_is_refused(tmp_path):
    arguments = {"layout": "aflw2000", "count": 2, "subjects": 1, "size": 32, "workers": 1}
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(DataError, match=r"must be empty.*files but no synth\.json"):
        render_dataset(tmp_path, seed=0, **arguments)
    render_dataset(tmp_path / "heads", seed=0, **arguments)
    with pytest.raises(DataError, match="holds another rendering"):
        render_dataset(tmp_path / "heads", seed=1, **arguments)

    assert (tmp_path / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "packed"}, "layout must be one of"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"subjects": 9}, r"subjects must be in \[1, count = 4\], got 9"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"size": 8}, "size must be at least 32 px, got 8"),
        ({"workers": -2}, "workers must not be negative, got -2"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, change, message):
    arguments = {"layout": "300w-lp", "count": 4, "subjects": 2, "seed": 0, "size": 32}
    with pytest.raises(ConfigError, match=message):
        render_dataset(tmp_path / "heads", **(arguments | change))
    assert not (tmp_path / "heads").exists()


def test_the_renderer_does_not_import_torch():
    code = "import sys, hmtl.synth; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("layout", "files"), [("aflw2000", "*.jpg"), ("biwi", "*_rgb.png"), ("eth-xgaze", "*.h5")]
)
def test_the_command_renders_a_data_set(tmp_path, capsys, layout, files):
    out = tmp_path / "heads"
    arguments = ["--layout", layout, "--count", "3", "--subjects", "3", "--size", "32"]

    assert run(["data", "synth", str(out), *arguments, "--workers", "1"]) == 0

    assert f"3 images of 3 subjects in {out}" in capsys.readouterr().out
    assert len(list(Path(out).rglob(files))) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--layout", "packed", "--count", "3", "--subjects", "2"],
        ["--layout", "aflw2000", "--count", "3", "--subjects", "4"],
        ["--layout", "aflw2000", "--subjects", "4"],
    ],
)
def test_the_command_refuses_bad_options_with_code_2(tmp_path, capsys, arguments):
    assert run(["data", "synth", str(tmp_path / "heads"), *arguments]) == 2

    assert capsys.readouterr().err.count("\n") == 1
