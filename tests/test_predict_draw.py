"""`hmtl predict --draw`: axes lie where the pose's matrix has them, and inputs stay untouched."""

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import scene
from PIL import Image
from predicting import (
    ANGLES,
    EDGES,
    frames_of,
    make_run,
    numbers,
    predicted,
    rows_of,
    scenes,
    write_video,
)
from trees import files_of

from hmtl import pose
from hmtl.errors import DataError
from hmtl.plots import AXIS_COLORS
from hmtl.predict.drawing import BOX_COLOR, angles_text, axis_tips, draw_faces
from hmtl.predict.drawings import Drawings
from hmtl.predict.shots import Picture, Seen, Shot, Video
from hmtl.synth import draw_identity, render_head

pytestmark = pytest.mark.usefixtures("user_cache")

POSES = [(0, 0, 0), (40, 0, 0), (0, 30, 0), (0, 0, 25), (-35, 20, -50), (80, -60, 120), (170, 5, 3)]
RED, GREEN, BLUE = range(3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("predict_draw"))


def rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))


@pytest.mark.parametrize("angles", POSES)
@pytest.mark.parametrize("box", [(0, 0, 100, 100), (-20.5, 30, 41, 160)])
def test_axes_end_where_the_matrix_has_them(angles: tuple, box: tuple) -> None:
    tips = axis_tips(box, angles)
    matrix = pose.to_matrix(angles)
    x0, y0, x1, y1 = box
    side = min(x1 - x0, y1 - y0)
    assert set(tips) == {RED, GREEN, BLUE}
    for axis, tip in tips.items():
        expected = (np.array([x0 + x1, y0 + y1]) / 2) + 0.42 * side * matrix[:2, axis]
        assert tip == pytest.approx(tuple(expected))
    nearness = [matrix[2, axis] for axis in tips]
    assert nearness == sorted(nearness)


def test_signs_are_those_of_the_conventions() -> None:
    box = (0, 0, 100, 100)
    ahead = axis_tips(box, (0, 0, 0))
    assert ahead[RED] == pytest.approx((92, 50))
    assert ahead[GREEN] == pytest.approx((50, 92))
    assert ahead[BLUE] == pytest.approx((50, 50))
    assert axis_tips(box, (30, 0, 0))[BLUE] == pytest.approx((50 - 21, 50))
    assert axis_tips(box, (0, 30, 0))[BLUE] == pytest.approx((50, 50 - 21))
    assert axis_tips(box, (0, 0, 30))[RED] == pytest.approx((50 + 42 * 3**0.5 / 2, 50 + 21))


@pytest.mark.parametrize("direction", [(60, 40, np.nan), (-20, -70, np.nan)])
def test_of_a_direction_there_is_the_facing_axis_alone(direction: tuple) -> None:
    (tip,) = axis_tips((0, 0, 100, 100), direction, "direction").values()
    yaw, pitch = np.deg2rad(direction[:2])
    assert tip == pytest.approx(
        (50 - 42 * np.cos(pitch) * np.sin(yaw), 50 - 42 * np.sin(pitch)), abs=1e-9
    )
    assert list(axis_tips((0, 0, 100, 100), direction, "direction")) == [BLUE]


def test_the_blue_axis_points_from_the_middle_of_a_rendered_face_to_its_nose() -> None:
    person = draw_identity(np.random.default_rng(1))
    for angles in ((50, 0, 0), (-50, 10, 0), (40, -20, 15), (-35, 25, -30)):
        head = render_head(person, angles, np.random.default_rng(2), size=200)
        low, high = head.points[:, :2].min(axis=0), head.points[:, :2].max(axis=0)
        box = np.array([*low, *high])
        tip = np.array(axis_tips(box, angles)[BLUE]) - (low + high) / 2
        # Points 0 to 16 of 68 are the jaw, 30 is the tip of the nose, 27 its root.
        ears = (head.points[0, :2] + head.points[16, :2]) / 2
        nose = head.points[30, :2] - ears
        assert np.dot(tip, nose) / np.linalg.norm(tip) / np.linalg.norm(nose) > 0.8


@pytest.mark.parametrize("angles", [(35, 20, 10), (-35, -20, -40)])
def test_colours_lie_along_the_axes(angles: tuple) -> None:
    pixels = np.full((200, 220, 3), 90, np.uint8)
    box = np.array([[30, 40, 190, 180]], dtype=np.float32)
    poses = np.array([angles], dtype=np.float32)
    drawn = np.asarray(draw_faces(pixels, box, poses))
    middle = np.array([110.0, 110.0])
    for axis, tip in axis_tips(box[0], angles).items():
        x, y = np.floor(middle + 0.9 * (np.array(tip) - middle)).astype(int)
        assert tuple(drawn[y, x]) == rgb(AXIS_COLORS[axis])
        beyond = np.floor(middle + 1.15 * (np.array(tip) - middle)).astype(int)
        assert tuple(drawn[beyond[1], beyond[0]]) == (90, 90, 90)
    for x, y in ((30, 100), (189, 100), (100, 40), (100, 179)):
        assert tuple(drawn[y, x]) == rgb(BOX_COLOR)
    for x, y in ((29, 100), (190, 100), (100, 180)):
        assert tuple(drawn[y, x]) == (90, 90, 90)
    # The angles are written above the box, and nowhere else.
    assert (drawn[20:39, 30:190] != 90).any()
    assert (drawn[181:] == 90).all()


def test_faces_at_the_edge_and_beyond_can_be_drawn() -> None:
    pixels = np.zeros((40, 30, 3), np.uint8)
    boxes = np.array([[-50, -60, 10, 8], [25, 35, 90, 90], [3, 3, 3.5, 3.25]], dtype=np.float32)
    poses = np.array([[1, 2, 3], [4, 5, np.nan], [170, 80, -170]], dtype=np.float32)
    assert draw_faces(pixels, boxes, poses).size == (30, 40)
    assert angles_text(poses[1]) == "yaw 4.0°  pitch 5.0°"
    assert angles_text(poses[2]) == "yaw 170.0°  pitch 80.0°  roll -170.0°"


def test_pictures_are_drawn_on_copies_under_their_names(trained: Path, tmp_path: Path) -> None:
    names = ["one/a.jpg", "one/sub/a.PNG", "two/a.jpg", "two/b.jpeg"]
    for seed, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        scene(150, 140, seed).save(tmp_path / name)
    before = files_of(tmp_path)
    out = tmp_path / "drawn"
    inputs = [tmp_path / "one", tmp_path / "two", tmp_path / "one" / "sub" / "a.PNG"]
    done = predicted(trained, *inputs, "--box", "10,60,100,140", "--draw", out)
    assert done.code == 0
    after = files_of(tmp_path)
    assert {path: after[path] for path in before} == before
    drawn = {str(path.relative_to("drawn")) for path in after.keys() - before.keys()}
    assert drawn == {"a.jpg", "a-2.jpg", "sub/a.PNG", "b.jpeg"}
    pairs = {"a.jpg": "one/a.jpg", "a-2.jpg": "two/a.jpg", "sub/a.PNG": "one/sub/a.PNG"}
    rows = {row["path"]: row for row in rows_of(done.out)}
    for name, source in pairs.items():
        picture = np.asarray(Image.open(out / name)).astype(int)
        plain = np.asarray(Image.open(tmp_path / source).convert("RGB")).astype(int)
        row = rows[str(tmp_path / source)]
        expected = draw_faces(plain.astype(np.uint8), numbers([row], EDGES), numbers([row], ANGLES))
        difference = np.abs(picture - np.asarray(expected))
        assert difference.max() == 0 if name.endswith("PNG") else difference.mean() < 3
        # What is away from the marks is the picture.
        difference = np.abs(picture - np.asarray(expected))
        assert difference.max() == 0 if name.endswith("PNG") else difference.mean() < 3
        # What is away from the marks is the picture.
        assert np.abs(picture[:40, 110:] - plain[:40, 110:]).mean() < 3
        assert (picture[60:, 10:100] != plain[60:, 10:100]).any()


def test_all_faces_of_a_picture_are_drawn_on_one_copy(trained: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    lines = [f"a.png,{20 * number},30,{20 * number + 18},90" for number in range(9)]
    (tmp_path / "boxes.csv").write_text("\n".join(["path,x0,y0,x1,y1", *lines]))
    arguments = ["--boxes", tmp_path / "boxes.csv", "--draw", tmp_path / "drawn"]
    assert predicted(trained, tmp_path / "a.png", *arguments).code == 0
    (drawn,) = (tmp_path / "drawn").iterdir()
    row = np.asarray(Image.open(drawn))[85]
    assert [tuple(row[20 * number + 17]) for number in range(9)] == [rgb(BOX_COLOR)] * 9


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131)])
def test_videos_are_drawn_as_videos(trained: Path, tmp_path: Path, height: int, width: int) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.avi", scenes(10, height, width), fps=20.0)
    before = files_of(tmp_path)
    inputs = [tmp_path / "one" / "clip.avi", tmp_path / "two" / "clip.avi"]
    arguments = ["--every", 2, "--box", "10,50,60,90", "--draw", tmp_path / "drawn"]
    assert predicted(trained, *inputs, *arguments).code == 0
    after = files_of(tmp_path)
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} == {"clip.mp4", "clip-2.mp4"}
    sources = frames_of(inputs[0])[::2]
    for name in ("clip.mp4", "clip-2.mp4"):
        path = tmp_path / "drawn" / name
        capture = cv2.VideoCapture(str(path))
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
        frames = frames_of(path)
        assert len(frames) == 5
        assert frames[0].shape == (height // 2 * 2, width // 2 * 2, 3)
        for frame, source in zip(frames, sources, strict=True):
            # Away from the marks; the codec loses some.
            away = (slice(0, 30), slice(70, 126))
            assert np.abs(frame[away].astype(int) - source[away]).mean() < 12
            assert tuple(frame[70, 10] > 180) == (True, True, True)


def test_a_drawing_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    picture = Picture(name="a.png", path=tmp_path / "a.png", below="file/a.png")
    pixels = np.zeros((20, 20, 3), np.uint8)
    shot = Shot(source=picture, frame=None, size=(20, 20), pixels=lambda: pixels)
    box, angles = np.array([[0, 0, 9, 9]], np.float32), np.zeros((1, 3), np.float32)
    seen = Seen(shot=shot, boxes=box, poses=angles, total=1, done=1)
    with pytest.raises(DataError, match=r"cannot write .*file/a.png: Not a directory|File exists"):
        Drawings(tmp_path, "euler").add(seen)


def frame_of_noise(number: int) -> Seen:
    pixels = np.random.default_rng(number).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    video = Video(name="clip.avi", path=Path("clip.avi").absolute())
    shot = Shot(source=video, frame=number, size=(96, 128), pixels=lambda: pixels)
    box, angles = np.array([[0, 0, 90, 90]], np.float32), np.zeros((1, 3), np.float32)
    return Seen(shot=shot, boxes=box, poses=angles, total=20, done=number + 1)


def test_a_video_that_a_full_disk_has_cut_off_is_told(tmp_path: Path) -> None:
    drawings = Drawings(tmp_path, "euler")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal: writing beyond it fails, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        for number in range(20):
            drawings.add(frame_of_noise(number))
        with pytest.raises(DataError, match=r"cannot write the video .*clip.mp4: .* of 20 frames"):
            drawings.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    drawings.close()


def test_a_video_that_is_gone_in_the_end_is_told(tmp_path: Path) -> None:
    drawings = Drawings(tmp_path, "euler")
    drawings.add(frame_of_noise(0))
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(DataError, match=r"clip.mp4: it has 0 of 1 frames"):
        drawings.close()


def test_a_picture_in_its_folder_is_never_drawn_over(tmp_path: Path) -> None:
    scene(40, 40).save(tmp_path / "a.png")
    before = files_of(tmp_path)
    for folder in (tmp_path, tmp_path / "a.png"):
        assert predicted("no-such-run", tmp_path / "a.png", "--draw", folder).code == 2
        assert files_of(tmp_path) == before
