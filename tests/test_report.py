"""Reports and plots: what is drawn where, and a page that stands alone."""

import io

import numpy as np
import pytest
from PIL import Image

from hmtl import plots
from hmtl.report import Section, Table, render_report


def test_a_report_holds_its_tables_and_pictures_and_escapes_text():
    page = render_report(
        "a <title>",
        "lead",
        [
            Section(heading="errors", table=Table(header=["", "yaw"], rows=[["SL & co", "1.5"]])),
            Section(heading="curve", png=b"\x89PNG", note="x < y"),
        ],
    )
    assert "<h1>a &lt;title&gt;</h1>" in page
    assert "<td>SL &amp; co</td><td>1.5</td>" in page
    assert "data:image/png;base64,iVBORw==" in page
    assert "x &lt; y" in page
    assert "http" not in page


def test_a_figure_becomes_a_png():
    images = np.full((3, 16, 16, 3), 200, dtype=np.uint8)
    data = plots.png(plots.image_sheet(images, columns=2, captions=["a", "b", "c"]))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 100


@pytest.mark.parametrize(
    ("pose", "axis", "direction"),
    [
        ((40.0, 0.0, 0.0), 2, (-1, 0)),  # nose to the left
        ((0.0, 30.0, 0.0), 2, (0, -1)),  # nose up, rows count downwards
        ((0.0, 0.0, 30.0), 0, (1, 1)),  # the eye line falls to the right
    ],
)
def test_axes_point_where_the_head_does(pose, axis, direction):
    images = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    figure = plots.pose_sheet(images, {"label": np.array([pose])}, columns=1)
    (x0, x1), (y0, y1) = (figure.axes[0].lines[axis].get_data()[i] for i in range(2))
    drawn = np.array([x1 - x0, y1 - y0])
    assert np.sign(np.round(drawn, 6)).tolist() == list(direction)


def test_curves_show_every_run():
    entries = [
        {"event": "step", "step": 10, "pose": 5.0},
        {"event": "eval", "step": 10, "protocol": "hopenet", "mae": {"mean": 7.0}},
        {"event": "eval", "step": 10, "protocol": "paper-full", "mae": {"mean": 9.0}},
    ]
    figure = plots.training_curves({"SL": entries, "HMTL": entries})
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["SL", "HMTL"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [7.0]
