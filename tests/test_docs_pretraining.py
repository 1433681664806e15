"""docs/pretraining.md against the code; its commands, run as they stand but with less data."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pretraining import (
    PROTOCOLS,
    RESULTS,
    documented_commands,
    settled,
    summarise,
)
from hmtl.preset import load_preset, preset_names
from hmtl.redundancy import lower_bound

CHECKOUT = Path(__file__).resolve().parent.parent

PAGE = (CHECKOUT / "docs" / "pretraining.md").read_text(encoding="utf-8")


def test_every_pretraining_preset_is_told() -> None:
    told = set(re.findall(r"`(pretrain/[\w-]+)`", PAGE))
    assert told == {name for name in preset_names() if name.startswith("pretrain/")}


def test_presets_of_the_commands_exist() -> None:
    for name in re.findall(r"hmtl (?:pretrain|train) ([\w-]+/[\w-]+)", PAGE):
        assert load_preset(name).title


def test_the_bound_of_the_page_is_that_of_the_loss() -> None:
    (bound,) = re.findall(r"([\d.]+) for the paper's batch of 64 and 2048", PAGE)
    assert lower_bound(64, 2048, 0.0051) == pytest.approx(float(bound), abs=0.05)


def test_the_figures_of_the_page_are_those_that_were_measured() -> None:
    found = json.loads(RESULTS.read_text())
    ridge, neighbours = (found["probe"][protocol] for protocol in PROTOCOLS)
    words = " ".join(PAGE.split())
    assert (
        f"took {found['longest_s']:.0f} s at most, and the medians of the probe's errors were"
        f" {ridge['pretrained']:.2f}° by ridge regression and {neighbours['pretrained']:.2f}° by"
        f" neighbours, those of random networks {ridge['random']:.2f}° and"
        f" {neighbours['random']:.2f}°"
    ) in words
    assert found["missed"] == []


def test_commands_are_run_with_a_seed_and_at_a_small_size_if_asked() -> None:
    synth, pretrain, train, evaluate = documented_commands()
    assert settled(synth, 3, quick=False) == synth
    assert settled(evaluate, 3, quick=True) == evaluate
    assert settled(train, 3, quick=False) == [*train, "--set", "train.seed=3"]
    assert "train.epochs=1" in settled(pretrain, 3, quick=True)
    small = settled(synth, 3, quick=True)
    assert len(small) == len(synth)
    assert small[small.index("--count") + 1] == "150"


def chain(seconds: float, ridge: list[float], knn: list[float]) -> dict[str, object]:
    probe = {"probe-ridge": ridge, "probe-knn": knn}
    return {"seconds": {"pretrain": seconds, "train": 1.0}, "probe": probe}


def test_medians_over_the_seeds_decide() -> None:
    chains = [
        chain(100.0, [14.0, 20.0, 12.0], [15.0, 14.0]),
        chain(120.0, [15.0, 13.0], [15.0, 17.0]),
        chain(90.0, [13.0, 14.0], [16.0, 16.0]),
    ]
    summary = summarise(chains)
    assert summary["probe"]["probe-ridge"] == {"random": 14.0, "pretrained": 13.0}
    assert summary["longest_s"] == 121.0
    assert summary["missed"] == ["probe-knn: 16.00° after pre-training, 15.00° before"]
    assert "at most 600 s wanted" in summarise([chain(600.0, [2.0, 1.0], [2.0, 1.0])])["missed"][0]


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_the_other(tmp_path: Path) -> None:
    document = tmp_path / "quick.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.pretraining", "--quick", "--json", str(document)],
        cwd=CHECKOUT,
        check=True,
        timeout=580,
    )
    (found,) = json.loads(document.read_text())["chains"]
    assert list(found["seconds"]) == ["data", "pretrain", "train", "eval"]
    assert all(len(errors) == 2 for errors in found["probe"].values())
    assert found["results"].keys() == {"hopenet", "paper-full"}
    assert found["results"]["hopenet"]["mean"] > 0.0
