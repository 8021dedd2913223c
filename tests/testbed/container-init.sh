#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# container-init.sh STATE: PID 1 of the new namespaces before systemd is.
# Builds the root file system, all in this private mount namespace, and executes systemd.
set -eu
testbed=$(dirname "$(readlink -f "$0")")
state=$1
controllers=() root=/ stage='' etc='' mode=v2 binds=()
# shellcheck source=/dev/null
. "$state/options"
new=$state/root

mount_root() {
    mkdir "$state/layers" "$new"
    mount -t tmpfs -o mode=755 tmpfs "$state/layers"
    cd "$state/layers" # relative names: a path of the caller's may hold characters that overlayfs gives a meaning
    mkdir upper work lower stage
    mount --bind "$root" lower
    [ -z "$stage" ] || cp -aT "$stage" stage # not bound: overlayfs refuses a layer that lies inside another
    mount -t overlay -o lowerdir=stage:lower,upperdir=upper,workdir=work overlay "$new"
    cd /
}

mount_dev() {
    local node
    mount -t tmpfs -o mode=755,nosuid tmpfs "$new/dev"
    for node in null zero full random urandom tty fuse net/tun; do
        [ -e "/dev/$node" ] || continue
        install -D /dev/null "$new/dev/$node"
        mount --bind "/dev/$node" "$new/dev/$node"
    done
    mkdir "$new/dev/pts" "$new/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$new/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/dev/shm"
    ln -s pts/ptmx "$new/dev/ptmx"
    ln -s /proc/self/fd "$new/dev/fd"
    ln -s fd/0 "$new/dev/stdin"
    ln -s fd/1 "$new/dev/stdout"
    ln -s fd/2 "$new/dev/stderr"
}

mount_api() {
    mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
    mount_dev
    mkdir -p "$new/run" "$new/tmp"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$new/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$new/tmp"
    mkdir "$new/run/systemd" "$new/run/lock"
}

mount_cgroups() {
    local c opts=nosuid,nodev,noexec top=$new/sys/fs/cgroup
    if [ "$mode" = v2 ]; then
        mount -t cgroup2 -o $opts cgroup2 "$top"
        return
    fi
    mount -t tmpfs -o mode=755,$opts tmpfs "$top"
    for c in "${controllers[@]}"; do
        mkdir "$top/${c#name=}"
        case $c in
        name=*) mount -t cgroup -o "$opts,none,$c" cgroup "$top/${c#name=}" ;;
        *) mount -t cgroup -o "$opts,$c" cgroup "$top/$c" ;;
        esac
    done
    mkdir "$top/unified"
    mount -t cgroup2 -o $opts cgroup2 "$top/unified"
}

bind() { # SRC DST [OPTIONS]
    if [ -d "$1" ]; then
        mkdir -p "$new$2"
    elif [ ! -e "$new$2" ]; then
        install -D /dev/null "$new$2"
    fi
    mount --bind "$1" "$new$2"
    [ -z "${3:-}" ] || mount -o "remount,bind,$3" "$new$2"
}

mount_data() {
    local b dir
    # An overlay can neither be idmapped nor carry another overlay's upper layer. So the images show the
    # root tree's own /usr, and what the services write lies on a tmpfs (or where --bind says).
    bind "${root%/}/usr" /hostusr ro
    bind "$testbed/.." /testdata ro
    for dir in /var/lib/sandbox /var/lib/sandboxd; do
        mkdir -p "$new$dir"
        mount -t tmpfs -o mode=755 tmpfs "$new$dir"
    done
    for b in "${binds[@]}"; do
        bind "${b%%:*}" "${b##*:}"
    done
}

# Nothing of what the root tree has enabled is to start.
write_etc() {
    local unit units=$new/etc/systemd/system
    rm -rf "$units"/*.wants "$units"/*.requires
    while read -r unit; do
        ln -sf /dev/null "$units/$unit"
    done < <(cat "$testbed/masked-units" "$testbed/masked-units-container")
    cp -rT --remove-destination "$testbed/etc" "$new/etc"
    [ ! -e /etc/resolv.conf ] || cp -L --remove-destination /etc/resolv.conf "$new/etc/resolv.conf"
    [ -z "$etc" ] || cp -rT --remove-destination "$etc" "$new/etc"
}

mount_root
mount_api
mount_cgroups
mount_data
write_etc

cd "$new"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
mount --make-rshared / # as on a machine: what PID 1 mounts shows in the namespaces of its services
for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do
    [ ! -x "$systemd" ] || break
done
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=testbed \
    "$systemd" --system --unit=testbed.target --log-target=console
