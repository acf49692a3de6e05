#!/bin/bash
# Checks and measures the CUDA backend on a machine that has a GPU, nvcc, CMake, a C++ compiler and
# Python, but none of our packages: nothing is installed or downloaded. Results go to FOLDER, which
# can become one of bench/results/ as it is.
#   tools/gpu_check.sh FOLDER [PART...]
#   tools/gpu_check.sh --pack [PROGRAM]    where our packages are: writes build/gpu-carry.tar.xz
# Parts, in this order; those with a star unless some are named; all ends after 6 minutes
# (GPU_CHECK_SECONDS), and what does not fit any more is left out and said:
#   build     * programs for this device alone (the others but engine need it; at most 170 s)
#   test      * kernels, operations and whole passes against the reference backend (60 s)
#   golden    * two small checkpoints against the PyTorch reference, end to end (30 s)
#   kernels   * 0.5b: each matrix product alone, beside cuBLASLt and the roofline (60 s)
#   bench     * 0.5b in bf16, int8 and int4: encoder, TTFT, decode, beside the roofline (60 s)
#   engine    * the real program, which --pack has carried here with its libraries: evaluates the
#               demo model in each format, serves 32, 128 and 512 cameras with 0.5b (110 s)
#   profile   * ncu, if it is there: each kernel of a pass of 0.5b (90 s)
#   sanitize    compute-sanitizer: memcheck and racecheck on small tests (90 s)
#   bench-7b    bench for 7b (90 s; 20 GB of GPU memory)
#   peer        0.5b in PyTorch with transformers, if they are there (240 s)
# Exit status 1 if a part failed; each part's output is in FOLDER/PART.log, figures in *.json and
# *.txt, and all of them in table.md.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit
export PATH="$PATH:/usr/local/cuda/bin"

readonly self=$PWD/tools/gpu_check.sh
readonly carry=build/gpu-carry.tar.xz
readonly bin=build/gpu-check/bin
readonly standard='build test golden kernels bench engine profile'
readonly budget=${GPU_CHECK_SECONDS:-360}
# To try the part engine where there is no GPU: cpu, and a small size.
readonly device=${GPU_CHECK_DEVICE:-cuda}
readonly size=${GPU_CHECK_SIZE:-0.5b}

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '/^set/d'; }

# The program with all libraries that ldd names, the C library and its loader included, so that it
# runs on any Linux; the driver's come from there.
pack() {
  local program=${1:-build/cuda/bin/fastvlm} folder
  if [ ! -x "$program" ]; then
    echo "gpu_check.sh: there is no $program: cmake --preset cuda, or name another program" >&2
    return 2
  fi
  folder=$(mktemp -d)
  mkdir "$folder/lib" && cp "$program" "$folder/fastvlm" &&
    ldd "$program" | grep -o '/[^ ]*' | xargs -I{} cp -L {} "$folder/lib/" &&
    cp -r tools/demo/model tools/demo/images "$folder/" &&
    mkdir -p "$(dirname "$carry")" && XZ_OPT=-T0 tar -C "$folder" -cJf "$carry" .
  local status=$?
  rm -rf "$folder"
  [ $status -eq 0 ] && echo "$carry: $(($(stat -c %s "$carry") >> 20)) MiB"
  return $status
}

build() {
  local architecture
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
  [ "$architecture" = 90 ] && architecture=90a
  echo "for compute capability ${architecture:-90a}"
  cmake --preset gpu-check "-DFVLM_CUDA_ARCHITECTURES=${architecture:-90a}" &&
    cmake --build --preset gpu-check --parallel
}

test_() { "$bin/gpu_test"; }

golden() {
  tar -xJf tests/data/golden.tar.xz -C build/gpu-check &&
    python3 bench/gpu_check/plain_index.py \
      build/gpu-check/golden/{tiny,gqa7}/{expected,checkpoint/model}.safetensors &&
    "$bin/gpu_golden" build/gpu-check/golden
}

kernels() { "$bin/gpu_kernels" 0.5b bf16 int8 int4 | tee "$out/kernels-0.5b.json"; }
bench() { "$bin/gpu_bench" 0.5b bf16 int8 int4 | tee "$out/bench-0.5b.json"; }
bench_7b() { "$bin/gpu_bench" 7b bf16 int8 int4 | tee "$out/bench-7b.json"; }

profile() {
  if ! command -v ncu >/dev/null; then
    echo 'left out: ncu is not there'
    return 0
  fi
  local metrics=gpu__time_duration.sum,launch__grid_size
  metrics+=,sm__throughput.avg.pct_of_peak_sustained_elapsed
  metrics+=,dram__throughput.avg.pct_of_peak_sustained_elapsed
  local pass csv
  for pass in encoder1 decode1 prefill decode32 encoder8; do
    csv=$(mktemp)
    if ! ncu --profile-from-start off --csv --page raw --clock-control none --metrics "$metrics" \
      "$bin/gpu_pass" 0.5b bf16 "$pass" >"$csv"; then
      grep -m1 -o 'ERR_NVGPUCTRPERM.*' "$csv" && echo 'left out: this user may not read the counters'
      tail -3 "$csv"
      rm "$csv"
      return 1
    fi
    python3 bench/gpu_check/profile_table.py "$pass" <"$csv" | tee "$out/profile-$pass.txt" || return
    rm "$csv"
  done
}

# Waits until the server whose log is $1 and process $2 is ready.
wait_until_ready() {
  for _ in $(seq 120); do
    grep -q 'ready:' "$1" && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.25
  done
  tail -3 "$1"
  return 1
}

engine() {
  if [ ! -f "$carry" ]; then
    echo "left out: $carry is not there; tools/gpu_check.sh --pack writes it, where our packages are"
    return 0
  fi
  local folder=build/gpu-carry driver status=0 dtype cameras server port=$((20000 + RANDOM % 20000))
  rm -rf "$folder" && mkdir -p "$folder" && tar -C "$folder" -xJf "$carry" || return
  # With its own loader and libraries; the driver's are the machine's.
  driver=$(/sbin/ldconfig -p 2>/dev/null | sed -n 's/.*=> \(.*\)\/libcuda\.so\.1$/\1/p' | head -1)
  local fastvlm=("$folder/lib/ld-linux-x86-64.so.2" --library-path
    "$folder/lib${driver:+:$driver}" "$folder/fastvlm")
  for dtype in bf16 int8 int4 f32; do
    "${fastvlm[@]}" evaluate --model-path "$folder/model" --images "$folder/images" \
      --cases "$folder/images/cases.jsonl" --device "$device" --dtype "$dtype" --at-least 90 \
      >"$out/evaluate-$dtype.txt" || status=1
    sed -n '1p;$p' "$out/evaluate-$dtype.txt"
  done
  # Random weights of a real size, whose answers hardly ever end early.
  "${fastvlm[@]}" make-checkpoint --size "$size" --seed 1 --tokenizer "$folder/model" \
    --output "$folder/random" || return
  "${fastvlm[@]}" serve --device "$device" --model-path "$folder/random" --port "$port" \
    --log-folder "$folder/log" --max-connections-per-address 1024 --max-frames-per-address 4096 \
    --max-decoded-size-per-address 1024 \
    >"$folder/serve.log" 2>&1 &
  server=$!
  if ! wait_until_ready "$folder/serve.log" "$server"; then
    kill "$server" 2>/dev/null
    return 1
  fi
  for cameras in 32 128 512; do
    echo "-- $cameras cameras"
    timeout 40 python3 tools/scripts/load.py --url "ws://127.0.0.1:$port/ws" --cameras "$cameras" \
      --rate 1 --seconds 10 --tokens 32 --images "$folder/images" |
      tee "$out/serve-$cameras.txt" || status=1
  done
  kill "$server"
  wait "$server"
  return "$status"
}

sanitize() {
  if ! command -v compute-sanitizer >/dev/null; then
    echo 'left out: compute-sanitizer is not there'
    return 0
  fi
  local check
  for check in memcheck:{CudaSample,CudaSampling,CudaLinear/device_bf16,CudaDecoder/device_bf16.Linear} \
    {memcheck,racecheck}:CudaBackendTest/device_bf16.{ConvFfn,ImageAttention,Attention}; do
    echo "-- $check"
    timeout 60 compute-sanitizer --tool "${check%%:*}" --error-exitcode 9 \
      "$bin/gpu_test" "${check#*:}" || return
  done
}

peer() {
  if ! python3 -c 'import torch, transformers' 2>/dev/null; then
    echo 'left out: PyTorch or transformers is not there'
    return 0
  fi
  python3 bench/gpu_check/torch_peer.py 0.5b | tee "$out/peer.json"
}

# The longest that a part may take, in seconds.
limit_of() {
  case $1 in
    build) echo 170 ;;
    test | kernels | bench) echo 60 ;;
    golden) echo 30 ;;
    engine) echo 110 ;;
    profile | sanitize | bench-7b) echo 90 ;;
    peer) echo 240 ;;
    *) return 1 ;;
  esac
}

function_of() {
  case $1 in
    test) echo test_ ;;
    bench-7b) echo bench_7b ;;
    *) echo "$1" ;;
  esac
}

# Runs a part within its limit and what is left of all; sets failed.
run_part() {
  local part=$1 left=$((budget - SECONDS)) limit start=$SECONDS status
  limit=$(limit_of "$part")
  if [ "$left" -lt 2 ]; then
    echo "== $part left out: ${budget} s are over"
    return
  fi
  [ "$limit" -le "$left" ] || limit=$left
  echo "== $part, at most $limit s"
  # In a process of its own, which timeout can end with all that it has started.
  timeout -k 5 "$limit" "$self" --part "$out" "$part" 2>&1 | tee "$out/$part.log"
  status=${PIPESTATUS[0]}
  case $status in
    0) echo "== $part passed in $((SECONDS - start)) s" ;;
    124 | 137)
      echo "== $part FAILED: not done after $limit s"
      failed=1
      ;;
    *)
      echo "== $part FAILED after $((SECONDS - start)) s"
      failed=1
      ;;
  esac
}

# Says what is missing for the parts, and ends the script.
look_around() {
  local part tool missing=
  for part in "$@"; do
    local tools=python3
    [ "$part" = build ] && tools='cmake nvcc c++'
    for tool in $tools; do
      case "$missing " in *" $tool "*) continue ;; esac
      command -v "$tool" >/dev/null || missing+=" $tool"
    done
  done
  if [ "$device" = cuda ] && [ "$*" != build ] && ! nvidia-smi >/dev/null 2>&1; then
    missing+=' CUDA-device'
  fi
  [ -z "$missing" ] && return
  echo "gpu_check.sh: not there:$missing" >&2
  exit 1
}

main() {
  if [ $# -lt 1 ]; then
    usage
    return 2
  fi
  mkdir -p "$1" || return 2
  out=$(cd "$1" && pwd)
  shift
  local part failed=0
  # shellcheck disable=SC2086
  [ $# -gt 0 ] || set -- $standard
  for part in "$@"; do
    limit_of "$part" >/dev/null || {
      echo "gpu_check.sh: there is no part $part" >&2
      return 2
    }
  done
  look_around "$@"
  for part in "$@"; do
    if [ "$part" != build ] && [ "$part" != engine ] && [ ! -x "$bin/gpu_test" ]; then
      echo "== $part left out: the part build has not been run or failed"
      failed=1
      continue
    fi
    run_part "$part"
  done
  python3 bench/gpu_check/table.py "$out" | tee "$out/table.md"
  return $failed
}

case ${1:-} in
  --pack) pack "${@:2}" ;;
  --part)
    out=$2
    "$(function_of "$3")"
    ;;
  *) main "$@" ;;
esac
