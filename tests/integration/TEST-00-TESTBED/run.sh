#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# needs: container|container257|hybrid|vm|vm61
# The environments have what the other tests rely on.
set -eu
# shellcheck source=tests/testbed/lib.sh
. "$TESTDATA/testbed/lib.sh"

version=$(systemctl --version | awk 'NR == 1 { print $2 }')
kernel=$(uname -r)
before=$(counts)

case $TESTBED in
container257) assert_eq "$version" 257 systemd ;;
vm) assert_eq "$version ${kernel%.*}" "257 6.12" 'systemd and kernel' ;;
vm61) assert_eq "$version ${kernel%.*}" "252 6.1" 'systemd and kernel' ;;
esac

echo '- the sockets listen and nothing has failed'
for unit in sandboxd sandbox-execd sandbox-fsd; do
    assert_eq "$(systemctl is-active $unit.socket)" active $unit.socket
done
assert_eq "$(systemctl --failed --no-legend --plain)" '' 'failed units'

echo '- the programs find their libraries'
for program in /usr/bin/sandboxctl /usr/lib/sandboxd/*; do
    [ ! -x "$program" ] || assert_eq "$(ldd "$program" 2>&1 | grep 'not found')" '' "$program"
done

echo '- limits are in force where they are promised'
limit_is() { # FILE VALUE
    assert_eq "$(cat "$1")" "$2" "$1"
}
case $TESTBED in
hybrid|vm*)
    systemd-run --quiet --unit=testbed-limits -p MemoryMax=64M -p TasksMax=77 sleep infinity
    case $TESTBED in
    hybrid)
        limit_is /sys/fs/cgroup/memory/system.slice/testbed-limits.service/memory.limit_in_bytes 67108864
        limit_is /sys/fs/cgroup/pids/system.slice/testbed-limits.service/pids.max 77
        ;;
    *)
        limit_is /sys/fs/cgroup/system.slice/testbed-limits.service/memory.max 67108864
        limit_is /sys/fs/cgroup/system.slice/testbed-limits.service/pids.max 77
        systemctl freeze testbed-limits.service
        limit_is /sys/fs/cgroup/system.slice/testbed-limits.service/cgroup.freeze 1
        systemctl thaw testbed-limits.service
        ;;
    esac
    systemctl stop testbed-limits.service
    ;;
esac

echo '- images and writable roots have file systems that suit'
assert_match "$(findmnt -n -o FSTYPE /hostusr)" '^(ext4|xfs|btrfs)$' 'file system of /hostusr'
assert_match "$(findmnt -n -o OPTIONS /hostusr)" '^ro' 'options of /hostusr'
assert_match "$(findmnt -n -o FSTYPE /var/lib/sandbox)" '^(ext4|tmpfs)$' 'file system of /var/lib/sandbox'
grep -q hostusr /etc/sandboxd/images.d/00-testbed.conf || fail 'no catalog of images'

echo '- project quotas are enforced in the virtual machines'
case $TESTBED in
vm*)
    dir=/var/lib/sandbox/testbed-quota
    mkdir $dir
    chattr -p 4242 +P $dir
    setquota -P 4242 0 1024 0 0 /var/lib/sandbox
    chown nobody $dir
    # Not as root, whom CAP_SYS_RESOURCE lets past every quota.
    ! setpriv --reuid nobody --clear-groups dd if=/dev/zero of=$dir/file bs=64k count=32 2>/dev/null ||
        fail 'the quota was exceeded'
    assert_match "$(du -k $dir/file | cut -f1)" '^(9..|10..)$' 'KiB that fit'
    rm -r $dir
    ;;
esac

assert_counts "$before"
