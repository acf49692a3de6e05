#!/usr/bin/env bash
# The camera client against a real V4L2 driver: boots Debian's kernel in QEMU, by software emulation,
# with its virtual cameras, the module vivid, and runs vivid_guest.cpp there: formats,
# controls, and 150 injected errors, in about a minute and a half. Wants the packages qemu-system-x86
# and busybox-static, and fetches the kernel's package, which is not installed, once. Exits with 77
# where these cannot be had.
#     tests/capture/vivid.sh BUILD_FOLDER
set -euo pipefail

build=$(realpath "${1:?usage: tests/capture/vivid.sh BUILD_FOLDER}")
work=$build/vivid
root=$work/root
limit_s=900  # a guest that hangs; it needs 90 to 400, by the machine and what runs beside it

fail() {
  echo "tests/capture/vivid.sh: $*" >&2
  exit 1
}

leave_out() {
  echo "tests/capture/vivid.sh: $*" >&2
  exit 77
}

for program in qemu-system-x86_64 busybox; do
  command -v "$program" > /dev/null || leave_out "$program is missing: tools/install_packages.sh --vivid"
done
mkdir -p "$work"

# The newest kernel that linux-image-amd64 stands for, unpacked to $work/kernel.
fetch_kernel() {
  local package
  [[ -e $work/kernel/done ]] && return
  package=$(apt-cache depends linux-image-amd64 2> /dev/null | awk '/Depends:/ {print $2; exit}')
  [[ -n $package ]] || leave_out "apt knows no linux-image-amd64; is this Debian, after apt-get update?"
  rm -rf "$work/kernel"
  mkdir -p "$work/kernel"
  (cd "$work/kernel" && apt-get -qq download "$package" 2> /dev/null) || leave_out "cannot download $package"
  dpkg-deb -x "$work/kernel/"*.deb "$work/kernel"
  rm "$work/kernel/"*.deb
  touch "$work/kernel/done"
}

# add_module NAME: copies a module after those it needs, and notes the order.
modules=()
add_module() {
  local name=$1 file needed
  [[ " ${modules[*]} " == *" $name "* ]] && return
  file=$(find "$work/kernel/lib/modules" -name "$name.ko" -o -name "${name//_/-}.ko" | head -1)
  [[ -n $file ]] || return 0 # it is part of the kernel
  needed=$(grep -a -z -o -m1 '^depends=.*' "$file" | tr -d '\0')
  for needed in $(tr ',' ' ' <<< "${needed#depends=}"); do add_module "$needed"; done
  cp "$file" "$root/modules/$name.ko"
  modules+=("$name")
}

# add_program FILE: with the libraries it is linked to.
add_program() {
  cp "$1" "$root/bin/"
  ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root/$(dirname "$library")"
    cp -Lu "$library" "$root/$library"
  done
}

make_root() {
  rm -rf "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,modules}
  cp "$(command -v busybox)" "$root/bin/busybox"
  add_program "$build/bin/fastvlm-camera"
  add_program "$build/bin/camera_vivid_guest"
  add_module vivid
  cat > "$root/init" << INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
ip link set lo up
ulimit -n 1024
for module in ${modules[*]}; do
  case \$module in
    vivid) insmod /modules/vivid.ko n_devs=4 node_types=0x1,0x1,0x1,0x1 num_inputs=1,1,1,1 input_types=0,0,0,0 multiplanar=1,1,1,2 ;;
    *) insmod /modules/\$module.ko ;;
  esac
done
HOME=/tmp /bin/camera_vivid_guest --gtest_color=no && echo "vivid: all passed"
poweroff -f
INIT
  chmod +x "$root/init"
  (cd "$root" && find . | busybox cpio -o -H newc 2> /dev/null | gzip -1) > "$work/initramfs.gz"
}

boot() {
  timeout "$limit_s" qemu-system-x86_64 -accel tcg -icount shift=2,sleep=off -cpu qemu64 -m 512 -nic none -nographic \
    -no-reboot -kernel "$work/kernel/boot/"vmlinuz-* -initrd "$work/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off" < /dev/null | tr -d '\r' | tee "$work/log"
}

fetch_kernel
make_root
boot
grep -q '^vivid: all passed$' "$work/log" || fail "see $work/log"
