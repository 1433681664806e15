"""What the configuration says where something to build with is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake")


def configure(build: Path, *settings: str, **environment: str) -> str:
    """Return what a failing configuration prints, each run of white space as one space."""
    command = ["cmake", "-S", ROOT, "-B", build, *settings]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def assert_says(text: str, what: str) -> None:
    assert f"hmtl needs {what} (Debian/Ubuntu: apt install build-essential libjpeg-dev" in text
    assert "Fedora: dnf install gcc-c++ libjpeg-turbo-devel libpng-devel;" in text
    assert "macOS: xcode-select --install && brew install jpeg-turbo libpng)" in text
    assert text.count("CMake Error") == 1
    assert "Call Stack" not in text


def test_a_missing_compiler_is_one_sentence(tmp_path: Path) -> None:
    assert_says(configure(tmp_path, CXX="/nonexistent/c++"), "a C++17 compiler")


@pytest.mark.parametrize(
    ("package", "what"),
    [
        ("JPEG", "libjpeg-turbo with its headers"),
        ("PNG", "libpng and zlib with their headers"),
        ("ZLIB", "libpng and zlib with their headers"),
    ],
)
def test_a_missing_library_is_one_sentence(tmp_path: Path, package: str, what: str) -> None:
    assert_says(configure(tmp_path, f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON"), what)


def test_a_libjpeg_that_is_not_turbo_is_one_sentence(tmp_path: Path) -> None:
    headers = tmp_path / "include"
    headers.mkdir()
    (headers / "jpeglib.h").write_text("#define JPEG_LIB_VERSION 90\n", encoding="ascii")

    text = configure(tmp_path / "build", f"-DJPEG_INCLUDE_DIR={headers}")

    assert_says(text, "libjpeg-turbo, and the libjpeg found here is another one")


def test_a_cuda_compiler_that_is_asked_for_and_missing_is_one_sentence(tmp_path: Path) -> None:
    text = configure(tmp_path, "-DHMTL_CUDA=ON", CUDACXX="/nonexistent/nvcc")
    assert "HMTL_CUDA=ON needs a CUDA compiler: install the CUDA toolkit, or name its nvcc" in text
    assert text.count("CMake Error") == 1


def test_another_word_for_cuda_is_refused(tmp_path: Path) -> None:
    text = configure(tmp_path, "-DHMTL_CUDA=maybe")
    assert "HMTL_CUDA must be AUTO, ON or OFF, got maybe" in text
