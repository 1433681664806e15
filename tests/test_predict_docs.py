"""docs/predict.md, run as it stands."""

import contextlib
import io
import re
from pathlib import Path

import click
import numpy as np
import pytest
from predicting import ANGLES, make_run, numbers, predicted, rows_of, scenes, write_video
from test_docs import blocks, commands, page, write_faces

from hmtl.cli.main import run
from hmtl.cli.predict import predict
from hmtl.data import open_dataset


def test_the_page_has_all_options_of_the_command_and_no_others() -> None:
    known = {option for parameter in predict.params for option in parameter.opts}
    shown = page("predict.md")
    told = set(re.findall(r"(?<![\w-])--[a-z]+", shown))
    assert told == {name for name in known if name.startswith("--")}
    for words in commands(shown):
        assert words[0] in ("predict", "data")


def test_the_command_explains_itself() -> None:
    text = predict.get_help(click.Context(predict, info_name="hmtl predict"))
    assert "Example: hmtl predict" in text
    assert "RUN INPUT..." in text


@pytest.mark.usefixtures("user_cache")
def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_faces(tmp_path / "faces")
    make_run(tmp_path)
    write_video(tmp_path / "clip.mp4", scenes(12, 96, 96), codec="mp4v")
    monkeypatch.chdir(tmp_path)
    outputs = []
    for language, content in blocks(page("predict.md")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if language == "python":
                exec(compile(content, "predict.md", "exec"), {})
            else:
                for words in commands(f"```bash\n{content}```\n"):
                    assert run(words) == 0, words
        outputs.append(printed.getvalue())
    assert len(rows_of(outputs[0])) == 1
    assert len(rows_of(Path("poses.csv").read_text())) == 48
    drawn = sorted(path.name for path in Path("drawn").iterdir())
    assert (len(drawn), drawn[0], drawn[-1]) == (13, "000.jpg", "clip.mp4")
    assert open_dataset("faces/dora").layout == "csv"
    rows = rows_of(Path("clip.csv").read_text())
    assert [row["frame"] for row in rows] == ["0", "5", "10"]
    of_python = np.array(re.findall(r"-?\d+\.\d*", outputs[-1]), dtype=np.float32).reshape(3, 3)
    done = predicted("run", "faces/ann/001.png", "--box=12,8,88,84")
    expected = numbers(rows_of(done.out), ANGLES)[0]
    assert of_python[0] == pytest.approx(expected, abs=0.06)
