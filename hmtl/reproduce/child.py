"""`python -m hmtl.reproduce.child PARENT …`: `hmtl …`, stopped when the process PARENT ends."""

import runpy
import sys

from hmtl.parent import end_with


def main() -> None:
    """Tie this process to its parent and become the command."""
    end_with(int(sys.argv.pop(1)))
    runpy.run_module("hmtl", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
