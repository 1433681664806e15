"""`hmtl predict` on videos: frames get the poses that the same pictures get."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
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

from hmtl.assemble import load_network
from hmtl.predict import videos
from hmtl.predict.boxes import whole
from hmtl.predict.rows import PoseFile
from hmtl.predict.shots import Tally, Video
from hmtl.predict.videos import predict_video

pytestmark = pytest.mark.usefixtures("user_cache")

COUNT, HEIGHT, WIDTH = 11, 46, 62


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("predict_videos"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.avi", scenes(COUNT, HEIGHT, WIDTH))


def quiet_tally() -> Tally:
    return Tally(tell=lambda _: None)


def test_frames_get_the_poses_of_the_same_pictures(
    trained: Path, clip: Path, tmp_path: Path
) -> None:
    frames = frames_of(clip)
    assert len(frames) == COUNT
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number:03d}.png")
    box = ["--box", "-3,4.5,40,44"]
    of_pictures = rows_of(predicted(trained, tmp_path, *box).out)
    done = predicted(trained, clip, *box, "--out", tmp_path / "poses.csv")
    assert (done.code, done.err) == (0, "")
    for rows in (rows_of(done.out), rows_of((tmp_path / "poses.csv").read_text())):
        assert list(rows[0]) == ["path", "frame", *EDGES, *ANGLES]
        assert [row["frame"] for row in rows] == [str(number) for number in range(COUNT)]
        assert np.array_equal(numbers(rows, ANGLES), numbers(of_pictures, ANGLES))
        assert np.array_equal(numbers(rows, EDGES), numbers(of_pictures, EDGES))
    assert np.ptp(numbers(of_pictures, ANGLES), axis=0).min() > 1e-3


@pytest.mark.parametrize("every", [2, 5, 100])
def test_every_so_manieth_frame_has_its_own_number(trained: Path, clip: Path, every: int) -> None:
    rows = rows_of(predicted(trained, clip).out)
    some = rows_of(predicted(trained, clip, "--every", every).out)
    assert [row["frame"] for row in some] == [row["frame"] for row in rows[::every]]
    expected = numbers(rows[::every], ANGLES)
    # Batches hold other frames, which the network's sums feel in their last bits.
    assert numbers(some, ANGLES) == pytest.approx(expected, abs=1e-3)
    assert not np.allclose(expected, numbers(rows[1 : 1 + len(expected)], ANGLES), atol=1e-2)


def test_frames_can_have_boxes_of_their_own(trained: Path, clip: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    lines = ["1,2,30,40,", "5,5,20,20,3", "25,5,40,20,3", "70,0,80,20,4"]
    table = [f"{os.path.relpath(clip, tmp_path)},{line}" for line in lines]
    boxes.write_text("\n".join(["path,x0,y0,x1,y1,frame", *table]))
    done = predicted(trained, clip, "--boxes", boxes)
    rows = rows_of(done.out)
    assert [int(row["frame"]) for row in rows] == [0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 10]
    edges = numbers(rows, EDGES).tolist()
    assert edges[2:6] == [[1, 2, 30, 40], [5, 5, 20, 20], [25, 5, 40, 20], [1, 2, 30, 40]]
    assert done.code == 1
    assert f"box 70,0,80,20 lies outside {clip}#4, which is 62 × 46 px" in done.err
    boxes.write_text("\n".join(["path,x0,y0,x1,y1,frame", *table[1:3]]))
    done = predicted(trained, clip, "--boxes", boxes)
    assert done.code == 0
    assert len(rows_of(done.out)) == 2
    assert f"no face on 10 of 11 frames of {clip}, by {boxes}\n" in done.err


def test_pictures_and_videos_come_in_the_order_given(
    trained: Path, clip: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        scene(40, 40).save(tmp_path / name)
    out = tmp_path / "poses.json"
    inputs = [tmp_path / "b.png", clip, tmp_path / "a.png"]
    assert predicted(trained, *inputs, "--every", 6, "--out", out).code == 0
    items = json.loads(out.read_text())
    found = [(item["path"], item["frame"]) for item in items]
    assert found == [("b.png", None), (str(clip), 0), (str(clip), 6), ("a.png", None)]


def test_a_video_that_is_cut_off_is_told_and_what_it_has_is_kept(
    trained: Path, clip: Path, tmp_path: Path
) -> None:
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    (tmp_path / "junk.mp4").write_text("no video")
    (tmp_path / "empty.mkv").write_bytes(b"")
    scene(40, 40).save(tmp_path / "a.png")
    inputs = [tmp_path / name for name in ("cut.avi", "junk.mp4", "empty.mkv", "a.png")]
    done = predicted(trained, *inputs)
    assert done.code == 1
    frames = frames_of(tmp_path / "cut.avi")
    assert 0 < len(frames) < COUNT - 2
    lines = done.err.splitlines()
    assert lines[1] == (
        f"error: {tmp_path}/cut.avi ends after {len(frames)} of {COUNT} frames:"
        " it is damaged or cut off"
    )
    assert f"error: {tmp_path}/junk.mp4 cannot be read as a video" in lines
    assert f"error: {tmp_path}/empty.mkv cannot be read as a video" in lines
    paths = [Path(row["path"]).name for row in rows_of(done.out)]
    assert paths == ["cut.avi"] * len(frames) + ["a.png"]


@pytest.mark.parametrize("name", [b"\xff.avi", b"100%d.avi", b"clip\n.avi"])
def test_videos_may_have_any_name(trained: Path, clip: Path, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(clip.read_bytes())
    out = tmp_path / "poses.csv"
    done = predicted(trained, path, "--out", out, "--draw", tmp_path / "drawn")
    assert done.code == 0
    table = out.read_bytes().decode("utf-8", "surrogateescape")
    assert {row["path"] for row in rows_of(table)} == {os.fsdecode(name)}
    assert len(rows_of(done.out)) == COUNT
    (drawn,) = (tmp_path / "drawn").iterdir()
    assert os.fsencode(drawn.name) == name.replace(b".avi", b".mp4")


def test_few_frames_wait_for_the_network(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "long.avi", scenes(8, HEIGHT, WIDTH) * 8)
    network, config = load_network(trained, torch.device("cpu"))
    located: list[int] = []

    def locate(shot: object) -> np.ndarray:
        located.append(shot.frame)
        return whole(shot)

    def most_ahead() -> int:
        located.clear()
        seen = predict_video(network, config, Video(name="x", path=path), locate, quiet_tally())
        ahead = [len(located) - number for number, _ in enumerate(seen)]
        assert len(ahead) == 64
        return max(ahead)

    assert most_ahead() == config.train.batch_size == 4
    monkeypatch.setattr(videos, "_MOST_BYTES", 2 * HEIGHT * WIDTH * 3)
    assert most_ahead() == 2


def test_nothing_of_a_camera_waits_for_more() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    frames = iter([(0, pixels), (1, None), (2, pixels)])
    camera = Video(name="webcam:0")
    waiting = videos._batches(frames, camera, whole, videos._Count(), most_faces=4)
    names = [[shot.name for shot in some.shots] for some in waiting]
    assert names == [["webcam:0#0"], ["webcam:0#2"]]


def test_without_opencv_its_extra_is_named_before_the_network(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "cv2" else find(n))
    for given in ([clip], ["webcam"], [clip.parent / "clip.avi", "--detector", clip]):
        done = predicted("no-such-run", *given)
        assert done.code == 2
        assert done.err.endswith("needs OpenCV: pip install 'hmtl[video]'\n")
        assert done.err.count("\n") == 1


def test_an_opencv_that_cannot_be_imported_is_told_before_the_network(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "libGL.so.1: cannot open shared object file"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({reason!r} '\\nsee there')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2")
    for given in ([clip], ["webcam"], [clip, "--detector", clip]):
        done = predicted("no-such-run", *given)
        assert done.code == 2
        assert done.err == f"error: OpenCV is installed, but cannot be used: {reason}\n"


@pytest.mark.skipif(Path("/dev/video0").exists(), reason="there is a camera")
def test_a_camera_that_is_not_there_ends_the_job_before_the_network() -> None:
    for given, name in (("webcam", "webcam:0"), ("webcam:7", "webcam:7")):
        done = predicted("no-such-run", given)
        assert done.code == 1
        assert done.err == f"error: there is no camera {name}, or it is in use\n"


def test_pictures_need_no_opencv(trained: Path, tmp_path: Path) -> None:
    scene(40, 40).save(tmp_path / "a.png")
    code = (
        "import sys\nfrom hmtl.cli.main import run\n"
        "assert run(['predict', *sys.argv[1:]]) == 0\n"
        "assert not {'cv2', 'matplotlib'} & sys.modules.keys()"
    )
    command = [sys.executable, "-P", "-c", code, str(trained), str(tmp_path / "a.png")]
    subprocess.run(command, capture_output=True, check=True)


@pytest.mark.parametrize("ends_at", [0, 1, 7])
def test_a_file_is_whole_wherever_a_job_is_ended(
    trained: Path, clip: Path, tmp_path: Path, ends_at: int
) -> None:
    network, config = load_network(trained, torch.device("cpu"))
    video = Video(name="clip.avi", path=clip)
    for suffix in ("csv", "json"):
        out = tmp_path / f"poses.{suffix}"
        all_seen = predict_video(network, config, video, whole, quiet_tally())
        with contextlib.suppress(KeyboardInterrupt), PoseFile(out, has_frames=True) as file:
            for number, seen in enumerate(all_seen):
                if number == ends_at:
                    raise KeyboardInterrupt
                file.add(seen)
        text = out.read_text()
        rows = json.loads(text) if suffix == "json" else rows_of(text)
        assert [int(row["frame"]) for row in rows] == list(range(ends_at))


@pytest.mark.parametrize(
    ("number", "code", "suffix"), [(signal.SIGINT, 130, "csv"), (signal.SIGTERM, 143, "json")]
)
def test_ctrl_c_and_sigterm_keep_what_is_known(
    trained: Path, tmp_path: Path, number: int, code: int, suffix: str
) -> None:
    path = write_video(tmp_path / "long.avi", scenes(10, HEIGHT, WIDTH) * 600)
    out, drawn = tmp_path / f"poses.{suffix}", tmp_path / "drawn"
    arguments = ["predict", trained, path, "--out", out, "--draw", drawn]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hmtl", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 2000):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    printed, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in error
    (stopped,) = [line for line in error.splitlines() if line.startswith("stopped after")]
    text = out.read_text()
    rows = json.loads(text) if suffix == "json" else rows_of(text)
    assert 10 < len(rows) < 6000
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
    assert np.isfinite(numbers(rows, ANGLES)).all()
    assert abs(len(rows) - int(stopped.split()[2].replace(",", ""))) <= 1
    assert abs(len(rows_of(printed)) - len(rows)) <= 1
    assert abs(len(frames_of(drawn / "long.mp4")) - len(rows)) <= 1
