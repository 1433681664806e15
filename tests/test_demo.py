"""The demo's whole way, on a fiftieth of its data."""

import json

import pytest

from hmtl import demo
from hmtl.errors import DataError


@pytest.mark.slow
def test_the_demo_leaves_results_and_a_report_and_renders_once(tmp_path):
    said: list[str] = []
    first = demo.run_demo(tmp_path, say=said.append, workers=1, scale=0.02)
    assert [row.name for row in first.rows] == ["training mean", "SL", "HMTL 3x3 puzzling"]
    assert first.rows[0].gain == 1.0
    assert 0.0 <= first.puzzle_accuracy <= 1.0
    assert first.chance == pytest.approx(1 / 9)
    results = json.loads((tmp_path / "results.json").read_text())
    for row, result in zip(first.rows, results, strict=True):
        assert result["name"] == row.name
        assert set(result["mae"]) == {"yaw", "pitch", "roll", "mean"}
        assert result["geodesic"] > 0
    page = first.report.read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "HMTL 3x3 puzzling" in page
    assert "pretext.puzzled_fraction = 0.5" in page

    again: list[str] = []
    second = demo.run_demo(tmp_path, say=again.append, workers=1, scale=0.02)
    assert not any("rendered" in line for line in again)
    assert any("rendered" in line for line in said)
    assert [row.result["mae"] for row in second.rows] == [row.result["mae"] for row in first.rows]


def test_a_folder_that_holds_something_else_is_not_touched(tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="train"):
        demo.run_demo(tmp_path, say=[].append, workers=1, scale=0.02)
    assert (tmp_path / "data" / "train" / "thesis.tex").read_text() == "years of work"
