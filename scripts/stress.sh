#!/usr/bin/env bash
# Hammers the thread pool and the batch renderer under sanitizers:
#   scripts/stress.sh SECONDS [thread|address,undefined …]        (both unless named)
# Builds csrc/stress in build/stress-… and runs it for so many seconds each. The exit code is
# 1 after a race, a lifetime error, a crash or a result that one thread would not have given, and 2
# where it could not be run.
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
export ASAN_OPTIONS=detect_leaks=1:exitcode=66
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=66
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:exitcode=66
# ThreadSanitizer needs the addresses that a kernel without much randomness gives. Containers may
# refuse to switch it off.
launch=(setarch -R)
if ! "${launch[@]}" true 2> "$folder/refused"; then
  echo "without setarch: $(head -n 1 "$folder/refused")" >&2
  launch=(env)
fi
for sanitizer in "${sanitizers[@]}"; do
  build=build/stress-${sanitizer//,/-}
  mkdir -p "$build"
  {
    cmake -S . -B "$build" -DHMTL_STRESS=ON -DHMTL_SANITIZE="$sanitizer" \
      && cmake --build "$build" --parallel
  } > "$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 2; }
  status=0
  "${launch[@]}" "$build/csrc/stress/stress" "$seconds" "$folder" || status=$?
  # 1 is a wrong result, 66 a sanitizer's finding, 128 and more a signal.
  if ((status == 1 || status == 66 || status >= 128)); then
    echo "finding under $sanitizer (exit code $status)" >&2
    exit 1
  fi
  ((status == 0)) || fail "the program could not be run under $sanitizer (exit code $status)"
  echo "clean under $sanitizer"
done
