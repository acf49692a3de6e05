#!/usr/bin/env bash
# Everything that must pass before a change lands, from a fresh clone on Debian 12 or Ubuntu 24.04:
#   packages   installed if they are missing
#   format     clang-format, where version 14 is installed
#   cpu        the optimised build, without warnings, and all tests
#   asan       the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
# It stops at the first phase that fails. --quick leaves the sanitizers out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  *)
    echo "usage: tools/test.sh [--quick]" >&2
    exit 2
    ;;
esac

current=
summary=()

# phase NAME COMMAND...: runs a command and keeps its time.
phase() {
  current=$1
  shift
  printf '\n=== %s\n' "$current"
  local start=$SECONDS
  "$@"
  summary+=("$(printf '%-18s %5d s' "$current" $((SECONDS - start)))")
}

print_summary() {
  local status=$?
  printf '\n=== time\n'
  printf '%s\n' "${summary[@]}"
  if [[ $status -eq 0 ]]; then
    printf 'All phases passed in %d s.\n' "$SECONDS"
  else
    printf 'tools/test.sh: failed in phase: %s\n' "$current" >&2
  fi
}
trap print_summary EXIT

# build PRESET [TARGET...]: everything, or some targets.
build() {
  local preset=$1
  shift
  cmake --preset "$preset" --log-level=WARNING
  cmake --build --preset "$preset" ${1:+--target "$@"}
}

# Tests run one at a time: they use all cores themselves, and some measure how soon a signal acts.
run_tests() {
  local preset=$1
  shift
  ctest --preset "$preset" --no-tests=error --progress "$@"
}

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1

phase "packages" tools/install_packages.sh
phase "format" tools/format.sh --check
phase "cpu: build" build cpu
phase "cpu: tests" run_tests cpu
if [[ $quick == false ]]; then
  # The unit tests. The plain loops of Ref on whole models are long under a sanitizer, and Ref's
  # operations are covered by the tests of the backends. CTest would report the programs that are
  # not built as failed tests.
  phase "asan: build" build asan text_test image_test checkpoint_test kernel_test golden_test
  phase "asan: tests" run_tests asan --exclude-regex '_NOT_BUILT|GoldenTest\.[^ ]*_ref'
fi
