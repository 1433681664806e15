"""`hmtl predict --detector`: OpenCV's own YuNet code, on a network of ours that finds red blocks.

It has the inputs and outputs of YuNet: BGR in, and at strides 8, 16 and 32 whether a cell is a face
(cls, obj), its box and five points (bbox, kps).
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from predicting import ANGLES, EDGES, make_run, numbers, predicted, rows_of, write_video

pytestmark = pytest.mark.usefixtures("user_cache")

STRIDES = (8, 16, 32)
# Of a box, in cells of the finest stride: width and height.
WIDTH, HEIGHT = 3.0, 4.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("predict_detector"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yunet") / "yunet.onnx"
    onnx.save(red_finder(), path)
    return path


def red_finder() -> onnx.ModelProto:
    """Return a network that has a face round each cell of 8 × 8 px that is red."""
    nodes, weights, outputs = [], [], []

    def add(kind: str, inputs: list[str], output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def weight(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    for stride in STRIDES:
        # The others never see a face.
        seen = float(stride == STRIDES[0])
        parts = {
            "cls": ([[-1 / 255, 0, 1 / 255]], [0.0]),
            "obj": ([[0, 0, 0]], [seen]),
            "bbox": (np.zeros((4, 3)), [0.5, 0.5, np.log(WIDTH), np.log(HEIGHT)]),
            "kps": (np.zeros((10, 3)), np.zeros(10)),
        }
        cell = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        add("AveragePool", ["input"], f"pool{stride}", **cell)
        for part, (factors, bias) in parts.items():
            name, count = f"{part}_{stride}", len(bias)
            kernel = np.array(factors, np.float32).reshape(count, 3, 1, 1)
            inputs = [f"pool{stride}", weight(f"w_{name}", kernel)]
            inputs.append(weight(f"b_{name}", np.array(bias, np.float32)))
            add("Conv", inputs, f"c_{name}", kernel_shape=[1, 1])
            add("Transpose", [f"c_{name}"], f"t_{name}", perm=[0, 2, 3, 1])
            shape = weight(f"s_{name}", np.array([1, -1, count], np.int64))
            add("Reshape", [f"t_{name}", shape], name)
            shown = [1, None, count]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shown))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "red", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def blocks(height: int, width: int, places: list[tuple[int, int]], side: int = 8) -> np.ndarray:
    """Return noise with red blocks whose upper left corners are at (x, y)."""
    pixels = np.random.default_rng(height).integers(0, 80, (height, width, 3)).astype(np.uint8)
    for x, y in places:
        pixels[y : y + side, x : x + side] = (255, 0, 0)
    return pixels


def square(x: float, y: float, margin: float, cell: float = 8.0) -> list[float]:
    """Return the square round the box that the network has for a block at (x, y)."""
    # The middle of a box is counted from the corner of its cell.
    centre = np.array([x, y]) + 0.5 * cell
    reach = margin * max(WIDTH, HEIGHT) * cell / 2
    return [*(centre - reach), *(centre + reach)]


@pytest.mark.parametrize("margin", [None, 1.0, 2.0])
def test_faces_that_are_found_are_cropped_a_third_wider(
    trained: Path, detector: Path, tmp_path: Path, margin: float | None
) -> None:
    Image.fromarray(blocks(100, 130, [(24, 16), (96, 72)])).save(tmp_path / "two.png")
    Image.fromarray(blocks(61, 47, [(16, 40)])).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    Image.fromarray(blocks(60, 60, [])).save(tmp_path / "none.png")
    options = [] if margin is None else ["--margin", margin]
    done = predicted(trained, tmp_path, "--detector", detector, *options)
    assert done.code == 0
    assert f"no face on {tmp_path}/none.png, by {detector}\n" in done.err
    assert "whole picture" not in done.err
    rows = rows_of(done.out)
    assert [Path(row["path"]).name for row in rows] == ["a.jpg", "two.png", "two.png"]
    wide = 1.3 if margin is None else margin
    expected = [square(16, 40, wide), *sorted([square(24, 16, wide), square(96, 72, wide)])]
    edges = numbers(rows, EDGES)
    assert edges[0] == pytest.approx(expected[0], abs=0.01)
    assert sorted(edges[1:].tolist()) == [pytest.approx(box, abs=0.01) for box in expected[1:]]
    lines = [",".join([Path(row["path"]).name, *(row[name] for name in EDGES)]) for row in rows]
    (tmp_path / "boxes.csv").write_text("\n".join(["path,x0,y0,x1,y1", *lines]))
    listed = rows_of(predicted(trained, tmp_path, "--boxes", tmp_path / "boxes.csv").out)
    assert np.array_equal(numbers(listed, ANGLES), numbers(rows, ANGLES))


def test_large_pictures_are_looked_at_smaller(
    trained: Path, detector: Path, tmp_path: Path
) -> None:
    Image.fromarray(blocks(960, 1280, [(320, 160)], side=16)).save(tmp_path / "large.png")
    rows = rows_of(predicted(trained, tmp_path / "large.png", "--detector", detector).out)
    assert numbers(rows, EDGES)[0] == pytest.approx(square(320, 160, 1.3, cell=16), abs=0.01)


def test_faces_are_found_on_frames(trained: Path, detector: Path, tmp_path: Path) -> None:
    frames = [blocks(96, 128, places) for places in ([(40, 32)], [], [(64, 56)])]
    clip = write_video(tmp_path / "clip.avi", frames)
    done = predicted(trained, clip, "--detector", detector)
    assert done.code == 0
    assert f"no face on 1 of 3 frames of {clip}" in done.err
    rows = rows_of(done.out)
    assert [row["frame"] for row in rows] == ["0", "2"]
    for row, place in zip(rows, [(40, 32), (64, 56)], strict=True):
        assert numbers([row], EDGES)[0] == pytest.approx(square(*place, 1.3), abs=0.01)


def test_a_file_that_is_no_yunet_is_refused_in_a_line(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "junk.onnx").write_bytes(b"no network")
    (tmp_path / "empty.onnx").write_bytes(b"")
    model = red_finder()
    del model.graph.output[3:]
    onnx.save(model, tmp_path / "other.onnx")
    for name in ("junk.onnx", "empty.onnx", "other.onnx"):
        done = predicted("no-such-run", tmp_path / "a.png", "--detector", tmp_path / name)
        assert done.code == 1
        assert f"error: {tmp_path}/{name} is not a YuNet that OpenCV can read" in done.err
        assert done.err.count("\n") == 1
