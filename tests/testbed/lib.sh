# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For the integration tests: . "$TESTDATA/testbed/lib.sh"

API=${API:-http://127.0.0.1:3111}

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'SKIP: %s\n' "$*" >&2
    exit 77
}

assert_eq() { # GOT EXPECTED [WHAT]
    [ "$1" = "$2" ] || fail "${3:-line ${BASH_LINENO[0]}}: got '$1', expected '$2'"
}

assert_match() { # GOT REGEX [WHAT]
    [[ $1 =~ $2 ]] || fail "${3:-line ${BASH_LINENO[0]}}: got '$1', expected a match of '$2'"
}

assert_rc() { # EXPECTED CMD...: the command's output stays visible
    local expected=$1 rc=0
    shift
    "$@" || rc=$?
    assert_eq "$rc" "$expected" "exit status of ${*@Q}"
}

# Polls until CMD succeeds; what CMD prints is shown only if it never does.
wait_until() { # [-t SECONDS] CMD...
    local seconds=30 deadline out
    if [ "$1" = -t ]; then
        seconds=$2
        shift 2
    fi
    deadline=$((${EPOCHREALTIME/./} + seconds * 1000000))
    while ! out=$("$@" 2>&1); do
        [ "${EPOCHREALTIME/./}" -lt $deadline ] || fail "not within ${seconds}s: ${*@Q}: $out"
        sleep 0.02
    done
}

# Prints the HTTP status on the first line and the body below it.
api() { # METHOD PATH [JSON]
    local args=(-sS --max-time 60 -X "$1" -w '%{http_code}') answer
    [ $# -lt 3 ] || args+=(-H 'Content-Type: application/json' --data-binary "$3")
    answer=$(curl "${args[@]}" "$API$2") || return
    printf '%s\n%s\n' "${answer: -3}" "${answer:0:-3}"
}

# Prints the body alone, once the status is the expected one.
assert_api() { # STATUS METHOD PATH [JSON]
    local answer expected=$1
    shift
    answer=$(api "$@") || fail "$1 $2: no answer"
    assert_eq "${answer%%$'\n'*}" "$expected" "$1 $2: ${answer#*$'\n'}"
    printf '%s\n' "${answer#*$'\n'}"
}

# --- what must be the same before and after: one NAME=NUMBER a line

count_lines() { awk 'END { print NR }'; }

service_pids() { # UNIT: all processes of it
    local group
    group=$(systemctl show -P ControlGroup "$1")
    [ -z "$group" ] || cat "$CGROUPS$group/cgroup.procs" 2>/dev/null
}

count_workers() { # processes of our services beside their main ones
    local unit n=0 pids
    for unit in sandboxd sandbox-execd sandbox-fsd sandbox-hook sandbox-netd sandbox-dns; do
        pids=$(service_pids $unit.service | count_lines)
        n=$((n + (pids > 0 ? pids - 1 : 0)))
    done
    echo $n
}

count_stray_pids() { # processes with a cgroup that is no service's, kernel threads aside
    grep -Hs '^0::' /proc/[0-9]*/cgroup |
        grep -Evc ':0::(/system\.slice/|/user\.slice/|/init\.scope|/dev-exec|/$)'
}

count_execd_mounts() { # nothing while it does not run
    local pid
    pid=$(systemctl show -P MainPID sandbox-execd.service)
    [ "$pid" = 0 ] || count_lines <"/proc/$pid/mountinfo"
}

# Those of our services, which have one of their own each, come and go with them.
count_netns() {
    grep -LsE '/(sandboxd|sandbox-execd|sandbox-fsd|sandbox-hook)\.service' /proc/[0-9]*/cgroup | sed 's,cgroup$,ns/net,' |
        xargs -r readlink 2>/dev/null | sort -u | count_lines
}

counts() {
    CGROUPS=/sys/fs/cgroup
    [ ! -d /sys/fs/cgroup/unified ] || CGROUPS=/sys/fs/cgroup/unified
    echo "scopes=$(systemctl list-units --all --no-legend --plain 'sandbox-*.scope' | count_lines)"
    echo "failed_units=$(systemctl list-units --failed --no-legend --plain | count_lines)"
    echo "cgroups=$(find "$CGROUPS/sandbox.slice" -mindepth 1 -type d ! -name '*.slice' 2>/dev/null | count_lines)"
    echo "mounts=$(count_lines </proc/1/mountinfo)"
    echo "mounts_of_execd=$(count_execd_mounts)"
    echo "pids=$(count_stray_pids)"
    echo "workers=$(count_workers)"
    echo "run_entries=$(find /run/sandboxd -mindepth 1 2>/dev/null | count_lines)"
    echo "store_entries=$(find /var/lib/sandbox -mindepth 1 -maxdepth 3 2>/dev/null | count_lines)"
    echo "loop_devices=$(find /sys/block/loop*/loop/backing_file 2>/dev/null | count_lines)"
    echo "netns=$(count_netns)"
}

counts_are() { # BEFORE: prints what differs; what one of both could not count is left out
    awk -F= 'NR == FNR { before[$1] = $2; next }
        before[$1] != "" && $2 != "" && before[$1] != $2 { print $1 ": " before[$1] " -> " $2; differs = 1 }
        END { exit differs }' <(echo "$1") <(counts)
}

assert_counts() { # BEFORE: waits for what is freed in the background
    wait_until -t "${2:-30}" counts_are "$1"
}
