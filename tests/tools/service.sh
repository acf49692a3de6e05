#!/usr/bin/env bash
# fastvlm.service under a systemd of its own: in namespaces and an overlay that leave this machine as it is, the unit is
# started, reloaded, killed by its watchdog and stopped, with gpu.conf as its drop-in.
#     tests/tools/service.sh BUILD
# Exits with 77 where systemd, curl or the rights for that are missing.
set -euo pipefail
build=$(realpath "$1")
source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
scratch=$(mktemp -d)
init=
trap '[[ -z $init ]] || kill -KILL "$init" && wait || true; rm -rf "$scratch"' EXIT

fail() {
  echo "tests/tools/service.sh: $*" >&2
  inside journalctl --no-pager --unit fastvlm >&2 || true
  exit 1
}

leave_out() {
  echo "tests/tools/service.sh: $*; left out"
  exit 77
}

for tool in /lib/systemd/systemd systemctl unshare nsenter curl; do
  command -v "$tool" > /dev/null || leave_out "$tool is missing"
done
[[ $(id -u) -eq 0 ]] || leave_out "this wants root"

# What becomes process 1. Of the system's services there are none but the journal: they are not what is tested, and
# some would set up the machine.
cat > "$scratch/first.sh" << 'FIRST'
set -euo pipefail
scratch=$1 source=$2 build=$3
mkdir "$scratch/top"
mount -t tmpfs none "$scratch/top"
mkdir "$scratch"/top/{changes,work,root}
root=$scratch/top/root
mount -t overlay -o "lowerdir=/,upperdir=$scratch/top/changes,workdir=$scratch/top/work" none "$root"
mount -t proc proc "$root/proc"
mount --bind -o ro "$root/proc/sys" "$root/proc/sys"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
find "$root"/{usr/lib,etc}/systemd/system/*.wants -type l ! -name 'systemd-journald*' -delete
units=$root/etc/systemd/system
install -D "$build/bin/fastvlm" "$root/usr/local/bin/fastvlm"
install -D -m 644 "$source/tools/deploy/fastvlm.service" "$units/fastvlm.service"
install -D -m 644 "$source/tools/deploy/gpu.conf" "$units/fastvlm.service.d/gpu.conf"
printf '[Service]\nWatchdogSec=3\n' > "$units/fastvlm.service.d/soon.conf"
install -D -m 644 "$source/tools/deploy/fastvlm.toml" "$root/etc/fastvlm/fastvlm.toml"
echo 'api-key-list = "/etc/fastvlm/keys"' >> "$root/etc/fastvlm/fastvlm.toml"
mkdir -p "$root/var/lib/fastvlm/model"
cp -rL "$source/tools/demo/model/." "$root/var/lib/fastvlm/model"
chroot "$root" useradd --system --user-group fastvlm 2> /dev/null || chroot "$root" id fastvlm > /dev/null
chroot "$root" chown -R fastvlm: /var/lib/fastvlm
chroot "$root" install -o fastvlm -m 600 /dev/null /etc/fastvlm/keys
echo first:hunter1 > "$root/etc/fastvlm/keys"
exec chroot "$root" env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=basic.target
FIRST
unshare --mount --pid --fork --kill-child --uts --ipc --net bash "$scratch/first.sh" "$scratch" "$source" "$build" \
  > "$scratch/log" 2>&1 &
parent=$!

# inside COMMAND...: in its namespaces.
inside() {
  timeout 60 nsenter --target "$init" --mount --pid --net --uts --ipc --root --wd "$@"
}

for ((i = 0; i < 200; ++i)); do
  kill -0 "$parent" 2> /dev/null || leave_out "no systemd starts here: $(cat "$scratch/log")"
  init=$(cat "/proc/$parent/task/$parent/children" 2> /dev/null || true)
  init=${init%% *}
  if [[ -n $init && $(cat "/proc/$init/comm") == systemd ]] &&
    inside systemctl is-active --quiet basic.target 2> /dev/null; then
    break
  fi
  sleep 0.1
done
inside systemctl is-active --quiet basic.target || leave_out "systemd does not come up here: $(cat "$scratch/log")"

# status KEY: what the server answers.
status() {
  inside curl -s -m 5 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" http://127.0.0.1:5000/readyz || true
}
expect_status() {
  local is
  is=$(status "$1")
  [[ $is == "$2" ]] || fail "with the key $1 the server answers $is, not $2"
}
inside ip link set lo up 2> /dev/null || leave_out "there is no loopback here"

# Started once it is ready.
inside systemctl start fastvlm || fail "it does not start"
expect_status hunter1 200
expect_status hunter2 401

root=/proc/$init/root
echo second:hunter2 > "$root/etc/fastvlm/keys"
inside systemctl reload fastvlm || fail "it does not reload"
for ((i = 0; i < 50; ++i)); do
  [[ $(status hunter2) != 200 ]] || break
  sleep 0.1
done
expect_status hunter2 200
expect_status hunter1 401

[[ $(stat -c '%U %a' "$root/var/log/fastvlm/server.log") == *" 600" ]] || fail "others may read its log"
[[ $(inside systemctl show -P Environment fastvlm) == *CUDA_VISIBLE_DEVICES=0* ]] || fail "gpu.conf does not count"

# A server that hangs is killed and started anew.
main=$(inside systemctl show -P MainPID fastvlm)
inside kill -STOP "$main"
for ((i = 0; i < 300; ++i)); do
  [[ $(inside systemctl show -P NRestarts fastvlm) == 0 || $(status hunter2) != 200 ]] || break
  sleep 0.1
done
[[ $(inside systemctl show -P NRestarts fastvlm) -ge 1 ]] || fail "its watchdog does not restart it"
expect_status hunter2 200

inside systemctl stop fastvlm || fail "it does not stop"
[[ $(inside systemctl show -P Result fastvlm) == success ]] || fail "it does not stop well"
inside journalctl --no-pager --unit fastvlm | grep -q "INFO: stopped" || fail "the journal has not its log"
echo "the service starts, reloads, restarts and stops"
