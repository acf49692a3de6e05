#!/usr/bin/env bash
# From a fresh clone to described pictures: installs packages, builds, and asks the bundled demo
# model (tools/demo/README.md says what it can do) about pictures it was not trained on. If there is
# a checkpoint under checkpoints/ (tools/get_models.sh), that one describes a picture too. At the end
# it serves the page with the demo model, and a camera that sees the demo's scenes shows its own page
# with live captions, until Ctrl-C or for --seconds N.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=build/cpu/bin/fastvlm
camera=build/camera/bin/fastvlm-camera
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

# Fails below what README.md promises, which every instruction set reaches.
evaluate() {
  "$program" evaluate --model-path "$model" --cases "$images/cases.jsonl" --images "$images" --at-least 92
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

# free_port PORT: the port, or 0, which stands for any, if it is taken.
free_port() {
  if (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; then echo 0; else echo "$1"; fi
}

# ready_address PROCESS LOG: waits until a program says where its page is.
ready_address() {
  until grep -qs "ready: " "$2"; do
    kill -0 "$1" 2> /dev/null || {
      cat "$2" >&2
      return 1
    }
    sleep 0.1
  done
  sed -n 's/.*ready: //p' "$2"
}

# Server and camera until a signal or the end of their time. Under timeout, without end if that is 0,
# each has a process group of its own: it hears of a Ctrl-C from here, once.
serve() {
  local server client address page
  timeout --preserve-status "${seconds:-0}" \
    "$program" serve --model-path "$model" --port "$(free_port 5000)" --log-folder "$scratch/logs" \
    2> "$scratch/server.log" &
  server=$!
  trap 'kill -TERM "$server" 2> /dev/null' INT TERM
  address=$(ready_address "$server" "$scratch/server.log")
  mkdir "$scratch/scenes"
  ln -s "$PWD/$images"/00*.jpg "$scratch/scenes"
  timeout --preserve-status "${seconds:-0}" \
    "$camera" --source "images:$scratch/scenes" --fps 0.4 --server "ws${address#http}ws" --stream \
    --port "$(free_port 8080)" --log-folder "$scratch/logs" 2> "$scratch/client.log" &
  client=$!
  trap 'kill -TERM "$client" "$server" 2> /dev/null' INT TERM
  page=$(ready_address "$client" "$scratch/client.log") || {
    kill -TERM "$server"
    return 1
  }
  printf '\n  Open %s with a browser: a camera sees the scenes of %s, with live captions.\n' "$page" "$images"
  printf '  Open %s to show a webcam or a picture of your own.\n' "$address"
  printf '  The model understands shapes, colours, counts and short words. Ctrl-C ends it.\n'
  # A signal ends the first wait; the server then finishes its answers.
  wait "$client" "$server" || wait "$client" "$server" || true
  trap - INT TERM
}

stage "packages" tools/install_packages.sh
stage "build" tools/scripts/build.sh cpu fastvlm
stage "build the camera client" tools/scripts/build.sh camera fastvlm-camera
stage "the demo model describes" describe_scenes
stage "all questions about $images, whole answers counted" evaluate
checkpoint=$(find_checkpoint)
if [[ -n $checkpoint ]]; then
  stage "$checkpoint describes" describe "$checkpoint" "$images/scene.jpg" "Describe the image."
fi

printf '\nYour own picture wants a model that has seen more than shapes and words:\n'
[[ -n $checkpoint ]] || echo "  tools/get_models.sh 0.5b      # Apple's weights, for research; 1.5b and 7b as well"
echo "  $program describe --model-path ${checkpoint:-checkpoints/llava-fastvithd_0.5b_stage3} --image-file FILE"

stage "server and camera" serve
