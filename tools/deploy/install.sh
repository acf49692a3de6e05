#!/usr/bin/env bash
# Builds the Debian package of the server or of the camera client, installs it, and starts it:
#     tools/deploy/install.sh server [MODEL]
#     tools/deploy/install.sh camera
# MODEL, a checkpoint's folder, becomes the server's, /var/lib/fastvlm/model. Unless one is given or there
# already, that is the demo model.
set -euo pipefail

case "${1:-}:$#" in
  server:[12]) preset=release name=fastvlm flags=() ;;
  camera:1) preset=camera name=fastvlm-camera flags=(--camera) ;;
  *)
    echo "usage: tools/deploy/install.sh server [MODEL] | camera" >&2
    exit 2
    ;;
esac
model=${2:+$(realpath -- "$2")}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -n $model && ! -f $model/config.json ]]; then
  echo "tools/deploy/install.sh: $model: no config.json in it; give the folder of a checkpoint" >&2
  exit 1
fi
as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo)

tools/install_packages.sh "${flags[@]}"
tools/scripts/build.sh "$preset" "$name"
packages=build/$preset/packages
rm -rf "$packages"
cpack --config "build/$preset/CPackConfig.cmake" -B "$packages"
# The same version again, after a change, is installed again.
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --reinstall --allow-downgrades \
  "./$packages/$name"_*.deb

state=/var/lib/fastvlm/model
if [[ $name == fastvlm ]] && { [[ -n $model ]] || ! "${as_root[@]}" test -e "$state"; }; then
  "${as_root[@]}" rm -rf "$state"
  "${as_root[@]}" cp -rL "${model:-tools/demo/model}" "$state"
  "${as_root[@]}" chown -R fastvlm: "$state"
fi

if [[ -d /run/systemd/system ]]; then
  "${as_root[@]}" systemctl enable "$name"
  "${as_root[@]}" systemctl restart "$name"
  systemctl --no-pager --lines 3 status "$name"
else
  echo "Installed. systemd does not run here, so that $name was not started."
fi
