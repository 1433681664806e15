"""The presets of the paper's tables against the tables, copied here from its text."""

import dataclasses
import math
from collections.abc import Mapping

import pytest

from hmtl.config import Config
from hmtl.preset import Preset, Source
from hmtl.reproduce.tables import TITLES, load_rows, reported, row_name

ANGLES = ("yaw", "pitch", "roll")

# method | flag | yaw | pitch | average
TABLE1 = """
HMTL puzzling-rotation 2×2|1|5.075|8.725|6.9
HMTL puzzling-rotation 2×2|2|5.243|7.921|6.582
HMTL puzzling-rotation 2×2|3|5.243|7.921|6.582
HMTL puzzling-rotation 2×2|4|5.243|7.921|6.582
HMTL rotation 2×2|1|4.985|10.072|7.528
HMTL rotation 2×2|2|4.373|9.623|6.998
HMTL rotation 2×2|3|4.757|7.337|6.047
HMTL rotation 2×2|4|4.701|7.712|6.207
HMTL puzzling 2×2|1|6.478|9.575|8.026
HMTL puzzling 2×2|2|5.667|7.13|6.398
HMTL puzzling 2×2|3|4.272|6.852|5.563
HMTL puzzling 2×2|4|4.347|7.738|6.043
SL|-|5.338|6.852|6.095
"""

# method (* reduced, † bins of 1°) | augmentation | weights | yaw | pitch | roll | average
TABLE2 = """
SL|1|-|6.679|8.219|7.067|7.322
SL*|1|-|5.736|5.907|4.89|5.511
SL|1|ETH-XGaze SSL 2×2 puzzling|6.437|8|6.703|7.047
SL|1|ETH-XGaze SSL 2×2 rotation|5.921|8.086|7.027|7.011
SL*|1|ETH-XGaze SSL 2×2 rotation|5.86|5.541|4.113|5.171
SL|1|ImageNet|6.001|8.190|6.967|7.053
SL*|1|ImageNet|5.973|5.488|4.191|5.217
SL|2|-|5.278|7.987|6.638|6.634
SL*|2|-|6.221|5.569|3.984|5.258
SL*|2|ETH-XGaze SSL 2×2 rotation|5.355|5.432|4.175|4.987
HMTL 2×2 puzzling|1|-|5.421|8.464|7.081|6.989
HMTL 2×2 puzzling*|1|-|4.22|6.065|5.007|5.094
HMTL 3×3 puzzling|1|-|4.289|8.408|7.009|6.569
HMTL 3×3 puzzling*|1|-|4.175|5.8|4.951|4.975
HMTL 3×3 puzzling|1|ETH-XGaze SSL 2×2 puzzling|4.396|8.402|7.009|6.602
HMTL 3×3 puzzling|1|ETH-XGaze SSL 2×2 rotation|4.223|8.38|6.839|6.48
HMTL 3×3 puzzling*|1|ETH-XGaze SSL 2×2 rotation|3.855|6.065|4.377|4.766
HMTL 3×3 puzzling|1|ImageNet|4.507|8.344|6.773|6.541
HMTL 3×3 puzzling*|1|ImageNet|4.235|6.2|4.231|4.889
HMTL 3×3 puzzling|2|-|3.742|7.796|6.496|6.011
HMTL 3×3 puzzling*|2|-|3.874|5.929|4.416|4.74
HMTL 3×3 puzzling*†|2|-|3.967|5.942|4.191|4.7
HMTL 3×3 puzzling*|2|ETH-XGaze SSL 2×2 rotation|3.682|5.919|4.316|4.639
HMTL 2×2 rotation|1|-|6.96|8.221|7.2|7.461
HMTL 2×2 rotation*|1|-|5.998|5.604|4.31|5.304
HMTL 2×2 rotation|1|ETH-XGaze SSL 2×2 puzzling|6.63|7.961|6.92|7.17
HMTL 2×2 rotation*|1|ETH-XGaze SSL 2×2 puzzling|5.77|5.657|4.104|5.177
HMTL 2×2 puzzling-rotation|1|-|5.13|8.553|7.41|7.031
HMTL 2×2 puzzling-rotation*|1|-|5.554|6.211|5.312|5.692
"""

# method | weights | yaw | pitch | roll | average
TABLE3 = """
SL|-|4.322|5.94|3.113|4.458
SL|ImageNet|4.379|5.636|3.002|4.339
SL|ETH-XGaze SSL 2×2 rotation|4.298|5.891|2.782|4.323
HMTL 2×2 rotation|-|4.356|5.801|3.27|4.476
HMTL 3×3 puzzling|-|4.123|5.317|3.059|4.166
HMTL 3×3 puzzling|ImageNet|3.988|4.952|3.01|3.983
HMTL 3×3 puzzling|ETH-XGaze SSL 2×2 rotation|3.864|4.641|2.962|3.822
"""

# method | encoder pre-training | yaw | pitch | roll | average
TABLE4 = """
HopeNet|-|6.221|5.569|3.984|5.258
HopeNet (LE)|2×2 Rotation|17.198|11.694|11.775|13.556
HopeNet (LE)|2×2 Puzzling|17.408|11.453|11.465|13.442
HopeNet (LE)|3×3 Puzzling|14.509|11.132|10.657|12.099
HopeNet (LE)|BT|9.1|11.753|10.820|10.558
HopeNet (LE)|BT*|10.136|9.477|9.873|9.799
HopeNet (FT)|BT|4.790|5.34|3.677|4.603
HopeNet (FT)|BT*|4.56|5.289|3.596|4.481
HMTL|-|3.874|5.929|4.416|4.74
HMTL (FT)|BT|3.406|5.718|4.103|4.409
HMTL (FT)|BT*|3.351|5.633|3.829|4.271
"""

# method | yaw | pitch | roll | average
TABLE5 = """
SL|6.221|5.569|3.984|5.258
HMTL 3×3 puzzling w/o SSHs|4.589|6.223|4.465|5.092
HMTL 3×3 puzzling|3.874|5.929|4.416|4.74
"""

# method | subjects | yaw | pitch | average
TABLE6 = """
SL|1|4.618|6.048|5.333
SL|2|4.69|4.83|4.76
SL|3|3.738|4.130|3.934
SL|4|3.264|4.392|3.828
HMTL 2×2 puzzling|1|3.739|6.493|5.116
HMTL 2×2 puzzling|2|3.495|5.235|4.365
HMTL 2×2 puzzling|3|3.023|4.207|3.615
HMTL 2×2 puzzling|4|3.12|4.086|3.603
HMTL 2×2 puzzling w/o SSHs|1|6.6|8.332|7.466
HMTL 2×2 puzzling w/o SSHs|2|4.746|5.96|5.353
HMTL 2×2 puzzling w/o SSHs|3|3.490|4.916|4.203
HMTL 2×2 puzzling w/o SSHs|4|3.705|4.498|4.101
"""

METHODS = {
    "SL": "sl",
    "HopeNet": "sl",
    "HMTL": "hmtl-puzzle3",
    "HMTL 2×2 puzzling": "hmtl-puzzle2",
    "HMTL puzzling 2×2": "hmtl-puzzle2",
    "HMTL 3×3 puzzling": "hmtl-puzzle3",
    "HMTL 2×2 rotation": "hmtl-rotation2",
    "HMTL rotation 2×2": "hmtl-rotation2",
    "HMTL 2×2 puzzling-rotation": "hmtl-puzzle-rotation2",
    "HMTL puzzling-rotation 2×2": "hmtl-puzzle-rotation2",
    "HMTL 3×3 puzzling w/o SSHs": "hmtl-puzzle3-without-heads",
    "HMTL 2×2 puzzling w/o SSHs": "hmtl-puzzle2-without-heads",
}
WEIGHTS = {
    "-": "",
    "ImageNet": "-imagenet",
    "ETH-XGaze SSL 2×2 puzzling": "-from-puzzle2",
    "ETH-XGaze SSL 2×2 rotation": "-from-rotation2",
}
# Of Table 4, where HMTL's rows are called by their pre-training alone.
ENCODERS = {
    "-": "",
    "2×2 Rotation": "rotation2",
    "2×2 Puzzling": "puzzle2",
    "3×3 Puzzling": "puzzle3",
    "BT": "barlow",
    "BT*": "barlow-puzzle3",
}

Numbers = dict[str, float]


def numbers(cells: list[str]) -> Numbers:
    *angles, mean = map(float, cells)
    return {**dict(zip(ANGLES, angles, strict=False)), "mean": mean}


def lines(text: str) -> list[list[str]]:
    return [line.split("|") for line in text.strip().split("\n")]


def table4_name(method: str, encoder: str) -> str:
    arm, _, mode = method.partition(" ")
    start = ENCODERS[encoder]
    if arm == "HMTL":
        return start or "hmtl-puzzle3"
    return "-".join(filter(None, ("sl", "linear" if mode == "(LE)" else "", start)))


def papers() -> dict[str, dict[tuple[str, str], Numbers]]:
    """Return the paper's numbers by table, and by row and protocol."""
    tables: dict[str, dict[tuple[str, str], Numbers]] = {name: {} for name in TITLES}
    for method, flag, *cells in lines(TABLE1):
        suffix = "" if flag == "-" else f"-flag{flag}"
        tables["table1"][METHODS[method] + suffix, "paper-full"] = numbers(cells)
    for method, level, start, *cells in lines(TABLE2):
        name = METHODS[method.rstrip("*†")] + f"-aug{level}" + WEIGHTS[start]
        name += "-bin1" if "†" in method else ""
        protocol = "hopenet" if "*" in method else "paper-full"
        tables["table2"][name, protocol] = numbers(cells)
    for method, start, *cells in lines(TABLE3):
        tables["table3"][METHODS[method] + WEIGHTS[start], "hopenet"] = numbers(cells)
    for method, encoder, *cells in lines(TABLE4):
        tables["table4"][table4_name(method, encoder), "hopenet"] = numbers(cells)
    for method, *cells in lines(TABLE5):
        tables["table5"][METHODS[method], "hopenet"] = numbers(cells)
    for method, subjects, *cells in lines(TABLE6):
        tables["table6"][f"{METHODS[method]}-subjects{subjects}", "paper-full"] = numbers(cells)
    return tables


@pytest.mark.parametrize("table", TITLES)
def test_presets_have_all_rows_of_the_paper_with_its_numbers(table: str) -> None:
    found: dict[tuple[str, str], Mapping[str, float]] = {
        (row_name(preset), protocol): of_row
        for preset in load_rows(table)
        for protocol, of_row in reported(preset).items()
    }
    assert found == papers()[table]


def test_rows_without_a_pretext_task_come_first() -> None:
    assert [row_name(preset) for preset in load_rows("table5")] == [
        "sl",
        "hmtl-puzzle3",
        "hmtl-puzzle3-without-heads",
    ]


@pytest.mark.parametrize("table", TITLES)
def test_every_row_says_what_it_is_trained_and_judged_on(table: str) -> None:
    for preset in load_rows(table):
        if table in ("table1", "table6"):
            wanted = int(row_name(preset)[-1]) if table == "table6" else 1
            assert preset.trains_on == Source(layout="eth-xgaze", split="fit", subjects=wanted)
            assert preset.judged_on == Source(layout="eth-xgaze", split="val")
        else:
            assert preset.trains_on == Source(layout="300w-lp")
            assert preset.judged_on == Source(layout="biwi" if table == "table3" else "aflw2000")


def of_table6(arm: str, subjects: int) -> Preset:
    return next(row for row in load_rows("table6") if row_name(row) == f"{arm}-subjects{subjects}")


def test_the_arms_of_table_6_differ_in_the_pretext_task_and_rows_in_the_people_alone() -> None:
    arms = ("sl", "hmtl-puzzle2", "hmtl-puzzle2-without-heads")
    for arm in arms:
        assert len({of_table6(arm, subjects).config.digest() for subjects in (1, 2, 3, 4)}) == 1
    configs = [of_table6(arm, 1).config for arm in arms]
    shared = [dataclasses.replace(config, pretext=Config().pretext) for config in configs]
    assert shared[0] == shared[1] == shared[2]
    pretexts = [config.pretext for config in configs]
    assert [(p.task, p.heads) for p in pretexts] == [
        ("none", True),
        ("puzzle", True),
        ("puzzle", False),
    ]
    assert {(p.grid, p.branch_point, p.weight) for p in pretexts[1:]} == {(2, 3, 1.0)}
    config = configs[0]
    assert (config.model.head, config.model.dropout) == ("regression", 0.4)
    assert (config.data.augmentation, config.train.milestones) == ("xgaze-heavy", (30, 40))
    assert math.isclose(config.train.lr, 0.001)
    assert config.train.epochs == 110
