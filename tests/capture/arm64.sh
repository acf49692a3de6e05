#!/usr/bin/env bash
# The camera client for a Raspberry Pi: cross-built, and its unit tests and a run from folder to
# server under qemu-user. Wants tools/install_packages.sh --arm64 and qemu-user.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for program in aarch64-linux-gnu-g++ qemu-aarch64; do
  command -v "$program" > /dev/null || {
    echo "tests/capture/arm64.sh: $program is missing" >&2
    exit 1
  }
done
tools/scripts/build.sh camera-arm64
# Timing says nothing here, and the tests that start programs do so through the emulator.
ctest --preset camera-arm64 --exclude-regex 'ClientCost' "$@"
