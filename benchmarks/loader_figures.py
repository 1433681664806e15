"""Every figure of the loader, one benchmark after the other; keeps their documents.

python -m benchmarks.loader_figures [NAME]… [--quick] [--out DIR]

Takes about ten minutes on two cores, which should do nothing else. Then
`python -m benchmarks.table` puts the figures into the README. Each runs in a process of its own;
one that fails is named in the end, and the others are kept.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.table import CHECKOUT, RESULTS

NAMES = ("loader", "barlow", "packed", "plain", "chunks", "normalize", "threads", "memory")


def measure(name: str, out: Path, *, quick: bool) -> bool:
    """Run one benchmark; return whether it came to its end."""
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", "--json", str(out)]
    started = time.monotonic()
    done = subprocess.run([*command, *["--quick"] * quick], cwd=CHECKOUT, check=False)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    """Run those that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"some of: {' '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="see only whether they work")
    parser.add_argument("--out", type=Path, default=CHECKOUT / RESULTS, metavar="DIR")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"unknown: {' '.join(sorted(unknown))}, expected some of {' '.join(NAMES)}")
    out = given.out.absolute()
    failed = [
        name
        for name in given.names or NAMES
        if not measure(name, out / f"{name}.json", quick=given.quick)
    ]
    if failed:
        print(f"failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
