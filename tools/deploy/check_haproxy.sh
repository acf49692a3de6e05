#!/usr/bin/env bash
# Runs haproxy.cfg before two replicas with the demo model while cameras send frames; ends one replica
# with kill -9 and starts it again, then lets the other drain and starts that again. Fails if a
# frame is left without an answer. Needs haproxy and a build (cpu).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cameras=${1:-16}
rate=${2:-4} # frames a second of each
scratch=$(mktemp -d)
declare -A processes=()
end_all() {
  kill "${processes[@]}" 2> /dev/null || true
  wait
  rm -rf "$scratch"
}
trap end_all EXIT

# start PORT: a replica, ready.
start() {
  build/cpu/bin/fastvlm serve --model-path tools/demo/model --threads 1 --port "$1" \
    --trusted-proxy 127.0.0.1 --log-folder "$scratch/$1" 2> "$scratch/$1.log" &
  processes[$1]=$!
  until grep -qs ready "$scratch/$1.log"; do sleep 0.1; done
}

start 5001
start 5002
FASTVLM_API_KEY= haproxy -f tools/deploy/haproxy.cfg > "$scratch/haproxy.log" 2>&1 &
processes[haproxy]=$!
sleep 1
tools/scripts/load.py --url ws://127.0.0.1:5000/ws --cameras "$cameras" --rate "$rate" --seconds 24 --tokens 32 &
load=$!
sleep 6
echo "kill -9 replica1"
kill -KILL "${processes[5001]}"
wait "${processes[5001]}" 2> /dev/null || true
sleep 3
start 5001
echo "replica1 is back"
sleep 5
echo "SIGTERM replica2"
kill -TERM "${processes[5002]}"
wait "${processes[5002]}"
echo "replica2 has drained"
start 5002
echo "replica2 is back"
wait "$load"
