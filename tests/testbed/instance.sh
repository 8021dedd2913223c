#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# instance.sh start|exec|stop|pid STATE ...: a booted systemd of our own in namespaces.
#
# systemd runs as PID 1 of fresh pid, mount, cgroup, uts, ipc (and net) namespaces over a throw-away
# overlay of a root tree. Everything known about an instance stands in the folder STATE:
#   options     what it was started with (sourced by container-init.sh)
#   supervisor  the process that started it and cleans up after it: pid and start time
#   leader      its PID 1, likewise
#   cgroups     the control groups made for it, one a line
#   table forwarding  there if the table of rules, and that the machine forwards packets, came with it (--host-net)
#   status      "running" once the services answer, "failed" when it did not get there
#   log console what the supervisor and the PID 1 said
set -u
. "$(dirname "$(readlink -f "$0")")/common.sh"

usage() {
    cat <<'U'
instance.sh start STATE [OPTION...]    boot; returns when its services are set up
instance.sh exec STATE CMD [ARG...]    run CMD as root in it
instance.sh stop STATE                 end it, leave nothing
instance.sh pid STATE                  print the supervisor's pid if it runs

  --root DIR        root tree to boot, read-only lower layer (default: /)
  --stage DIR       tree of installed files laid over the root
  --etc DIR         files copied into /etc before the boot
  --owned DIR       removed together with the instance
  --bind SRC[:DST]  show SRC of this machine, writable
  --mode v2|hybrid  cgroup2 alone, or the machine's v1 controllers beside it
  --host-net        stay in the machine's network namespace
  --watch PID       stop when this process ends
U
}

# --- start: what the caller does

parse_start_options() {
    root=/ stage='' etc='' owned='' mode=v2 net=private watch='' binds=()
    while [ $# -gt 0 ]; do
        case $1 in
        --host-net) net=host; shift; continue ;;
        --root|--stage|--etc|--owned|--bind|--mode|--watch) [ $# -gt 1 ] || die "$1 wants a value" ;;
        *) die "unknown option '$1'" ;;
        esac
        case $1 in
        --root) root=$2 ;;
        --stage) stage=$2 ;;
        --etc) etc=$2 ;;
        --owned) owned=$2 ;;
        --bind) binds+=("$2") ;;
        --mode) mode=$2 ;;
        --watch) watch=$2 ;;
        esac
        shift 2
    done
    case $mode in v2|hybrid) ;; *) die "unknown mode '$mode'" ;; esac
}

instance_start() {
    parse_start_options "$@"
    mkdir -p "$(dirname "$state")"
    if ! mkdir "$state" 2>/dev/null; then
        instance_pid >/dev/null && die "an instance is running already (state in $state)"
        instance_remove
        mkdir "$state" || exit 1
    fi
    supervisor=
    trap start_abort INT TERM HUP
    process_write "$state/supervisor" $$
    declare -p root stage etc mode net watch binds >"$state/options"
    [ -z "$owned" ] || ln -s "$owned" "$state/owned"
    setsid "$0" supervise "$state" </dev/null >"$state/log" 2>&1 &
    supervisor=$!
    await_status $supervisor
}

start_abort() {
    trap '' INT TERM HUP
    if [ -n "$supervisor" ]; then
        kill -TERM "$supervisor" 2>/dev/null
        wait "$supervisor"
    fi
    instance_remove
    exit 143
}

await_status() { # PID of the supervisor
    while [ ! -e "$state/status" ]; do
        process_start_time "$1" >/dev/null || break
        sleep 0.01
    done
    [ "$(cat "$state/status" 2>/dev/null)" = running ] && return
    wait "$1" 2>/dev/null
    tail -n 30 "$state/log" "$state/console" >&2
    instance_remove
    die 'the instance did not come up (see above)'
}

# --- start: what the supervisor does

supervise() {
    local launcher leader namespaces=(--mount --pid --cgroup --uts --ipc)
    # shellcheck source=/dev/null
    . "$state/options"
    close_inherited
    process_write "$state/supervisor" $$
    trap supervisor_exit EXIT
    trap 'exit 143' INT TERM HUP
    groups_make
    if [ "$net" = host ]; then network_begin; else namespaces+=(--net); fi
    ( # forks nothing but the leader: see await_leader()
        groups_join ''
        exec unshare --propagation private --fork --kill-child=KILL "${namespaces[@]}" \
            "$testbed/container-init.sh" "$state"
    ) >"$state/console" 2>&1 &
    launcher=$!
    await_leader $launcher
    await_booted
    mkdir "$(head -n 1 "$state/cgroups")/dev-exec"
    instance_exec_ /testdata/testbed/setup.sh "$net" || exit 1
    echo running >"$state/status"
    if [ -n "$watch" ]; then
        tail --pid="$watch" -s 0.2 -f /dev/null &
        wait -n $launcher $!
    else
        wait $launcher
    fi
    exit 0
}

# It outlives the caller, who may wait for the end of a pipe, or of a lock.
close_inherited() {
    local fd
    for fd in "/proc/$$/fd"/*; do
        fd=${fd##*/}
        [ "$fd" -le 2 ] || [ "$fd" = 255 ] || exec {fd}>&- # 255 is this script
    done
}

supervisor_exit() {
    trap - EXIT INT TERM HUP
    [ -e "$state/status" ] || { instance_end; echo failed >"$state/status"; return; }
    instance_remove
    # shellcheck disable=SC2046
    kill $(jobs -p) 2>/dev/null
}

# One control group of our own in each hierarchy: the roots of the instance's cgroup namespace.
group_make() { # MOUNTPOINT CONTROLLER
    local path dir
    path=$(awk -F: -v c="$2" '$2 == c { print $3; exit }' /proc/self/cgroup)
    dir=${1%/}${path%/}/$group
    echo "$dir" >>"$state/cgroups"
    mkdir "$dir" || exit 1
    if [ "$2" = cpuset ]; then
        cat "$dir/../cpuset.cpus" >"$dir/cpuset.cpus"
        cat "$dir/../cpuset.mems" >"$dir/cpuset.mems"
    fi
}

groups_make() {
    local mnt type group=sandboxd-testbed-$$-$RANDOM
    controllers=()
    mnt=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$mnt" ] || die 'this machine has no cgroup2 file system mounted'
    group_make "$mnt" ''
    [ "$mode" = hybrid ] || return 0
    while read -r _ mnt type _; do
        [ "$type" = cgroup ] || continue
        case ${mnt##*/} in
        cpu|cpuacct|memory|pids|freezer|devices|blkio|cpuset) controllers+=("${mnt##*/}") ;;
        systemd) controllers+=(name=systemd) ;;
        *) continue ;;
        esac
        group_make "$mnt" "${controllers[-1]}"
    done </proc/mounts
    [ ${#controllers[@]} -gt 0 ] || die 'this machine has no cgroup v1 controllers: no hybrid mode here'
    declare -p controllers >>"$state/options"
}

# In the machine's own network: sandboxes with a way out need it to forward packets. That, and the rules that their
# services make, is as it was before when the instance has ended, unless another one was there first.
forwarding=/proc/sys/net/ipv4/ip_forward

network_begin() {
    nft list table inet sandboxd >/dev/null 2>&1 || : >"$state/table"
    if [ "$(cat "$forwarding")" = 0 ]; then
        : >"$state/forwarding"
        echo 1 >"$forwarding" || say 'this machine does not forward packets: no sandbox has a way out'
    fi
}

network_end() {
    [ ! -e "$state/table" ] || nft delete table inet sandboxd 2>/dev/null
    [ ! -e "$state/forwarding" ] || echo 0 >"$forwarding"
}

groups_join() { # SUBGROUP of the cgroup2 one (v1 allows processes anywhere)
    local dir sub=$1
    while read -r dir; do
        echo $BASHPID >"$dir$sub/cgroup.procs" || exit 1
        sub=
    done <"$state/cgroups"
}

await_leader() { # LAUNCHER
    leader=
    until [ -n "$leader" ]; do
        process_start_time "$1" >/dev/null || die 'could not make the namespaces'
        read -r leader _ <"/proc/$1/task/$1/children"
        sleep 0.01
    done
    process_write "$state/leader" "$leader"
}

await_booted() {
    local booted n
    for ((n = 0; n < 1500; n++)); do
        process_read "$state/leader" >/dev/null || die 'PID 1 ended'
        if [ -S "/proc/$leader/root/run/systemd/private" ]; then
            booted=$(enter systemctl is-system-running 2>/dev/null)
            case $booted in running|degraded) return ;; esac
        fi
        sleep 0.02
    done
    die "systemd did not come up: ${booted:-silent}"
}

# --- exec

enter() {
    nsenter -t "$leader" -m -p -u -i -n -C -r -w env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TESTDATA=/testdata "$@"
}

# A group of its own: not ours, which the instance cannot name, nor PID 1's.
instance_exec_() { (groups_join /dev-exec && enter "$@"); }

instance_exec() {
    local status=
    leader=$(process_read "$state/leader") && status=$(cat "$state/status" 2>/dev/null)
    [ "$status" = running ] || die "no instance is running (state would be in $state)"
    groups_join /dev-exec
    enter "$@"
}

# --- stop

instance_pid() { process_read "$state/supervisor"; }

instance_end() {
    local leader
    if leader=$(process_read "$state/leader"); then
        kill -s RTMIN+4 "$leader" 2>/dev/null # systemd(1): starts poweroff.target
        wait_until_gone 8 "$leader" || kill -KILL "$leader" 2>/dev/null
        wait_until_gone 5 "$leader"
    fi
    network_end
    groups_remove
}

groups_remove() {
    local dir n
    [ -e "$state/cgroups" ] || return 0
    while read -r dir; do
        # Callers of `exec` outside the namespaces end by themselves, but not at once.
        [ ! -e "$dir/cgroup.kill" ] || echo 1 >"$dir/cgroup.kill"
        for ((n = 0; n < 250; n++)); do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d "$dir" ] || continue 2
            sleep 0.02
        done
        say "could not remove the control group $dir"
    done <"$state/cgroups"
}

instance_remove() {
    instance_end
    [ ! -L "$state/owned" ] || rm -rf --one-file-system "$(readlink "$state/owned")"
    rm -rf --one-file-system "$state"
}

instance_stop() {
    local pid
    if pid=$(instance_pid) && [ "$pid" != $$ ]; then
        kill -TERM "$pid" 2>/dev/null
        wait_until_gone 25 "$pid" || kill -KILL "$pid" 2>/dev/null
        wait_until_gone 5 "$pid"
    elif [ ! -d "$state" ]; then
        die "no instance is running (state would be in $state)"
    fi
    [ ! -d "$state" ] || instance_remove
}

[ $# -ge 2 ] || { usage >&2; exit 2; }
verb=$1 state=$(realpath -m "$2")
shift 2
case $verb in
start) instance_start "$@" ;;
exec) instance_exec "$@" ;;
stop) instance_stop ;;
pid) instance_pid ;;
supervise) supervise ;;
*) usage >&2; exit 2 ;;
esac
