#!/usr/bin/env bash
# The life of a package on a machine that may be thrown away (tests/tools/packages.sh makes one): it is installed, runs as
# its unit has it, without systemd, and is purged. Beside this script are the package and a model.
#     packages_life.sh NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
name=$1
unit=/usr/lib/systemd/system/$name.service

fail() {
  echo "packages_life.sh: $name: $*" >&2
  exit 1
}

dpkg --force-confnew --install ./"$name"_*.deb > log 2>&1 || fail "$(cat log)"
if command -v systemd-analyze > /dev/null; then
  complaints=$(systemd-analyze verify "$unit" 2>&1 | grep -F "$name" || true)
  [[ -z $complaints ]] || fail "$complaints"
fi
user=nobody flags=()
if [[ $name == fastvlm ]]; then
  user=fastvlm
  [[ $(stat -c '%U %a' /var/lib/fastvlm /var/log/fastvlm | sort -u) == "fastvlm 750" ]] ||
    fail "folders: $(ls -ld /var/lib/fastvlm /var/log/fastvlm)"
  rm -rf /var/lib/fastvlm/model
  cp -r model /var/lib/fastvlm/model
  chown -R fastvlm: /var/lib/fastvlm/model
else  # systemd would make a user and a folder; there may be no camera
  install -d -o nobody "/var/log/$name"
  flags=(--source test-pattern)
fi

# The unit's command is one line once those that end in a backslash are joined.
read -ra command <<< "$(sed -e ':join; /\\$/ {N; s/\\\n//; b join}' "$unit" | sed -n 's/^ExecStart=//p')"
setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "${command[@]}" --port 0 "${flags[@]}" 2> said &
process=$!
for ((i = 0; i < 300; ++i)); do
  if grep -qs "ready: http://127.0.0.1:" said; then break; fi
  kill -0 "$process" 2> /dev/null || fail "it ended: $(cat said)"
  sleep 0.1
done
grep -q "ready: http://127.0.0.1:" said || fail "it is not ready after 30 s: $(cat said)"
[[ -n $(ls "/var/log/$name") ]] || fail "it wrote no log"
kill -TERM "$process"
wait "$process" || fail "it ended with $?: $(cat said)"

dpkg --purge "$name" > log 2>&1 || fail "$(cat log)"
for gone in "/usr/bin/$name" "$unit" "/etc/$name" "/var/log/$name"; do
  [[ ! -e $gone ]] || fail "$gone is still there"
done
[[ $name != fastvlm || -f /var/lib/fastvlm/model/config.json ]] || fail "the model went with it"
