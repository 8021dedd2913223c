#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An instance of `dev up` is usable and leaves nothing: no process, namespace, control group, mount, file or port.
set -eu
here=$(dirname "$(readlink -f "$0")")
TESTDATA=$(dirname "$here")
# shellcheck source=tests/testbed/lib.sh
. "$here/../testbed/lib.sh"
dev=$(dirname "$TESTDATA")/dev

[ "$(id -u)" = 0 ] || skip 'needs root'
[ ! -d /run/systemd/system ] || skip 'PID 1 is systemd and owns the control groups'

TMPDIR=$(mktemp -d)
export TMPDIR SANDBOXD_DEV_STATE=$TMPDIR/state/instance
trap '[ ! -d "$SANDBOXD_DEV_STATE" ] || "$dev" down; rm -rf "$TMPDIR"' EXIT
port=$((20000 + RANDOM % 10000))

boot() {
    assert_eq "$("$dev" up --port $port --set III_TEST=1 --bind "$TMPDIR:/mnt" | tail -n 1)" ready
    read -r leader _ <"$SANDBOXD_DEV_STATE/leader"
    read -r supervisor _ <"$SANDBOXD_DEV_STATE/supervisor"
    groups=$(cat "$SANDBOXD_DEV_STATE/cgroups")
    namespaces=$(readlink /proc/"$leader"/ns/{mnt,pid,cgroup,uts,ipc} | paste -sd'|')
}

assert_nothing_left() { # WHAT
    local g
    for g in $groups; do
        [ ! -d "$g" ] || fail "$1: control group $g is still there"
    done
    assert_eq "$(readlink /proc/[0-9]*/ns/* 2>/dev/null | grep -cxE "$namespaces")" 0 "$1: uses of its namespaces"
    assert_eq "$(grep -c "$TMPDIR" /proc/self/mountinfo)" 0 "$1: mounts"
    assert_eq "$(find "$TMPDIR" -mindepth 1 ! -path "$TMPDIR/state")" '' "$1: files"
    assert_eq "$(ss -ltnH "sport = :$port")" '' "$1: listening sockets"
    assert_eq "$(network_of_the_machine)" "$network" "$1: rules and forwarding"
}

network_of_the_machine() {
    nft list tables
    cat /proc/sys/net/ipv4/ip_forward
}

namespaces_are_gone() { ! readlink /proc/[0-9]*/ns/* 2>/dev/null | grep -qxE "$namespaces"; }
wires_are_gone() { ! ip -o link | grep -qE ': sb[em][0-9a-f]'; }
instance_is_gone() { [ ! -d "$SANDBOXD_DEV_STATE" ] && [ ! -d "/proc/$supervisor" ]; }

network=$(network_of_the_machine)
boot
assert_eq "$(echo in | "$dev" exec cat)" in 'stdin and stdout of exec'
assert_eq "$("$dev" exec sandboxctl run host --network -- ip -o link show eth0 | wc -l)" 1 'a way out'
assert_rc 7 "$dev" exec sh -c 'exit 7'
assert_eq "$("$dev" exec cat /etc/sandboxd/sandboxd.conf.d/50-dev.conf | tail -n 1)" III_TEST=1
assert_match "$("$dev" up --port $port 2>&1)" 'is running already' 'a second up'
"$dev" down
wait_until wires_are_gone
assert_nothing_left 'after down'
assert_rc 1 "$dev" down

boot
kill -KILL "$supervisor"
"$dev" down
wait_until namespaces_are_gone
assert_nothing_left 'after the supervisor was killed'

boot
"$dev" exec systemctl --no-block start poweroff.target
wait_until instance_is_gone
assert_nothing_left 'after it ended by itself'
