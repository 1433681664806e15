"""Files that survive a kill: checkpoints, weights, the log."""

import json
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from hmtl import checkpoint
from hmtl.config import Config
from hmtl.errors import RunError
from hmtl.evaluate import record
from hmtl.runlog import RunLog, locked, read_log

SMALL = {"model": {"w": torch.arange(40.0).view(8, 5)}, "step": 3, "epoch": 1, "config": {"a": 1}}


@pytest.fixture(scope="module")
def small_state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint."""
    path = tmp_path_factory.mktemp("small") / "last.pt"
    checkpoint.save(path, SMALL)
    return path.read_bytes()


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {"model": {"w": torch.arange(4.0)}, "step": 3, "config": Config().as_dict()}
    checkpoint.save(tmp_path / "checkpoints" / "last.pt", state)
    loaded = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert torch.equal(loaded["model"]["w"], state["model"]["w"])
    assert Config.from_dict(loaded["config"]) == Config()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"step": 1})
    with pytest.raises(TypeError, match="pickle"):
        checkpoint.save(path, {"step": 2, "lock": threading.Lock()})
    assert checkpoint.load(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04torn"])
def test_an_unreadable_checkpoint_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"last\.pt is damaged: File is not a zip file") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "last.pt")
    with pytest.raises(RunError, match=r"last\.pt is no checkpoint: it holds a list"):
        checkpoint.load(tmp_path / "last.pt")


@settings(max_examples=150)
@given(st.data())
def test_a_changed_byte_is_found_or_changes_nothing(
    small_state: bytes, data: st.DataObject
) -> None:
    torn = bytearray(small_state)
    place = data.draw(st.integers(0, len(torn) - 1))
    torn[place] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        path.write_bytes(torn)
        try:
            loaded = checkpoint.load(path)
        except RunError:
            return
    # Padding and dates may differ: no harm is done.
    assert loaded.keys() == SMALL.keys()
    assert torch.equal(loaded["model"]["w"], SMALL["model"]["w"])
    assert loaded["step"] == 3


def test_a_byte_of_a_tensor_is_found(tmp_path: Path, small_state: bytes) -> None:
    path = tmp_path / "last.pt"
    needle = SMALL["model"]["w"].numpy().tobytes()
    place = small_state.index(needle) + 5
    path.write_bytes(
        small_state[:place] + bytes([small_state[place] ^ 1]) + small_state[place + 1 :]
    )
    # torch itself takes the file as it is.
    assert not torch.equal(torch.load(path, weights_only=True)["model"]["w"], SMALL["model"]["w"])
    with pytest.raises(
        RunError, match=r"last\.pt is damaged: the checksum of archive/data/0 is wrong"
    ):
        checkpoint.load(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_a_cut_file_is_found(tmp_path: Path, small_state: bytes, share: float) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(small_state[: int(share * len(small_state))])
    with pytest.raises(RunError, match=r"last\.pt is damaged: "):
        checkpoint.load(path)


def test_a_packed_archive_is_refused_before_it_is_expanded(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("last/data.pkl", bytes(1 << 24))
    with pytest.raises(RunError, match=r"damaged: last/data\.pkl is compressed"):
        checkpoint.load(path)


def test_a_snapshot_does_not_follow_its_tensors() -> None:
    weight = torch.zeros(2)
    taken = checkpoint.snapshot({"a": [weight, (weight, 3)]})
    weight += 1
    assert taken["a"][0].sum() == 0
    assert taken["a"][1][0].sum() == 0
    assert taken["a"][1][1] == 3


def test_the_writer_raises_what_went_wrong_in_its_thread() -> None:
    writer = checkpoint.Writer()

    def fail() -> None:
        raise OSError("disk full")

    writer.submit(fail)
    with pytest.raises(OSError, match="disk full"):
        writer.wait()
    writer.close()


def test_closing_the_writer_tells_of_a_failed_write_without_raising(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise OSError("no space left")

    writer = checkpoint.Writer()
    writer.submit(fail)
    writer.close()
    assert caplog.messages == ["checkpoint not written: no space left"]
    writer.wait()


def test_weights_carry_the_config(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    config = Config().updated({"model.backbone": "resnet18"})
    tensors = {"conv1.weight": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    checkpoint.save_weights(path, tensors, config, step=7)
    loaded = checkpoint.load_weights(path)
    assert (loaded.config, loaded.step) == (config, 7)
    assert torch.equal(loaded.tensors["conv1.weight"], tensors["conv1.weight"])
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == config.as_dict()


def test_the_step_of_weights_is_read_from_their_header(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(path, {"fc.weight": torch.ones(2, 3)}, Config(), 17)
    assert checkpoint.weights_step(path) == 17
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(RunError, match=rf"^{path} is damaged: "):
        checkpoint.weights_step(path)


def test_missing_or_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"weights\.safetensors does not exist"):
        checkpoint.load_weights(tmp_path / "weights.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10")
    with pytest.raises(RunError, match=r"torn\.safetensors is not a safetensors file"):
        checkpoint.load_weights(tmp_path / "torn.safetensors")


@pytest.mark.parametrize(
    "metadata",
    [{"config": "{"}, {"config": "3"}, {"config": "{}", "step": "x"}],
)
def test_weights_with_a_config_that_is_none_are_named(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(RunError, match=r"weights\.safetensors holds a config that is not one: "):
        checkpoint.load_weights(path)


def test_a_torn_last_line_is_cut_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("start", 0)
        log.write("step", 5, loss=1.5)
    with path.open("ab") as file:
        file.write(b'{"event": "step", "st')
    assert [entry["step"] for entry in read_log(path)] == [0, 5]
    with RunLog(path) as log:
        log.write("start", 5)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["start", "step", "start"]


def test_a_log_without_any_whole_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event')
    with RunLog(path) as log:
        log.write("start", 0)
    assert [entry["event"] for entry in read_log(path)] == ["start"]


def test_a_log_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("eval", 3, dataset="caf\udce9", protocol="hopenet")
    assert path.read_bytes().isascii()
    assert [entry["dataset"] for entry in read_log(path)] == ["caf\udce9"]


def test_results_of_other_crops_and_boxes_stand_side_by_side(tmp_path: Path) -> None:
    first = {"protocol": "hopenet", "dataset": "hpdb\udce9", "crop": "box", "boxes": "rgb.cal"}
    others = [first | {"crop": "hopenet"}, first | {"boxes": "list a"}, first | {"split": "val"}]
    record(tmp_path, [first | {"n": 1}, *others])
    record(tmp_path, [first | {"n": 2}])
    assert json.loads((tmp_path / "results.json").read_text()) == [first | {"n": 2}, *others]


def test_reading_a_log_drops_what_a_resumed_run_does_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("start", 0)
        log.write("step", 2, loss=1.0)
        log.write("eval", 2, dataset="a", protocol="hopenet", n=1)
        log.write("step", 4, loss=2.0)
        log.write("start", 2)
        log.write("eval", 2, dataset="a", protocol="hopenet", n=2)
        log.write("eval", 2, dataset="b", protocol="hopenet", n=3)
        log.write("step", 4, loss=3.0)
    entries = read_log(path)
    assert [(entry["event"], entry["step"]) for entry in entries] == [
        ("start", 0),
        ("step", 2),
        ("eval", 2),
        ("start", 2),
        ("eval", 2),
        ("step", 4),
    ]
    assert [entry["n"] for entry in entries if entry["event"] == "eval"] == [2, 3]
    assert [entry["loss"] for entry in entries if entry["event"] == "step"] == [1.0, 3.0]


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "start", "step": 0}\nnonsense\n')
    with pytest.raises(RunError, match=r"log\.jsonl:2 is not a JSON line"):
        read_log(path)


def test_a_run_folder_is_held_by_one_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hmtl.runlog import locked\n"
        "with locked(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path)]
    with locked(tmp_path):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is in use by another process" in refused.stderr
    assert subprocess.run(command, check=False).returncode == 0
