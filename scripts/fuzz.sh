#!/usr/bin/env bash
# Feeds damaged data to the decoders under AddressSanitizer and UBSan:
#   scripts/fuzz.sh SECONDS [jpeg|png|lzf|deflate …]        (all of them unless named)
# Builds the targets of csrc/fuzz with clang in build/fuzz and runs each for so many seconds. What
# was learnt is kept in build/fuzz/corpus and goes on from there. A finding is the exit code 1.
# The seeds take the Python of .venv, or the one that PYTHON names, with hmtl's test extra.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "fuzz.sh: $1" >&2
  exit 2
}

all=(jpeg png lzf deflate)
case ${1:---help} in
  --help | -h) sed -n '2,/^set /{/^# /s/^# //p}' "$0" && exit 0 ;;
  *[!0-9]*) fail "SECONDS must be a whole number, got $1" ;;
esac
seconds=$1
shift
targets=("${@:-${all[@]}}")
for target in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $target "* ]] || fail "unknown target $target, expected one of ${all[*]}"
done
command -v clang++ > /dev/null || fail "clang++ is missing (Debian/Ubuntu: apt install clang)"
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
build=$PWD/build/fuzz

cmake -S . -B "$build" -DCMAKE_CXX_COMPILER=clang++ -DHMTL_FUZZ=ON \
  -DHMTL_SANITIZE=fuzzer-no-link,address,undefined > "$build.log" 2>&1 || { cat "$build.log" >&2; exit 2; }
cmake --build "$build" --parallel
# -P: the checkout has the package without its compiled core.
"$python" -P csrc/fuzz/seeds.py "$build/seeds"

# Leaks are looked for: a decoder that stops half-way must free what it has.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
findings=0
for target in "${targets[@]}"; do
  echo "== $target, $seconds s"
  corpus=$build/corpus/$target artifacts=$build/findings/$target-
  mkdir -p "$corpus" "$build/findings"
  options=(-max_len=8192 -rss_limit_mb=2048 -timeout=10)
  [ ! -f "$build/seeds/$target.dict" ] || options+=("-dict=$build/seeds/$target.dict")
  if "$build/csrc/fuzz/fuzz_$target" "${options[@]}" -max_total_time="$seconds" \
    -artifact_prefix="$artifacts" -print_final_stats=1 "$corpus" "$build/seeds/$target" \
    > "$build/$target.log" 2>&1; then
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$build/$target.log"
  else
    findings=$((findings + 1))
    tail -n 60 "$build/$target.log"
    input=$(sed -n 's/.*Test unit written to //p' "$build/$target.log" | tail -n 1)
    echo "finding in $target; again: $build/csrc/fuzz/fuzz_$target ${input:-(see $build/$target.log)}"
  fi
done
[ "$findings" -eq 0 ] || exit 1
