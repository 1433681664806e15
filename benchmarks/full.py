"""What takes too long for every change: the demo, and ResNet50 on real images.

    HMTL_DATA=… python -m benchmarks.full [demo] [overfit]        (both unless named)

runs the commands that users run, checks what they must reach, and writes its part of
benchmarks/results/full.json, and demo.json. Exits with 1 where something is missed.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

# Trained at this rate, the demo must end within five minutes; elsewhere in proportion.
DEMO_LIMIT_S, DEMO_IMAGES_PER_S = 300.0, 160.0
DEMO_LIMIT_BYTES = 4 * 2**30
MIN_GAIN = {"SL": 2.2, "HMTL 3x3 puzzling": 1.4}
MIN_PUZZLE_ACCURACY = 0.15
OVERFIT_LIMIT_DEG = 3.0
OVERFIT_SETTINGS = (
    "data.augmentation=none",
    "train.batch_size=10",
    "train.epochs=150",
    "train.milestones=[]",
    "train.log_steps=10",
)


def hmtl(*arguments: str | Path) -> str:
    """Run the command line, echoing what it says, and return that."""
    command = [sys.executable, "-m", "hmtl", *map(str, arguments)]
    print("$ hmtl", *map(str, arguments), flush=True)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.sep) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"hmtl {arguments[0]} ended with exit code {process.returncode}")
    return "".join(lines)


def run_demo(work: Path) -> dict[str, Any]:
    started = time.monotonic()
    hmtl("demo", "--out", work / "demo")
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    rows = json.loads((work / "demo" / "results.json").read_text())
    log = (work / "demo" / "sl" / "log.jsonl").read_text().splitlines()
    rates = [json.loads(line)["images_per_s"] for line in log if '"event": "epoch"' in line]
    rate = sorted(rates)[len(rates) // 2]
    mean = {row["name"]: row["mae"]["mean"] for row in rows}
    gains = {name: mean["training mean"] / value for name, value in mean.items()}
    accuracy = next(row["puzzle_accuracy"] for row in rows if "puzzle_accuracy" in row)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo.json").write_text(json.dumps(rows, indent=2) + "\n")
    return {
        "seconds": round(seconds, 1),
        "images_per_s": rate,
        "limit_s": round(DEMO_LIMIT_S * max(1.0, DEMO_IMAGES_PER_S / rate), 1),
        "peak_bytes": peak,
        "gains": gains,
        "puzzle_accuracy": accuracy,
    }


def missed_by_demo(figures: dict[str, Any]) -> list[str]:
    missed = [
        f"demo: {name} beats the mean {figures['gains'][name]:.2f}-fold, at least {least} wanted"
        for name, least in MIN_GAIN.items()
        if figures["gains"][name] < least
    ]
    if figures["puzzle_accuracy"] < MIN_PUZZLE_ACCURACY:
        missed.append(f"demo: puzzle accuracy {figures['puzzle_accuracy']:.3f}")
    if figures["seconds"] > figures["limit_s"]:
        missed.append(f"demo: {figures['seconds']} s, at most {figures['limit_s']} s wanted")
    if figures["peak_bytes"] > DEMO_LIMIT_BYTES:
        missed.append(f"demo: {figures['peak_bytes'] / 2**30:.1f} GiB, at most 4 wanted")
    return missed


def overfit(preset: str, data: Path, work: Path) -> dict[str, Any]:
    """Train on the ten real 300W-LP images; evaluate the saved weights on them and AFLW2000."""
    run = work / preset.replace("/", "-")
    started = time.monotonic()
    settings = [word for setting in OVERFIT_SETTINGS for word in ("--set", setting)]
    hmtl("train", preset, "--data", data / "300W_LP", "--out", run, *settings)
    seconds = time.monotonic() - started
    hmtl("eval", run, "--data", data / "300W_LP")
    hmtl("eval", run, "--data", data / "AFLW2000")
    entries = json.loads((run / "results.json").read_text())
    return {
        "preset": preset,
        "settings": list(OVERFIT_SETTINGS),
        "seconds": round(seconds, 1),
        "results": {f"{entry['dataset']} {entry['protocol']}": entry["mae"] for entry in entries},
    }


def missed_by_overfit(figures: dict[str, Any]) -> list[str]:
    fitted = figures["runs"][0]["results"]["300W_LP hopenet"]["mean"]
    if fitted < OVERFIT_LIMIT_DEG:
        return []
    return [f"SL on ten images: {fitted:.2f}°, below {OVERFIT_LIMIT_DEG}° wanted"]


def run_overfit(work: Path) -> dict[str, Any]:
    # A copy, so that no index is written beside the original.
    data = shutil.copytree(os.environ["HMTL_DATA"], work / "data")
    presets = ("table2/sl-aug1", "table2/hmtl-puzzle3-aug1")
    return {"runs": [overfit(preset, data, work) for preset in presets]}


PARTS = {"demo": (run_demo, missed_by_demo), "overfit": (run_overfit, missed_by_overfit)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    names = parser.parse_args().parts or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"unknown part {unknown[0]}, expected one of {list(PARTS)}")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    ).stdout.strip()
    path = RESULTS / "full.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    missed = []
    for name in names:
        run, missed_by = PARTS[name]
        made = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit,
            "cores": os.cpu_count(),
        }
        with tempfile.TemporaryDirectory() as folder:
            found = run(Path(folder))
        found["missed"] = missed_by(found)
        missed += found["missed"]
        document[name] = made | found
        path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    if missed:
        raise SystemExit("\n".join(missed))


if __name__ == "__main__":
    main()
