#!/usr/bin/env bash
# From a fresh clone to described pictures: installs packages, builds, and asks the bundled demo
# model (tools/demo/README.md says what it can do) about pictures it was not trained on. If there is
# a checkpoint under checkpoints/ (tools/get_models.sh), that one describes a picture too. At the end
# it serves the page with the demo model, until Ctrl-C or for --seconds N.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/cpu/bin/fastvlm
model=tools/demo/model
images=tools/demo/images
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

seconds=
if [[ $# -eq 2 && $1 == --seconds && $2 =~ ^[0-9]+$ ]]; then
  seconds=$2
elif [[ $# -gt 0 ]]; then
  echo "usage: tools/demo.sh [--seconds N]" >&2
  exit 2
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
  cmake --preset cpu --log-level=WARNING > "$scratch/configure.log" || {
    cat "$scratch/configure.log" >&2
    return 1
  }
  cmake --build --preset cpu --target fastvlm
}

# describe CHECKPOINT PICTURE PROMPT: the answer as it is made, then what it cost.
describe() {
  printf '\n%s\n  > %s\n  ' "$2" "$3"
  "$program" describe --model-path "$1" --image-file "$2" --prompt "$3" --temperature 0 --stats \
    2> "$scratch/stats" || {
    cat "$scratch/stats" >&2
    return 1
  }
  awk '/^first token/ {ttft = $3 * 1000} /^decode .*tok\/s/ {rate = $(NF - 1)}
       END {printf "    first token after %.0f ms, then %.0f tokens/s\n", ttft, rate}' "$scratch/stats"
}

describe_scenes() {
  describe "$model" "$images/0008.jpg" "Describe the image."
  describe "$model" "$images/0008.jpg" "用简短的语言描述图片内容"
  describe "$model" "$images/0000.png" "How many squares are there?"
  describe "$model" "$images/0001.jpg" "What colour is the triangle?"
  describe "$model" "$images/0007.jpg" "图中有圆形吗？"
  describe "$model" "$images/0003.webp" "Read the text."
}

evaluate() {
  "$program" evaluate --model-path "$model" --cases "$images/cases.jsonl" --images "$images"
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

# Serves until a signal or the end of its time. The port is 5000, or another if that is taken. Under
# timeout, without end if that is 0, the server has a process group of its own: it hears of a Ctrl-C
# from here, once.
serve() {
  local port=5000 log=$scratch/server.log server
  if (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then port=0; fi
  timeout --preserve-status "${seconds:-0}" \
    "$program" serve --model-path "$model" --port "$port" --log-folder "$scratch/logs" 2> "$log" &
  server=$!
  trap 'kill -TERM "$server" 2> /dev/null' INT TERM
  until grep -qs "ready: " "$log"; do
    kill -0 "$server" 2> /dev/null || {
      cat "$log" >&2
      return 1
    }
    sleep 0.1
  done
  printf '\n  Open %s with a browser: show a webcam or a picture such as %s/0008.jpg.\n' \
    "$(sed -n 's/.*ready: //p' "$log")" "$images"
  printf '  It understands shapes, colours, counts and short words. Ctrl-C ends it.\n'
  # A signal ends the first wait; the server then finishes its answers.
  wait "$server" || wait "$server" || true
  trap - INT TERM
}

stage "packages" tools/install_packages.sh
stage "build" build
stage "the demo model describes" describe_scenes
stage "all questions about $images, whole answers counted" evaluate
checkpoint=$(find_checkpoint)
if [[ -n $checkpoint ]]; then
  stage "$checkpoint describes" describe "$checkpoint" "$images/scene.jpg" "Describe the image."
fi

printf '\nYour own picture wants a model that has seen more than shapes and words:\n'
[[ -n $checkpoint ]] || echo "  tools/get_models.sh 0.5b      # Apple's weights, for research; 1.5b and 7b as well"
echo "  $program describe --model-path ${checkpoint:-checkpoints/llava-fastvithd_0.5b_stage3} --image-file FILE"

stage "the server" serve
