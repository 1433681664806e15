"""The engine "dali" where DALI is not installed."""

import subprocess
import sys

from loader_data import write_small

WITHOUT = """
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
# A namespace in which no folder has it.
sys.modules["nvidia"] = module_from_spec(ModuleSpec("nvidia", None, is_package=True))
from hmtl.data import Loader, open_dataset
dataset = open_dataset(sys.argv[1])
try:
    Loader(dataset, batch_size=2, engine="dali")
except ValueError as error:
    print(type(error).__name__, error)
print(len(next(iter(Loader(dataset, batch_size=2)))))
"""


def test_one_line_says_how_to_get_it_and_other_engines_do_not_need_it(tmp_path):
    dataset = write_small(tmp_path, count=4)
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT, str(dataset.root)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "ConfigError engine 'dali' needs NVIDIA DALI: pip install 'hmtl[dali-cu13]', or"
        " 'hmtl[dali-cu12]' for a driver of CUDA 12",
        "2",
    ]
