"""The scripts that carry hmtl to a machine without a network, as far as they run without one."""

import os
import random
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
    """Call the script's own `cut_large` and `pack` with another limit, and note the parts' sums."""
    return call(
        BUNDLE,
        ("cut_large", "pack", "fail"),
        f"part_limit={limit} part_overhead=22528; cut_large {source}; pack {source} {out};"
        f" cd {out}; sha256sum bundle.part-*.tar > bundle.sha256",
    )


def call(
    script: Path, functions: tuple[str, ...], commands: str
) -> subprocess.CompletedProcess[str]:
    """Run commands with some of a script's functions."""
    found = " ".join(f"/^{function}() {{/,/^}}/p;" for function in functions)
    return run("-euo", "pipefail", "-c", f"eval \"$(sed -n '{found}' {script})\"; {commands}")


def unpack(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check, unpack and join the parts in a folder with the functions of the other script."""
    return call(
        INSTALL,
        ("check_parts", "join_pieces", "fail"),
        f"check_parts {folder}; for part in {folder}/bundle.part-*.tar; do"
        f" tar -C {folder} -xf $part; done; join_pieces {folder}",
    )


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
        (BUNDLE, "scripts/offline_bundle.sh [--python 3.12] [--dali] [--script-only] OUT_DIR"),
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
    assert done.stderr == (f"install.sh: bundle.sha256 is missing in {out}: it names the parts\n")


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
    parts = sorted(out.glob("*.tar"))
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


def write_some(source: Path) -> dict[str, bytes]:
    """Write files of which one fits into a part, one into three, and one just does not."""
    (source / "wheels").mkdir(parents=True)
    rng = random.Random(0)
    sizes = {
        "wheels/small": 5_000,
        "wheels/large one.whl": 250_000,
        "wheels/edge": 100_000 - 22_527,
    }
    contents = {name: rng.randbytes(size) for name, size in sizes.items()}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    return contents


def test_files_that_no_part_can_hold_come_in_pieces_and_are_put_together(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    contents = write_some(source)
    done = pack(source, out, limit=100_000)
    assert done.returncode == 0, done.stderr
    parts = sorted(out.glob("*.tar"))
    assert max(part.stat().st_size for part in parts) <= 100_000
    names = []
    for part in parts:
        with tarfile.open(part) as tar:
            names += tar.getnames()
    assert sum(name.startswith("wheels/large one.whl.piece-") for name in names) == 4
    assert sum(name.startswith("wheels/edge.piece-") for name in names) == 2
    assert names.count("wheels/small") == 1

    done = unpack(out)
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (out / "wheels").iterdir()}
    assert files == {Path(name).name: content for name, content in contents.items()}


def test_every_part_that_is_missing_or_damaged_is_named_before_anything_is_done(
    tmp_path: Path,
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    assert run(BUNDLE, "--script-only", out).returncode == 0
    write_some(source)
    assert pack(source, out, limit=100_000).returncode == 0
    (out / "bundle.part-01.tar").unlink()
    with (out / "bundle.part-02.tar").open("r+b") as part:
        part.seek(50_000)
        byte = part.read(1)
        part.seek(50_000)
        part.write(bytes([byte[0] ^ 1]))
    before = sorted(out.iterdir())
    done = run(out / "install.sh", CHECKOUT)
    assert done.returncode == 1
    assert done.stderr == (
        f"install.sh: the bundle in {out} is not whole:"
        " bundle.part-01.tar is missing; bundle.part-02.tar is damaged\n"
    )
    assert sorted(out.iterdir()) == before


def test_pieces_that_do_not_make_the_file_are_refused(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    write_some(source)
    pack(source, out, limit=100_000)
    first = next((out).glob("bundle.part-00.tar"))
    with tarfile.open(first) as tar:
        lost = next(name for name in tar.getnames() if ".piece-" in name)
    first.unlink()
    kept = [line for line in (out / "bundle.sha256").read_text().splitlines() if "00" not in line]
    (out / "bundle.sha256").write_text("\n".join(kept) + "\n")
    done = unpack(out)
    assert done.returncode == 1
    assert f"{lost.split('.piece-')[0]} is not what it was cut from" in done.stderr
