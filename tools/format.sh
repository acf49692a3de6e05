#!/usr/bin/env bash
# Formats our own C++ as .clang-format says; with --check only says what is not formatted.
# Versions of clang-format differ in details, so this takes version 14, Debian 12's, alone. Without
# it a check passes with a note: formatting must not decide whether something can be built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  "") mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *)
    echo "usage: tools/format.sh [--check]" >&2
    exit 2
    ;;
esac

formatter=
for candidate in clang-format-14 clang-format; do
  if [[ $("$candidate" --version 2> /dev/null) == *"version 14."* ]]; then
    formatter=$candidate
    break
  fi
done
if [[ -z $formatter ]]; then
  echo "clang-format 14 is not installed; formatting is left as it is." >&2
  [[ ${mode[0]} == --dry-run ]]
  exit
fi

find include kernels runtime net capture tools tests bench \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' \) -print0 |
  xargs -0 "$formatter" "${mode[@]}" || {
  echo "tools/format.sh without --check puts this right." >&2
  exit 1
}
