#!/usr/bin/env bash
# From a fresh clone to a described picture: installs packages, builds, finds or makes a checkpoint
# and describes tools/demo/images/scene.jpg.
#   tools/demo.sh [--size tiny|0.5b]
# A checkpoint folder under checkpoints/ is used if there is one. Otherwise random weights of the
# given size are written to build/demo; without --size, 0.5b (1.5 GB) if the machine has room.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/cpu/bin/fastvlm
picture=tools/demo/images/scene.jpg
work=build/demo

usage() {
  echo "usage: tools/demo.sh [--size tiny|0.5b]" >&2
  exit 2
}
size=
if [[ $# -gt 0 ]]; then
  [[ $# -eq 2 && $1 == --size && $2 =~ ^(tiny|0\.5b)$ ]] || usage
  size=$2
fi

# stage TITLE COMMAND...
stage() {
  local title=$1 start=$SECONDS
  shift
  printf '\n=== %s\n' "$title"
  "$@"
  printf '    (%d s)\n' $((SECONDS - start))
}

build() {
  cmake --preset cpu --log-level=WARNING > "$work/configure.log" || {
    cat "$work/configure.log" >&2
    return 1
  }
  cmake --build --preset cpu --target fastvlm
}

# Prints the first folder under checkpoints/ that holds a whole model.
find_checkpoint() {
  local config folder
  for config in checkpoints/*/config.json; do
    folder=$(dirname "$config")
    if compgen -G "$folder/*.safetensors" > /dev/null; then
      echo "$folder"
      return
    fi
  done
}

# Prints 0.5b if this machine has 4 GB of memory and 3 GB of disk to spare, else tiny.
choose_size() {
  local memory_kb disk_kb
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  disk_kb=$(df --output=avail -k "$work" | tail -n 1)
  if ((memory_kb >= 4000000 && disk_kb >= 3000000)); then echo 0.5b; else echo tiny; fi
}

# Writes to another folder first, so that an interrupted run leaves nothing that looks complete.
make_checkpoint() {
  rm -rf "$checkpoint.partial"
  (cd "$work" && cmake -E tar xf ../../tests/data/tokenizer.tar.xz)
  "$program" make-checkpoint --size "$size" --seed 1 --tokenizer "$work/tokenizer" \
    --output "$checkpoint.partial"
  mv "$checkpoint.partial" "$checkpoint"
}

describe() {
  "$program" describe --model-path "$checkpoint" --image-file "$picture" \
    --max_new_tokens 48 --seed 1 --stats
}

mkdir -p "$work"
stage "packages" tools/install_packages.sh
stage "build" build

checkpoint=
random=false
[[ -n $size ]] || checkpoint=$(find_checkpoint)
if [[ -z $checkpoint ]]; then
  random=true
  size=${size:-$(choose_size)}
  checkpoint=$work/checkpoint-$size
  if [[ ! -d $checkpoint ]]; then
    stage "checkpoint: $size, random weights" make_checkpoint
  fi
fi
stage "describe $picture with $checkpoint" describe

echo
if [[ $random == true ]]; then
  echo "The weights are random, so the text above is noise; the architecture and the work are real."
  echo "A trained demo model is planned. For Apple's weights see README.md, then run this again."
fi
echo "Your own picture:"
echo "  $program describe --model-path $checkpoint --image-file FILE --prompt \"What is this?\""
