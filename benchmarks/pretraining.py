"""Barlow Twins, then HMTL from it, then evaluation: the commands of docs/pretraining.md, timed.

    python -m benchmarks.pretraining [--seeds N] [--quick]

runs them in a folder of its own, for each seed, and writes benchmarks/results/pretraining.json.
Exits with 1 where the features know no more of the pose than those of a random network (median over
the seeds), or where it takes too long. About seven minutes a seed on two quiet cores; `--quick`
shows only that it works, and checks and keeps nothing.
"""

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

PAGE = Path(__file__).parent.parent / "docs" / "pretraining.md"
RESULTS = Path(__file__).parent / "results" / "pretraining.json"
LIMIT_S = 600.0
PROTOCOLS = ("probe-ridge", "probe-knn")
# What a quick run does with less of.
QUICK_RENDERING = {"--count": "150", "--subjects": "12"}
QUICK_SETTINGS = ("train.epochs=1", "data.size=32", "train.log_steps=2")


def documented_commands() -> list[list[str]]:
    """Return the words of the page's commands, without `hmtl`."""
    block = re.search(r"<!-- chain -->\n```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert block is not None
    commands = [shlex.split(line) for line in block[1].splitlines()]
    assert all(command[0] == "hmtl" for command in commands)
    return [command[1:] for command in commands]


def settled(command: list[str], seed: int, *, quick: bool) -> list[str]:
    """Return a command of the page for a seed, at the page's size or a small one."""
    if command[0] in ("pretrain", "train"):
        settings = (f"train.seed={seed}", *(QUICK_SETTINGS if quick else ()))
        return [*command, *(word for setting in settings for word in ("--set", setting))]
    if command[:2] == ["data", "synth"] and quick:
        pairs = zip(command, ["", *command], strict=False)
        return [QUICK_RENDERING.get(before, word) for word, before in pairs]
    return command


def timed(command: list[str], folder: Path) -> float:
    """Run `hmtl` in a folder, echoing what it says, and return the seconds it took."""
    print("$ hmtl", shlex.join(command), flush=True)
    started = time.monotonic()
    subprocess.run([sys.executable, "-P", "-m", "hmtl", *command], cwd=folder, check=True)
    return round(time.monotonic() - started, 1)


def probed(run: Path) -> dict[str, list[float]]:
    """Return each regression's errors in degrees, before the first update and after every epoch."""
    log = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    evals = [entry for entry in log if entry["event"] == "eval"]
    return {
        protocol: [entry["mae"]["mean"] for entry in evals if entry["protocol"] == protocol]
        for protocol in PROTOCOLS
    }


def run_chain(seed: int, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Run the page's commands and return their seconds, and the errors in degrees."""
    seconds = {
        command[0]: timed(settled(command, seed, quick=quick), folder)
        for command in documented_commands()
    }
    results = json.loads((folder / "hmtl" / "results.json").read_text(encoding="utf-8"))
    return {
        "seed": seed,
        "seconds": seconds,
        "probe": probed(folder / "barlow"),
        "results": {entry["protocol"]: entry["mae"] for entry in results},
    }


def summarise(chains: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians over the seeds, and what of the wanted is missed."""
    probe = {
        protocol: {
            "random": statistics.median(chain["probe"][protocol][0] for chain in chains),
            "pretrained": statistics.median(chain["probe"][protocol][-1] for chain in chains),
        }
        for protocol in PROTOCOLS
    }
    seconds = max(sum(chain["seconds"].values()) for chain in chains)
    missed = [
        f"{protocol}: {found['pretrained']:.2f}° after pre-training, {found['random']:.2f}° before"
        for protocol, found in probe.items()
        if found["pretrained"] >= found["random"]
    ]
    if seconds > LIMIT_S:
        missed.append(f"a chain took {seconds:.0f} s, at most {LIMIT_S:.0f} s wanted")
    return {"probe": probe, "longest_s": round(seconds, 1), "missed": missed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed on little data")
    parser.add_argument("--json", type=Path, help="where to write; nothing is kept of a quick run")
    arguments = parser.parse_args()
    where = machine()
    chains = []
    for seed in range(1 if arguments.quick else arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            chains.append(run_chain(seed, Path(folder), quick=arguments.quick))
    document = {**where, "chains": chains, **summarise(chains)}
    text = json.dumps(document, indent=2) + "\n"
    print(text)
    target = arguments.json or (None if arguments.quick else RESULTS)
    if target is not None:
        target.write_text(text, encoding="utf-8")
    if document["missed"] and not arguments.quick:
        raise SystemExit("\n".join(document["missed"]))


if __name__ == "__main__":
    main()
