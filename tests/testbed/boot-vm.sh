#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# boot-vm.sh SUITE LAYER OUT: boots the VM image of a Debian release under qemu's emulation (no KVM needed),
# unpacks the folder LAYER over its root, runs the /testdata/job in it, leaves what that put into /testout in OUT.
# Exits with the job's status, 125 if the machine did not get to it, 124 after $LIMIT seconds (600).
set -u
testbed_dir=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$testbed_dir/common.sh"

[ $# = 3 ] || die 'boot-vm.sh wants SUITE LAYER OUT'
image=$cache/vm/$1 layer=$2 out=$3
work_begin "${TMPDIR:-/tmp}/sandboxd-vm.XXXXXX"

kernel_arguments=(
    console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr no5lvl audit=0 apparmor=0 selinux=0 psi=1
    nowatchdog rcupdate.rcu_expedited=1 random.trust_cpu=on cryptomgr.notests init_on_alloc=0 no_timer_check
    tsc=reliable
)

disk() { # FILE OPTIONS NAME
    qemu_arguments+=(-drive "file=$1,format=raw,if=none,id=$3,$2" -device "virtio-blk-pci,drive=$3")
}

channel() { # NUMBER FILE
    qemu_arguments+=(-chardev "file,id=c$1,path=$2" -device "virtserialport,chardev=c$1,nr=$1")
}

compose() {
    # shellcheck disable=SC2054 # the commas are qemu's
    qemu_arguments=(
        -accel tcg,thread=single,tb-size=512 -machine q35 -cpu Nehalem,-cx16 -m 4096 -smp 2
        -nodefaults -no-user-config -no-reboot -display none -serial "file:$work/console"
        -kernel "$image/vmlinux" -initrd "$image/initrd" -append "${kernel_arguments[*]}"
        -device virtio-rng-pci -device virtio-serial-pci,max_ports=8
    )
    disk "$image/root.img" snapshot=on,cache=unsafe root
    disk "$work/job.tar" readonly=on job
    disk "$image/data.img" snapshot=on,cache=unsafe data
    channel 1 "$work/output"
    channel 2 "$work/out.tar"
    channel 3 "$work/status"
}

tar -c -f "$work/job.tar" -C "$layer" . || exit 1
truncate -s %512 "$work/job.tar"
compose
attended timeout "${LIMIT:-600}" qemu-system-x86_64 "${qemu_arguments[@]}" >"$work/qemu.log" 2>&1 </dev/null
ended=$?
cat "$work/output" 2>/dev/null
[ ! -s "$work/out.tar" ] || tar -x -f "$work/out.tar" -C "$out"
read -r status 2>/dev/null <"$work/status" && exit "$status"
cat "$work/qemu.log" >&2
tail -c 3000 "$work/console" >&2
[ $ended = 124 ] && exit 124
exit 125
