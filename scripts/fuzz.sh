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

mkdir -p "$build"
{
  cmake -S . -B "$build" -DCMAKE_CXX_COMPILER=clang++ -DHMTL_FUZZ=ON \
    -DHMTL_SANITIZE=fuzzer-no-link,address,undefined && cmake --build "$build" --parallel
} > "$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 2; }
# -P: the checkout has the package without its compiled core.
"$python" -P csrc/fuzz/seeds.py "$build/seeds"

# Leaks are looked for: a decoder that stops half-way must free what it has.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# One target; its words come in one piece, as others run beside it.
fuzz() {
  local target=$1 corpus=$build/corpus/$1 artifacts=$build/findings/$1- log=$build/$1.log
  mkdir -p "$corpus" "$build/findings"
  local options=(-max_len=8192 -rss_limit_mb=2048 -timeout=10)
  [ ! -f "$build/seeds/$target.dict" ] || options+=("-dict=$build/seeds/$target.dict")
  if "$build/csrc/fuzz/fuzz_$target" "${options[@]}" -max_total_time="$seconds" \
    -artifact_prefix="$artifacts" -print_final_stats=1 "$corpus" "$build/seeds/$target" \
    > "$log" 2>&1; then
    echo "$target, $seconds s:" "$(sed -n 's/^stat::\(number_of_executed_units\|peak_rss_mb\): */\1 /p' "$log" | paste -sd ' ')"
    return 0
  fi
  local input
  input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
  echo "$(tail -n 60 "$log")
finding in $target; again: $build/csrc/fuzz/fuzz_$target ${input:-(see $log)}"
  return 1
}
export -f fuzz
export build seconds
# As many at once as there are cores; xargs leaves with 123 where one has found something.
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}' || exit 1
