#!/usr/bin/env bash
# Installs what fastvlm is built from (third_party/README.md says what each is for) on Debian 12 and 13,
# Ubuntu 24.04 and later. Does nothing, and needs no network, if everything is there already.
set -euo pipefail

usage() {
  cat >&2 << 'USAGE'
usage: tools/install_packages.sh [--camera] [--vivid] [--arm64]
  without a flag   what the engine, its server and the camera client are built from
  --camera         what the camera client alone is built from
  --vivid          what its test with a virtual camera wants: QEMU
  --arm64          what it is cross-built for a Raspberry Pi from, and qemu-user to test that
USAGE
  exit 2
}

compilers=(g++ ccache cmake ninja-build pkg-config dpkg-dev file)
camera=(
  libfmt-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libjpeg-dev
  libboost-dev libssl-dev libspdlog-dev libgtest-dev
)
engine=(
  libhwy-dev libboost-context-dev
  libpng-dev libwebp-dev libgif-dev libheif-dev libdav1d-dev libde265-dev
  libutf8proc-dev libzip-dev libedit-dev zlib1g-dev libbenchmark-dev
)
vivid=(qemu-system-x86 busybox-static)
arm64=(
  g++-aarch64-linux-gnu qemu-user
  {libboost-dev,libfmt-dev,libjpeg-dev,libssl-dev,libspdlog-dev,libgtest-dev}:arm64
)

packages=()
foreign=
for flag in "$@"; do
  case $flag in
    --camera) packages+=("${compilers[@]}" "${camera[@]}") ;;
    --vivid) packages+=("${vivid[@]}") ;;
    --arm64)
      packages+=("${arm64[@]}")
      foreign=arm64
      ;;
    *) usage ;;
  esac
done
[[ $# -gt 0 ]] || packages=("${compilers[@]}" "${camera[@]}" "${engine[@]}")

fail() {
  echo "tools/install_packages.sh: $*" >&2
  exit 1
}

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  echo "This is not a Debian or Ubuntu system. If the build misses something, install what" >&2
  echo "corresponds to: ${packages[*]}" >&2
  exit 0
fi

# installed PACKAGE. Other architectures' packages, for a cross compiler, may be there as well.
architecture=$(dpkg --print-architecture)
installed() {
  local wanted=$architecture
  [[ $1 == *:* ]] && wanted=${1#*:}
  dpkg-query --show --showformat='${Architecture} ${db:Status-Status}\n' "$1" 2> /dev/null |
    grep -Eqx "($wanted|all) installed"
}

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "All ${#packages[@]} packages are installed."
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo > /dev/null ||
    fail "these packages are missing and installing them needs root or sudo: ${missing[*]}"
  as_root=(sudo)
fi

# DEBIAN_FRONTEND goes through env, because sudo does not pass variables on.
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
[[ -z $foreign ]] || "${as_root[@]}" dpkg --add-architecture "$foreign"
# Without a network apt-get only warns, unless it is told. One source of many may fail, if it is not one of ours.
lists=new
"${apt_get[@]}" -o APT::Update::Error-Mode=any update || lists=old
echo "Installing ${missing[*]}"
if ! "${apt_get[@]}" install --yes --no-install-recommends "${missing[@]}" > /dev/null; then
  [[ $lists == new ]] || fail "apt-get could not fetch the lists of packages: is there a network? Missing are ${missing[*]}"
  fail "apt-get could not install ${missing[*]}"
fi
