#!/usr/bin/env bash
# Installs a build, and uses it as others would: the project beside this file against the installed package, the
# installed program, and projects that include the sources.
#     tests/install/run.sh BUILD
set -euo pipefail
build=$(realpath "$1")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source=$(realpath "$here/../..")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

fail() {
  echo "tests/install/run.sh: $*" >&2
  exit 1
}

# build_project FOLDER TARGET [FLAG...]: configures a project and builds a target, with a word only if that fails.
build_project() {
  local folder=$1 target=$2
  shift 2
  { cmake -S "$folder" -B "$scratch/build" -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_FLAGS="-Wall -Wextra -Werror" "$@" &&
    cmake --build "$scratch/build" --target "$target" --parallel "$(nproc)"; } > "$scratch/log" 2>&1 || fail "$folder: $(cat "$scratch/log")"
}

cmake --install "$build" --prefix "$prefix" > /dev/null
# An installed package is not the tree that it was built in.
! grep -rF -e "$source" -e "$build" "$prefix/lib/cmake" "$prefix/include" || fail "the package names the source tree"
! grep -rE '/usr/|[.]so' "$prefix/lib/cmake" || fail "the package names libraries of this machine by their paths"

# has ACTUAL EXPECTED WHAT
has() {
  [[ $1 == "$2" ]] || fail "$3 gave \"$1\", expected \"$2\""
}
model=$source/tools/demo/model
picture=$source/tools/demo/images/0008.jpg
text="A large black square to the left of a large purple ring."

build_project "$here" all -D CMAKE_PREFIX_PATH="$prefix"
has "$("$scratch/build/describe" "$model" "$picture" 2> /dev/null)" "$text" "describe"
"$scratch/build/encode" || fail "encode failed"
"$scratch/build/counting_backend" || fail "counting_backend failed"
if [[ -e $scratch/build/cuda_device ]]; then
  "$scratch/build/cuda_device" | grep -qiE "cuda|gpu" || fail "cuda_device says nothing of a device"
fi

has "$("$prefix/bin/fastvlm" describe --model-path "$model" --image-file "$picture" --temperature 0)" "$text" "fastvlm describe"

for way in FetchContent add_subdirectory; do
  rm -r "$scratch/build"
  build_project "$here/subproject" counting_backend -D FASTVLM_SOURCE="$source" -D WAY=$way
  "$scratch/build/counting_backend" > /dev/null || fail "counting_backend, built by $way, failed"
  if ! cmake --install "$scratch/build" --prefix "$scratch/empty" > /dev/null || [[ -e $scratch/empty ]]; then
    fail "a project that includes fastvlm by $way installs files of it"
  fi
done
echo "the library can be installed and included"
