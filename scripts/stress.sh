#!/usr/bin/env bash
# Hammers the thread pool and the batch renderer under sanitizers:
#   scripts/stress.sh SECONDS [thread|address,undefined …]        (both unless named)
# Builds csrc/stress in build/stress-… and runs it for so many seconds each. A race, a lifetime error
# or a result that one thread would not have given is the exit code 1.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "stress.sh: $1" >&2
  exit 2
}

all=(thread address,undefined)
case ${1:---help} in
  --help | -h) sed -n '2,/^set /{/^# /s/^# //p}' "$0" && exit 0 ;;
  *[!0-9]*) fail "SECONDS must be a whole number, got $1" ;;
esac
seconds=$1
shift
sanitizers=("${@:-${all[@]}}")
for sanitizer in "${sanitizers[@]}"; do
  [[ " ${all[*]} " == *" $sanitizer "* ]] || fail "unknown $sanitizer, expected one of ${all[*]}"
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
for sanitizer in "${sanitizers[@]}"; do
  build=build/stress-${sanitizer//,/-}
  mkdir -p "$build"
  {
    cmake -S . -B "$build" -DHMTL_STRESS=ON -DHMTL_SANITIZE="$sanitizer" \
      && cmake --build "$build" --parallel
  } > "$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 2; }
  # ThreadSanitizer needs the addresses that a kernel without much randomness gives.
  setarch -R "$build/csrc/stress/stress" "$seconds" "$folder" || {
    echo "finding under $sanitizer" >&2
    exit 1
  }
  echo "clean under $sanitizer"
done
