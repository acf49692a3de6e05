#!/bin/bash
# Checks and measures the CUDA backend on a machine that has a GPU, nvcc, CMake, a C++ compiler and
# Python, but none of our packages: nothing is installed or downloaded. Results go to FOLDER.
#   tools/gpu_check.sh FOLDER [PART...]
# Parts, in this order and all of them unless some are named; after the build each takes:
#   build      programs for this device alone (minutes; the others need it)
#   test       kernels, operations and whole passes against the reference backend (1 min)
#   golden     two small checkpoints against the PyTorch reference, end to end (20 s)
#   sanitize   compute-sanitizer: memcheck and racecheck on small tests (1 min)
#   bench      0.5b in bf16, int8 and int4: encoder, TTFT, decode, beside the roofline (30 s)
#   bench-7b   the same for 7b (1 min; 20 GB of GPU memory)
#   peer       0.5b in PyTorch with transformers, if they are there (2 min)
# Exit status 1 if a part failed; each part's output is in FOLDER/PART.log, figures in *.json and
# table.md.
set -u -o pipefail
cd "$(dirname "$0")/.."

if [ $# -lt 1 ]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- build test golden sanitize bench bench-7b peer
export PATH="$PATH:/usr/local/cuda/bin"
bin=build/gpu-check/bin

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

sanitize() {
  if ! command -v compute-sanitizer >/dev/null; then
    echo 'compute-sanitizer is not there: left out'
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

bench() { "$bin/gpu_bench" 0.5b bf16 int8 int4 | tee "$out/bench-0.5b.json"; }
bench_7b() { "$bin/gpu_bench" 7b bf16 int8 int4 | tee "$out/bench-7b.json"; }

peer() {
  if ! python3 -c 'import torch, transformers' 2>/dev/null; then
    echo 'PyTorch or transformers is not there: left out'
    return 0
  fi
  timeout 240 python3 bench/gpu_check/torch_peer.py 0.5b | tee "$out/peer.json"
}

has_device() { nvidia-smi >/dev/null 2>&1; }

failed=0
for part in "$@"; do
  case $part in
    build | golden | sanitize | bench | peer) run=$part ;;
    test) run=test_ ;;
    bench-7b) run=bench_7b ;;
    *)
      echo "there is no part $part" >&2
      exit 2
      ;;
  esac
  if [ "$part" != build ] && ! has_device; then
    echo "== $part: there is no CUDA device here" >&2
    exit 1
  fi
  echo "== $part"
  start=$SECONDS
  "$run" 2>&1 | tee "$out/$part.log"
  if [ "${PIPESTATUS[0]}" -eq 0 ]; then
    echo "== $part passed in $((SECONDS - start)) s"
  else
    echo "== $part FAILED after $((SECONDS - start)) s"
    failed=1
    [ "$part" = build ] && break
  fi
done
python3 bench/gpu_check/table.py "$out" | tee "$out/table.md"
exit $failed
