"""Benchmarks, run as `python -m benchmarks.NAME` in the checkout."""

import sys
from pathlib import Path

# `-m` puts the checkout first on the path, where a plain install's `hmtl` has no compiled core.
_CHECKOUT = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0] or ".").resolve() == _CHECKOUT:
    sys.path.append(sys.path.pop(0))
