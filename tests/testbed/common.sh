# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev` and by the scripts beside it: where things are, and how a process is named safely.

testbed=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
repo=${testbed%/tests/testbed}
cache=${SANDBOXD_CACHE:-$repo/.cache}

export testbed repo cache
umask 022 # the services read what is written for them here

say() { printf '%s\n' "$*" >&2; }
die() { say "dev: $*"; exit 1; }

# A pid alone may have been reused; with its start time it names one process for ever.
process_start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # the fields are to be split
    set -- $stat
    [ "$1" != Z ] && echo "${20}"
}

process_write() { # FILE PID
    echo "$2 $(process_start_time "$2")" >"$1.new" && mv "$1.new" "$1"
}

# Prints the pid that FILE names if that very process still runs.
process_read() { # FILE
    local pid start
    read -r pid start 2>/dev/null <"$1" || return 1
    [ -n "$start" ] && [ "$(process_start_time "$pid")" = "$start" ] && echo "$pid"
}

# Makes $work, a folder that goes when we do, with every instance that has its state in it. So does the instance
# with the state $starting.
work_begin() { # TEMPLATE
    work='' starting='' attended_pid=''
    trap work_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    work=$(mktemp -d "$1") || exit 1
    chmod 755 "$work"
}

work_end() {
    local s pid
    for pid in $(jobs -pr); do
        kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null # a lane has a group of its own
    done
    wait
    for s in "$work"/*/supervisor "$starting/supervisor"; do
        [ ! -e "$s" ] || "$testbed/instance.sh" stop "$(dirname "$s")"
    done
    [ -z "$work" ] || rm -rf --one-file-system "$work"
}

# Runs CMD so that a signal for us is not put off until CMD ends.
attended() { # CMD...
    "$@" <&0 &
    attended_pid=$!
    wait $attended_pid
}

wait_until_gone() { # SECONDS PID
    local n
    for ((n = $1 * 50; n > 0; n--)); do
        process_start_time "$2" >/dev/null || return 0
        sleep 0.02
    done
    return 1
}
