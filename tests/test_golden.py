"""What was rendered and drawn once is rendered and drawn today, to the last byte."""

from pathlib import Path

import numpy as np
import pytest
from golden import generate

KEPT = dict(np.load(generate.FILE))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> generate.Arrays:
    return generate.goldens(tmp_path_factory.mktemp("golden"))


def test_every_golden_is_made_and_kept(made: generate.Arrays) -> None:
    assert sorted(made) == sorted(KEPT)
    assert Path(generate.FILE).stat().st_size < 100_000


@pytest.mark.parametrize("key", sorted(KEPT))
def test_bytes_are_those_of_the_golden(made: generate.Arrays, key: str) -> None:
    assert made[key].dtype == KEPT[key].dtype
    assert made[key].tobytes() == KEPT[key].tobytes()
