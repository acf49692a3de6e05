#!/usr/bin/env bash
# Configures and builds: tools/scripts/build.sh PRESET [TARGET...]
# Says what to do where CMake's own error would not: in a tree that was copied or moved after it was built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ $# -eq 0 ]]; then
  echo "usage: tools/scripts/build.sh PRESET [TARGET...]" >&2
  exit 2
fi
preset=$1
shift

source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "build/$preset/CMakeCache.txt" 2> /dev/null || true)
if [[ -n $source && ! $source -ef . ]]; then
  echo "tools/scripts/build.sh: build/$preset was made in $source, and this is $PWD." >&2
  echo "The tree was copied or moved; remove what was built there and try again: rm -r build/$preset" >&2
  exit 1
fi

configured=$(cmake --preset "$preset" --log-level=WARNING) || {
  printf '%s\n' "$configured" >&2
  exit 1
}
cmake --build --preset "$preset" ${1:+--target "$@"}
