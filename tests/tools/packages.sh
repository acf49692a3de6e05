#!/usr/bin/env bash
# The Debian packages of a build: what cpack makes, what it refuses, and, as root, their installation, a start
# as the unit has it, and their removal, in an overlay that leaves this machine as it is.
#     tests/tools/packages.sh BUILD
# Exits with 77 where programs are missing that this needs.
set -euo pipefail
build=$(realpath "$1")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "tests/tools/packages.sh: $*" >&2
  exit 1
}

# has TEXT PATTERN WHAT
has() {
  grep -Eq -- "$2" <<< "$1" || fail "$3 lacks $2:"$'\n'"$1"
}

for tool in dpkg-deb dpkg-shlibdeps file cpack; do
  command -v "$tool" > /dev/null || {
    echo "tests/tools/packages.sh: $tool is missing; left out"
    exit 77
  }
done

# make_packages FOLDER [FLAG...]
make_packages() {
  local folder=$1
  shift
  cpack "$@" --config "$build/CPackConfig.cmake" -B "$folder" > "$scratch/log" 2>&1
}

# Without the tools that find the dependencies there is no package. CMake looks beyond the PATH, too.
mkdir "$scratch/programs"
for program in /usr/bin/* /bin/*; do
  [[ ${program##*/} == dpkg-shlibdeps ]] || ln -sf "$program" "$scratch/programs/"
done
if PATH=$scratch/programs make_packages "$scratch/none" -D CMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF; then
  fail "cpack made a package without dpkg-shlibdeps"
fi
has "$(cat "$scratch/log")" "dpkg-shlibdeps is missing" "cpack's message"
! compgen -G "$scratch/none/*.deb" > /dev/null || fail "a package was left behind"

make_packages "$scratch/packages" || fail "cpack failed: $(cat "$scratch/log")"

# check_content NAME DEPENDENCY CONFIG: what the package says and holds.
check_content() {
  local name=$1 package root=$scratch/$1 content
  package=$(echo "$scratch/packages/$name"_[0-9]*.deb)
  [[ $(dpkg-deb --field "$package" Package) == "$name" ]] || fail "$package is not $name"
  has "$(dpkg-deb --field "$package" Depends)" "libc6.*$2|$2.*libc6" "the dependencies of $name"
  content=$(dpkg-deb --contents "$package")
  has "$content" "^-rwxr-xr-x root/root .* ./usr/bin/$name\$" "$name's content"
  has "$content" "^-rw-r--r-- root/root .* ./usr/lib/systemd/system/$name.service\$" "$name's content"
  has "$content" "^-rw-r--r-- root/root .* ./etc/$name/$3\$" "$name's content"
  has "$content" "^-rw-r--r-- root/root .* ./usr/share/doc/$name/changelog.gz\$" "$name's content"
  dpkg-deb --raw-extract "$package" "$root"
  has "$(zcat "$root/usr/share/doc/$name/changelog.gz" | head -1)" \
    "^fastvlm \\($(dpkg-deb --field "$package" Version)\\)" "the changelog of $name"
  [[ $(cat "$root/DEBIAN/conffiles") == "/etc/$name/$3" ]] || fail "conffiles of $name: $(cat "$root/DEBIAN/conffiles")"
  has "$(cat "$root/usr/lib/systemd/system/$name.service")" "^ExecStart=/usr/bin/$name .*/etc/$name/$3" "$name.service"
}

# check_release: what only developers need is not in the server's package.
check_release() {
  local program=$scratch/fastvlm/usr/bin/fastvlm
  ! grep -q boost "$scratch/fastvlm/DEBIAN/control" || fail "fastvlm depends on Boost"
  ! grep -aq cuda-emulated "$program" || fail "$program has the emulated device"
  has "$("$program" describe --help)" "--device" "fastvlm's help"
  ! "$program" describe --device cuda-emulated --model-path . 2> "$scratch/log" ||
    fail "$program knows the emulated device"
  has "$(cat "$scratch/log")" "--device: \"cuda-emulated\" is none of" "fastvlm's message"
}

# check_manual NAME FLAG: manual pages and completions, made from the program's flags, are in its package.
check_manual() {
  local name=$1 flag=$2 share=$scratch/$1/usr/share
  has "$(zcat "$share/man/man1/$name"*.1.gz)" "${flag//-/.*}" "manual pages of $name"
  has "$(zcat "$share/man/man1/$name.1.gz")" "^.TH" "$name(1)"
  has "$(cat "$share/bash-completion/completions/$name")" "^complete -F [a-z_]+ $name" "bash's completions"
  has "$(cat "$share/zsh/vendor-completions/_$name")" "^#compdef $name" "zsh's completions"
  has "$(cat "$share/fish/vendor_completions.d/$name.fish")" "complete -c $name .*-l $flag" "fish's completions"
}

# check_install NAME CONFIG COMPONENT: by hand, the unit names what was installed, and settings are kept.
check_install() {
  local name=$1 config=$2 prefix=$scratch/prefix unit
  unit=$prefix/lib/systemd/system/$name.service
  cmake --install "$build" --component "$3" --prefix "$prefix" > /dev/null
  has "$(cat "$unit")" "^ExecStart=$prefix/bin/$name .*$prefix/etc/$name/$config" "$unit"
  [[ -x $prefix/bin/$name ]] || fail "$prefix/bin/$name is missing"
  echo "# mine" > "$prefix/etc/$name/$config"
  cmake --install "$build" --component "$3" --prefix "$prefix" > /dev/null
  [[ $(cat "$prefix/etc/$name/$config") == "# mine" ]] || fail "cmake --install wrote over settings"
}

# check_life NAME: installation, a start and removal, by packages_life.sh.
check_life() {
  local name=$1 top=$scratch/overlay
  mkdir "$top"
  unshare --mount bash -euo pipefail -c '
    mount -t tmpfs none "$1"
    mkdir -p "$1"/changes/life "$1"/{work,root}
    cp -r "$2"/packages_life.sh "$2"/../../tools/demo/model "$3" "$1/changes/life"
    mount -t overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" none "$1/root"
    for folder in proc dev; do mount --rbind "/$folder" "$1/root/$folder"; done
    mount -t tmpfs none "$1/root/tmp"
    chroot "$1/root" /life/packages_life.sh "$4"' bash "$top" "$here" "$(echo "$scratch/packages/$name"_[0-9]*.deb)" "$name"
  rmdir "$top"
}

# Whether this machine lets us: as root, in a container that may mount.
can_overlay() {
  [[ $(id -u) -eq 0 ]] && mkdir -p "$scratch"/{up,root} &&
    unshare --mount bash -c "mount -t tmpfs none '$scratch/up' && mkdir '$scratch/up'/{up,work} &&
      mount -t overlay -o 'lowerdir=/,upperdir=$scratch/up/up,workdir=$scratch/up/work' none '$scratch/root'" 2> /dev/null
}

tested=0
for package in "$scratch/packages"/*.deb; do
  name=$(dpkg-deb --field "$package" Package)
  case $name in
    fastvlm)
      check_content fastvlm libhwy fastvlm.toml
      check_release
      check_manual fastvlm output-dir
      check_install fastvlm fastvlm.toml server
      ;;
    fastvlm-camera)
      check_content fastvlm-camera libjpeg camera.conf
      check_manual fastvlm-camera wait-for-camera
      check_install fastvlm-camera camera.conf camera
      ;;
    *) fail "unknown package $name" ;;
  esac
  ((++tested))
  if can_overlay; then check_life "$name"; else echo "$name was not installed: that wants root and overlays"; fi
done
[[ $tested -gt 0 ]] || fail "no packages"
echo "$tested packages are right"
