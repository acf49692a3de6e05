#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over what a preset has compiled: tools/tidy.sh [PRESET]
# Versions find different things, so this takes version 14, Debian 12's, alone, and passes with a note
# where it is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/${1:-cpu}
if [[ $# -gt 1 || ! -e $build/compile_commands.json ]]; then
  echo "usage: tools/tidy.sh [PRESET], which is built before: tools/scripts/build.sh ${1:-cpu}" >&2
  exit 2
fi
if [[ $(clang-tidy-14 --version 2> /dev/null) != *"version 14."* ]]; then
  echo "clang-tidy 14 is not installed; nothing is checked." >&2
  exit
fi

# What is ours but the CUDA kernels and the emulated device, which want std::source_location, and vector code,
# which is read again for each instruction set.
sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" |
  grep -E "^$PWD/($build/)?(kernels/(CMakeFiles|cpu|ref|support)|runtime|net|capture|tools)/" | grep -v /simd/ | tr '\n' '\0' |
  xargs -0 -n 1 -P "$(nproc)" clang-tidy-14 --quiet --extra-arg=-Wno-unknown-warning-option \
    -p "$build" 2> >(grep -v 'warnings\{0,1\} generated' >&2)
