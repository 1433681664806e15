import json

import numpy as np
import pytest

from hmtl.errors import ConfigError, DataError
from hmtl.protocols import DEFAULT_PROTOCOLS, PROTOCOLS, evaluate, find_protocol

# The third label is one of those of AFLW2000 that go round more than once.
TARGET = np.array([[10.0, 0.0, 0.0], [-99.0, 99.0, 5.0], [20.0, -730.0, 0.0], [170.0, 0.0, 0.0]])
PREDICTED = np.array([[12.0, 1.0, 0.0], [-96.0, 96.0, 5.0], [20.0, 0.0, 0.0], [-10.0, 0.0, 0.0]])


def entry(protocol: str, **changes: object) -> dict:
    arguments = {"predicted": PREDICTED, "target": TARGET, "dataset": "aflw2000", "crop": "visible"}
    return evaluate(protocol, **(arguments | changes))


@pytest.mark.parametrize(
    ("protocol", "n", "yaw", "pitch"),
    [
        ("hopenet", 2, (2 + 3) / 2, (1 + 3) / 2),
        ("paper-full", 4, (2 + 3 + 0 + 180) / 4, (1 + 3 + 730 + 0) / 4),
        ("wrapped", 4, (2 + 3 + 0 + 180) / 4, (1 + 3 + 10 + 0) / 4),
        ("sixdrepnet", 2, (2 + 3) / 2, (1 + 3) / 2),
    ],
)
def test_protocols_choose_samples_and_differences(protocol, n, yaw, pitch):
    result = entry(protocol)
    assert (result["protocol"], result["n"], result["skipped"]) == (protocol, n, 4 - n)
    assert result["mae"]["yaw"] == pytest.approx(yaw)
    assert result["mae"]["pitch"] == pytest.approx(pitch)


def test_6drepnets_protocol_forgives_a_prediction_that_faces_backwards():
    poses = {"predicted": [[-90.0, 0.0, 0.0]], "target": [[88.0, 0.0, 0.0]]}
    assert entry("hopenet", **poses)["mae"]["yaw"] == pytest.approx(178.0)
    assert entry("sixdrepnet", **poses)["mae"]["yaw"] == pytest.approx(2.0)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_an_entry_is_plain_json_under_the_published_keys(protocol):
    result = entry(protocol, target=TARGET.astype(np.float32), valid=[True, True, True, False])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    published = [
        "protocol",
        "dataset",
        "n",
        "skipped",
        "crop",
        "convention",
        "mae",
        "geodesic",
        "yaw_bins",
    ]
    assert set(published) <= result.keys()
    assert (result["dataset"], result["crop"]) == ("aflw2000", "visible")
    assert list(result["mae"]) == ["yaw", "pitch", "roll", "mean"]


def test_an_entry_names_split_and_boxes_of_data_sets_that_have_some():
    result = entry("hopenet", split="val", boxes="rgb.cal")
    assert (result["split"], result["boxes"]) == ("val", "rgb.cal")
    assert not {"split", "boxes"} & entry("hopenet", split=None, boxes="").keys()


def test_samples_that_could_not_be_read_are_left_out_and_counted():
    result = entry(
        "hopenet", valid=[True, False, True, True], predicted=PREDICTED * [[1], [9], [1], [1]]
    )
    assert (result["n"], result["skipped"], result["invalid"]) == (1, 3, 1)
    assert result["mae"]["yaw"] == pytest.approx(2.0)


def test_a_sample_without_roll_is_inside_the_limit():
    result = entry("hopenet", predicted=[[1.0, 2.0, 3.0]], target=[[0.0, 0.0, np.nan]])
    assert result["n"] == 1
    assert result["mae"] == {"yaw": 1.0, "pitch": 2.0, "roll": None, "mean": 1.5}
    assert result["geodesic"] is None


def test_a_protocol_that_leaves_nothing_is_an_error_that_names_the_data_set():
    with pytest.raises(DataError, match="'hopenet' leaves none of the 1 samples of biwi"):
        entry("hopenet", predicted=PREDICTED[:1], target=TARGET[2:3], dataset="biwi")


def test_an_unknown_protocol_is_named_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"unknown protocol 'fsa', expected one of \['hopenet', "):
        find_protocol("fsa")


def test_the_default_protocols_are_the_papers_two():
    assert [PROTOCOLS[name].reduced for name in DEFAULT_PROTOCOLS] == [True, False]
    assert {PROTOCOLS[name].difference for name in DEFAULT_PROTOCOLS} == {"plain"}


@pytest.mark.data
def test_plain_differences_explain_the_papers_gap_on_real_labels(realdata):
    scipy_io = pytest.importorskip("scipy.io")
    files = sorted(realdata.rglob("image0*.mat"))
    assert files
    pose = np.array([scipy_io.loadmat(path)["Pose_Para"][0, :3] for path in files])
    target = np.rad2deg(pose[:, [1, 0, 2]])
    full = entry("paper-full", predicted=np.clip(target, -99, 99), target=target)
    kept = (np.abs(target) <= 99).all(axis=1).sum()
    reduced = entry("hopenet", predicted=target, target=target)
    assert (full["n"], reduced["n"]) == (len(files), kept)
    assert reduced["mae"]["mean"] == 0.0
