#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# peers.sh OUT: inside a booted instance, finds out how crun, runc and systemd-nspawn can be made to run /bin/true here.
# Each gets the strictest way that works; OUT says which, and of those that do not run at all, why.
set -u
out=$1
bench=/usr/lib/sandboxd/tests/sandbox-bench
dir=/run/bench-peers
declare -A peers=()

words() { # ARGUMENT...: as a JSON array
    printf '%s\n' "$@" | jq -R . | jq -s -c .
}

add_peer() { # NAME ISOLATION ARGUMENT...
    local name=$1 isolation=$2
    shift 2
    peers[$name]=$(jq -n --arg isolation "$isolation" --argjson argv "$(words "$@")" '{isolation: $isolation, argv: $argv}')
}

add_failure() { # NAME TEXT
    peers[$1]=$(jq -n --arg error "$2" '{error: $error}')
}

make_root() { # DIR
    mkdir -p "$1"/{usr,proc,dev,sys,tmp,etc,run,var,root}
    ln -sfn usr/bin "$1/bin"
    ln -sfn usr/lib "$1/lib"
    ln -sfn usr/lib64 "$1/lib64"
}

# The engine's own default, with its usual namespaces and capabilities, and our filter of the usual size.
make_bundle() { # DIR ARGUMENT...
    local bundle=$1
    shift
    mkdir -p "$bundle"
    make_root "$bundle/rootfs"
    (cd "$bundle" && rm -f config.json && crun spec) || return
    jq --slurpfile filter "$dir/filter.json" --argjson words "$(words "$@")" '
        .process.terminal = false | .process.args = $words | .root.readonly = true
        | .linux.seccomp = $filter[0] | del(.linux.resources)
        | .mounts += [{destination: "/usr", type: "bind", source: "/hostusr", options: ["bind", "ro"]}]' \
        <"$bundle/config.json" >"$bundle/config.new" && mv "$bundle/config.new" "$bundle/config.json"
}

try() { # LOG CMD...: leaves the last line of a complaint
    local log=$1
    shift
    timeout 20 "$@" >"$log" 2>&1 </dev/null
}

# OPTION is what makes the program manage control groups; empty for the one that its default is.
oci_peer() { # PROGRAM ISOLATION OPTION...
    local program=$1 isolation=$2 option
    shift 2
    make_bundle "$dir/once" /bin/true && make_bundle "$dir/stays" /bin/sleep infinity || return
    for option in "$@"; do
        # shellcheck disable=SC2086 # an option, or none
        if try "$dir/log" "$program" $option run --bundle "$dir/once" bench-try; then
            # shellcheck disable=SC2086
            add_peer "$program-run" "$isolation${option:+, $option}" "$program" $option run --bundle "$dir/once" bench-once
            # shellcheck disable=SC2086
            oci_exec_peer "$program" "$isolation${option:+, $option}" $option
            return
        fi
        # shellcheck disable=SC2086
        "$program" $option delete -f bench-try >/dev/null 2>&1
    done
    add_failure "$program-run" "$(tail -n 1 "$dir/log")"
    add_failure "$program-exec" "$(tail -n 1 "$dir/log")"
}

oci_exec_peer() { # PROGRAM ISOLATION OPTION...
    local program=$1 isolation=$2
    shift 2
    if try "$dir/log" "$program" "$@" run -d --bundle "$dir/stays" "bench-$program-stays" &&
        try "$dir/log" "$program" "$@" exec "bench-$program-stays" /bin/true; then
        add_peer "$program-exec" "$isolation" "$program" "$@" exec "bench-$program-stays" /bin/true
    else
        add_failure "$program-exec" "$(tail -n 1 "$dir/log")"
    fi
}

nspawn_peer() {
    local words option
    make_root "$dir/nspawn"
    for option in --private-users=524288:65536 --private-users=no; do
        words=(systemd-nspawn --quiet --register=no --keep-unit --directory="$dir/nspawn" --read-only --private-network
            --as-pid2 --timezone=off --resolv-conf=off --link-journal=no --bind-ro=/hostusr:/usr "$option" /bin/true)
        if try "$dir/log" "${words[@]}"; then
            add_peer nspawn "all namespaces, seccomp, capabilities, $option" "${words[@]}"
            return
        fi
    done
    add_failure nspawn "$(tail -n 1 "$dir/log")"
}

mkdir -p "$dir"
$bench --profile >"$dir/filter.json" || exit
isolation='pid, mount, net, ipc, uts, cgroup namespaces, capabilities, seccomp; no user namespace'
oci_peer crun "$isolation" --systemd-cgroup '' --cgroup-manager=disabled
oci_peer runc "$isolation" --systemd-cgroup ''
nspawn_peer
for name in "${!peers[@]}"; do
    jq -n --arg name "$name" --argjson peer "${peers[$name]}" '{($name): $peer}'
done | jq -s add >"$out"
cat "$out"
