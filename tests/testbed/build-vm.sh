#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# build-vm.sh SUITE: makes .cache/vm/SUITE/{vmlinux,initrd,root.img,data.img} of the tree of that Debian release.
set -eu
testbed_dir=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$testbed_dir/common.sh"
# shellcheck source=trees.sh
. "$testbed_dir/trees.sh"

suite=$1
tree=$(tree_dir "$suite")
out=$cache/vm/$suite

# Direct boot of the uncompressed kernel: nothing is to be decompressed by an emulated processor.
write_vmlinux() { # BZIMAGE
    python3 - "$1" "$out/vmlinux" <<'P'
import struct, subprocess, sys
image = open(sys.argv[1], 'rb').read()
offset = ((image[0x1f1] or 4) + 1) * 512 + struct.unpack_from('<I', image, 0x248)[0]
payload = image[offset:offset + struct.unpack_from('<I', image, 0x24c)[0]]
tools = {b'\x02!L\x18': 'lz4', b'\x28\xb5\x2f\xfd': 'zstd', b'\xfd7zXZ': 'xz', b'\x1f\x8b': 'gzip'}
tool = next(tool for magic, tool in tools.items() if payload.startswith(magic))
# The last four bytes are the size, added by the kernel's own build.
elf = subprocess.run([tool, '-dc'], input=payload[:-4], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
assert elf[:4] == b'\x7fELF', tool
open(sys.argv[2], 'wb').write(elf)
P
}

module_files() { # MODULE...: with what they depend on, in the order of loading
    local m
    for m in "$@"; do
        modprobe -d "$kernel" -S "$version" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++'
}

write_initrd() {
    local dir=$work/initrd n=10 file
    mkdir -p "$dir"/{bin,dev,proc,sys,root,modules}
    cp /bin/busybox "$dir/bin/"
    ln -s busybox "$dir/bin/sh"
    while read -r file; do
        n=$((n + 1))
        case $file in
        *.xz) xz -dc "$file" >"$dir/modules/$n-$(basename "${file%.xz}")" ;;
        *) cp "$file" "$dir/modules/$n-$(basename "$file")" ;;
        esac
    done < <(module_files virtio_pci virtio_mmio virtio_blk virtio_console)
    install -m 755 "$testbed/vm-initrd-init.sh" "$dir/init"
    (cd "$dir" && find . | cpio -o -H newc --quiet) >"$out/initrd"
}

copy_modules() { # ROOT
    local to=$1/usr/lib/modules/$version dirs
    dirs='net/(netfilter|bridge|ipv4|ipv6|802|llc|sched|core|unix|packet)|crypto/(crc32|libcrc)|lib'
    dirs+='|fs/(overlayfs|fuse|squashfs|erofs|nls|binfmt_misc|autofs|quota)'
    dirs+='|drivers/(net/(veth|tun|dummy|virtio_net|net_failover|ifb)|virtio|char|block/(loop|virtio_blk))'
    mkdir -p "$to"
    cp "$modules"/modules.{builtin,order,builtin.modinfo} "$to/"
    (cd "$modules" && find kernel -name '*.ko*' | grep -E "^kernel/($dirs)" | cpio -pdm --quiet "$to")
    depmod -b "$1/usr" "$version" 2>/dev/null || depmod -b "$1" "$version"
}

configure_root() { # ROOT: as container-init.sh does for a container
    local unit units=$1/etc/systemd/system
    rm -rf "$units"/*.wants "$units"/*.requires "${1:?}"/boot/*
    while read -r unit; do
        ln -sf /dev/null "$units/$unit"
    done <"$testbed/masked-units"
    cp -rT --remove-destination "$testbed/etc" "$1/etc"
    cp "$testbed/vm-job.service" "$units/"
    install -m 755 "$testbed/vm-job.sh" "$1/usr/lib/testbed-vm-job"
    mkdir -p "$units/testbed.target.wants" "$1/etc/modules-load.d"
    ln -s ../vm-job.service "$units/testbed.target.wants/"
    ln -sf testbed.target "$units/default.target"
    printf '%s\n' overlay loop quota_v2 >"$1/etc/modules-load.d/testbed.conf"
}

write_root() {
    local dir=$work/root
    cp -a "$tree" "$dir"
    copy_modules "$dir"
    configure_root "$dir"
    rm -f "$out/root.img"
    truncate -s 1500M "$out/root.img"
    mkfs.ext4 -q -F -O '^has_journal,^metadata_csum,^huge_file' -E lazy_itable_init=1,root_owner=0:0 -m 0 -N 120000 \
        -d "$dir" "$out/root.img"
}

# What the services write lies here, so that project quotas can be had.
write_data() {
    rm -f "$out/data.img"
    truncate -s 2G "$out/data.img"
    mkfs.ext4 -q -F -O quota,project -E quotatype=prjquota,lazy_itable_init=1,root_owner=0:0 -m 0 "$out/data.img"
}

mkdir -p "$out"
work=$(mktemp -d "$cache/vm/build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
kernel=$work/kernel
dpkg -x "$tree"/boot/linux-image-*.deb "$kernel"
[ -d "$kernel/lib/modules" ] || ln -s usr/lib "$kernel/lib"
modules=$(echo "$kernel"/lib/modules/*)
version=${modules##*/}
depmod -b "$kernel" "$version"
write_vmlinux "$kernel/boot/vmlinuz-$version"
write_initrd
write_root
write_data
