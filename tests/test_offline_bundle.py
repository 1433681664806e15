"""The scripts that carry hmtl to a machine without a network, as far as they run without one."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
BUNDLE = CHECKOUT / "scripts" / "offline_bundle.sh"
INSTALL = CHECKOUT / "scripts" / "offline_install.sh"
SCRIPTS = [BUNDLE, INSTALL]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def pack(source: Path, out: Path, *, limit: int) -> subprocess.CompletedProcess[str]:
    """Call the script's own `pack` with another limit."""
    function = f"sed -n '/^pack() {{/,/^}}/p; /^fail() {{/,/^}}/p' {BUNDLE}"
    return run("-euc", f'eval "$({function})"; part_limit={limit}; pack {source} {out}')


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_stop_at_the_first_error(script: Path) -> None:
    assert run("-n", script).returncode == 0
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("script", "usage"),
    [
        (BUNDLE, "scripts/offline_bundle.sh [--python 3.12] [--script-only] OUT_DIR"),
        (INSTALL, "install.sh CHECKOUT"),
    ],
)
def test_help_shows_how_to_call(script: Path, usage: str) -> None:
    done = run(script, "--help")
    assert done.returncode == 0
    assert f"  {usage}\n" in done.stdout
    assert "#" not in done.stdout
    assert "set -euo" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "OUT_DIR is missing"),
        (["--pyhton", "x"], "unknown option --pyhton"),
        (["--python"], "--python needs a version"),
        (["a", "b"], "one OUT_DIR, got a and b"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(arguments: list[str], message: str) -> None:
    done = run(BUNDLE, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"offline_bundle.sh: {message}")
    assert done.stderr.count("\n") == 1


def test_script_only_writes_an_install_script_that_misses_the_bundle(tmp_path: Path) -> None:
    out = tmp_path / "a folder"
    assert run(BUNDLE, "--script-only", out).returncode == 0
    assert [path.name for path in out.iterdir()] == ["install.sh"]
    done = run(out / "install.sh", CHECKOUT)
    assert done.returncode == 1
    assert done.stderr == (
        f"install.sh: no wheels or no packages in {out}: a part of the bundle is missing\n"
    )


def test_install_refuses_what_is_no_checkout(tmp_path: Path) -> None:
    done = run(INSTALL, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"install.sh: {tmp_path} is no checkout of hmtl\n"


def test_parts_are_tars_of_their_own_and_hold_every_file_once(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "wheels").mkdir(parents=True)
    out.mkdir()
    sizes = {f"wheels/{number:02}": 7_000 * number for number in range(1, 13)}
    for name, size in sizes.items():
        (source / name).write_bytes(b"x" * size)

    done = pack(source, out, limit=120_000)

    assert done.returncode == 0, done.stderr
    parts = sorted(out.iterdir())
    assert [part.name for part in parts] == [
        f"bundle.part-{number:02}.tar" for number in range(len(parts))
    ]
    assert len(parts) > 1
    assert max(part.stat().st_size for part in parts) <= 120_000
    found: list[tuple[str, int]] = []
    for part in parts:
        with tarfile.open(part) as tar:
            found += [(member.name, member.size) for member in tar.getmembers()]
    assert sorted(found) == sorted(sizes.items())


def test_a_file_that_no_part_can_hold_is_named(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 50_000)
    done = pack(tmp_path, tmp_path, limit=60_000)
    assert done.returncode == 1
    assert done.stderr == "offline_bundle.sh: large is larger than a part may be\n"
