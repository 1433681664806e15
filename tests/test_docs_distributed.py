"""docs/distributed.md: its commands, run on the CPU with few ranks and little data."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures_data import write_300w_lp

from hmtl.runlog import read_log

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "docs" / "distributed.md").read_text(encoding="utf-8")
SMALL = (
    " --set model.backbone=resnet18 --set data.size=32 --set train.batch_size=4 --set train.lr=1e-6"
    " --set train.milestones=[1] --set train.optimizer=sgd --set pretext.branch_point=1"
    " --set train.log_steps=1 --set train.epochs="
)

MODULES = {"hmtl": "hmtl", "torchrun": "torch.distributed.run"}
# Two tasks of one node; what it is sent goes to both, its exit code is the highest of theirs.
SRUN = """#!/bin/bash
trap 'kill -USR1 $first $second' USR1
SLURM_PROCID=0 SLURM_LOCALID=0 "$@" & first=$!
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & second=$!
echo $$ > srun.pid
codes=0
for task in $first $second; do
  # A signal interrupts the wait.
  while :; do
    wait $task; code=$?
    kill -0 $task 2>/dev/null || break
  done
  [ $code -gt $codes ] && codes=$code
done
exit $codes
"""
SCONTROL = """#!/bin/bash
case $1 in
  show) echo localhost ;;
  requeue) echo "$2" > requeued ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the data that the page names, and the commands of SLURM."""
    write_300w_lp(tmp_path / "300W_LP", count=9, subjects=3, size=48, seed=1)
    write_300w_lp(tmp_path / "AFLW2000", count=5, subjects=2, size=48, seed=2)
    (tmp_path / "bin").mkdir()
    # Not every environment has the two scripts of Python packages.
    python = f"#!/bin/bash\nexec {sys.executable} -m"
    scripts = {name: f'{python} {module} "$@"\n' for name, module in MODULES.items()}
    scripts |= {"srun": SRUN, "scontrol": SCONTROL}
    for name, script in scripts.items():
        path = tmp_path / "bin" / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def block(beginning: str) -> str:
    """Return the shell commands of the block that begins so, with two ranks a machine."""
    (found,) = re.findall(rf"^```bash\n({re.escape(beginning)}.*?)^```$", PAGE, re.M | re.S)
    few = re.sub(r"(--devices|--nproc-per-node) \d", r"\1 2", found)
    return few.replace("--nnodes 2", "--nnodes 1")


def small(script: str, epochs: int) -> str:
    return re.sub(r"(table2/[\w-]+)", rf"\1{SMALL}{epochs}", script)


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    path = [str(folder / "bin"), os.environ["PATH"]]
    settings = {
        "PATH": os.pathsep.join(path),
        "PYTHONSAFEPATH": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "FIRST_HOST": "localhost",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
    }
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def steps(folder: Path) -> list[int]:
    log = folder / "run" / "log.jsonl"
    return [e["step"] for e in read_log(log) if e["event"] == "step"] if log.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("beginning", ["hmtl train", "torchrun --standalone", "torchrun --nnodes"])
def test_commands_run_as_they_stand(folder: Path, beginning: str) -> None:
    script = small(block(beginning), epochs=1)
    process = start(f"set -e\n{script}", folder)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    starts = [e for e in read_log(folder / "run" / "log.jsonl") if e["event"] == "start"]
    assert [entry["ranks"] for entry in starts] == [2]
    assert steps(folder) == [1, 2]


@pytest.mark.long
@pytest.mark.slow
def test_the_job_saves_before_its_time_is_over_and_queues_again(folder: Path) -> None:
    script = block("#!/bin/bash")
    process = start(small(script, epochs=1000), folder)
    deadline = time.monotonic() + 200
    while len(steps(folder)) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(int((folder / "srun.pid").read_text()), signal.SIGUSR1)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 75, said
    assert (folder / "requeued").read_text().strip() == str(os.getpid())
    reached = steps(folder)[-1]

    (folder / "requeued").unlink()
    # Of two steps an epoch.
    script = small(script, epochs=reached // 2 + 1)
    process = start(script.replace("--resume", "--resume --allow-changes"), folder)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert not (folder / "requeued").exists()
    starts = [e["step"] for e in read_log(folder / "run" / "log.jsonl") if e["event"] == "start"]
    assert starts == [0, reached]
