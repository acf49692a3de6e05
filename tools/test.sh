#!/usr/bin/env bash
# Everything that must pass before a change lands, from a fresh clone on Debian 12 or 13, or Ubuntu 24.04:
#   packages   installed if they are missing
#   format     clang-format, where version 14 is installed
#   cpu        the optimised build, without warnings, and all tests
#   tidy       clang-tidy over it, where version 14 is installed
#   release    what packages hold, without the emulated device: the server's package, the installed library
#   camera     the camera client alone, and its tests
#   vivid      the camera client with the kernel's virtual camera in QEMU, where that can be had
#   asan       the same tests, but vivid, under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan       the engine's, the server's and the camera's under ThreadSanitizer
#   fuzz       the file parsers with a fixed number of damaged inputs, where clang++ is installed
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
  for pid in $(jobs -p); do kill "$pid"; done
  printf '\n=== time\n'
  printf '%s\n' "${summary[@]}"
  if [[ $status -eq 0 ]]; then
    printf 'All phases passed in %d s.\n' "$SECONDS"
  else
    printf 'tools/test.sh: failed in phase: %s\n' "$current" >&2
  fi
}
trap print_summary EXIT

# One more than there are processors, for some mostly wait. Those that measure time run alone
# (tests/CMakeLists.txt).
run_tests() {
  local preset=$1
  shift
  ctest --preset "$preset" --no-tests=error --parallel $(($(nproc) + 1)) "$@"
}

# The threads: of loops, the engine's, the server's and the camera's.
test_tsan() {
  local pid timed='*Promises.*:CostlyRequests.*'
  build/tsan/bin/kernel_test --gtest_brief=1 --gtest_filter='ThreadTeam*:Threads*' &
  build/tsan/bin/engine_test --gtest_brief=1 --gtest_filter='*Engine*_cpu' &
  # What measures time runs alone: threads of low priority are starved by others.
  build/tsan/bin/server_test --gtest_brief=1 --gtest_filter="-$timed" &
  for pid in $(jobs -p); do wait "$pid"; done
  build/tsan/bin/server_test --gtest_brief=1 --gtest_filter="$timed"
  build/tsan/bin/camera_unit_test --gtest_brief=1
  build/tsan/bin/camera_client_test --gtest_brief=1
}

test_vivid() {
  local status=0
  tools/install_packages.sh --vivid || return 0
  tests/capture/vivid.sh build/camera || status=$?
  [[ $status -eq 0 || $status -eq 77 ]]
}

# end_of PROCESS LOG: its status, and what it said.
end_of() {
  local status=0
  wait "$1" || status=$?
  cat "$2"
  return $status
}

has_libfuzzer() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' |
    clang++ -x c++ -fsanitize=fuzzer -o /dev/null - 2>/dev/null
}

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1

phase "packages" tools/install_packages.sh
phase "format" tools/format.sh --check
phase "cpu: build" tools/scripts/build.sh cpu
phase "tidy" tools/tidy.sh cpu
phase "cpu: tests" run_tests cpu
phase "release: build" tools/scripts/build.sh release fastvlm
phase "release: tests" run_tests release --tests-regex "packages|install|docs"
phase "camera: build" tools/scripts/build.sh camera
FVLM_PROGRAM=$PWD/build/cpu/bin/fastvlm phase "camera: tests" run_tests camera   # the demo model, for the page
if [[ $quick == false ]]; then
  # QEMU has one thread, and vivid a time that goes by instructions: beside a build it is as well off.
  test_vivid > build/vivid.log 2>&1 &
  vivid=$!
  # Without the plain loops of Ref, and the emulated device, on whole models, which are long under a
  # sanitizer: the tests of the backends cover their operations.
  phase "asan: build" tools/scripts/build.sh asan
  phase "vivid" end_of "$vivid" build/vivid.log
  export GTEST_FILTER='-*GoldenTest*_ref:*Engine*_ref:*Prompt*_ref:*EngineLive*_emulated'
  phase "asan: tests" run_tests asan
  unset GTEST_FILTER
  phase "tsan: build" tools/scripts/build.sh tsan kernel_test engine_test server_test camera_unit_test camera_client_test
  phase "tsan: tests" test_tsan
  if has_libfuzzer; then
    phase "fuzz: build" tools/scripts/build.sh fuzz
    phase "fuzz: tests" run_tests fuzz
  else
    printf '\n=== fuzz: clang++ with libFuzzer is not installed; left out\n'
  fi
fi
