#!/usr/bin/env bash
# Builds the core with sanitizers beside the installed package and runs its tests:
#   scripts/sanitize.sh address,undefined        (the default)
# Takes the Python of .venv, or the one that PYTHON names.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizers=${1:-address,undefined}
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
build=build/sanitize-${sanitizers//,/-}

cmake -S . -B "$build" -DHMTL_SANITIZE="$sanitizers" \
  -DPython_EXECUTABLE="$python" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)"
cmake --build "$build" --parallel

# A package of this checkout's Python files with the sanitized core, in front of the installed one.
package=$build/package
rm -rf "$package"
mkdir -p "$package"
cp -r hmtl "$package/hmtl"
cp -r cli "$package/hmtl/cli"
cp "$build"/_core*.so "$package/hmtl/"

preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"

# Python does not free everything at its end, so leaks are not looked for.
export PYTHONPATH=$PWD/$package LD_PRELOAD=$preload OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
loaded=$(cd / && "$python" -c "import hmtl._core; print(hmtl._core.__file__)")
if [[ $loaded != "$PWD/$package/"* ]]; then
  echo "the tests would load $loaded: an editable install hides the sanitized core" >&2
  exit 1
fi
# --capture=sys: what a sanitizer says before it ends the process must be seen.
"$python" -m pytest -q -n 2 --capture=sys -p no:cacheprovider -m "not slow" \
  tests/test_{device_kernels,stages,fast_paths,params,noise,turn,augmentation,golden,extent,crc,lzf,decode,decode_png,decode_array,decoded}.py \
  tests/test_{inspect,loader,loader_faults,loader_files,loader_order}.py
