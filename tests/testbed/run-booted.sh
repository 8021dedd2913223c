# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by run-tests.sh: integration tests in booted containers, some at a time, and in virtual machines.

container_environments=(container container257 hybrid sanitized)
all_environments=("${container_environments[@]}" vm vm61)

# --- which tests, and where

test_header() { # TEST WORD: what follows "# WORD:" in it
    sed -n "s/^# $2: *//p" "$repo/tests/integration/$1/run.sh"
}

test_needs() { # TEST
    local needs
    needs=$(test_header "$1" needs | tr '|,' '  ')
    # shellcheck disable=SC2086 # one blank between words
    echo ${needs:-container}
}

test_suite() { # TEST
    case " $(test_needs "$1") " in
    *\ container*) echo integration ;;
    *) echo limits ;;
    esac
}

# All environments unless some were named; the sanitized one takes a build that only CI makes anyway.
environment_is_wanted() { # ENVIRONMENT
    if [ ${#environments[@]} -gt 0 ]; then
        [[ " ${environments[*]} " == *" $1 "* ]]
    else
        [ "$1" != sanitized ] || [ "${CI:-}" = true ]
    fi
}

wanted_tests() { # ENVIRONMENT
    local t
    environment_is_wanted "$1" || return 0
    for t in "$repo"/tests/integration/TEST-*/run.sh; do
        [ -e "$t" ] || continue
        t=$(basename "$(dirname "$t")")
        [[ " ${booted_suites[*]} " == *" $(test_suite "$t") "* ]] && name_is_wanted "$t" || continue
        case " $(test_needs "$t") " in *" $1 "*) echo "$t" ;; esac
    done
}

any_vm_is_wanted() { [ -n "$(wanted_tests container257)$(wanted_tests vm)$(wanted_tests vm61)" ]; }

# --- what an environment is made of

prepare_container() { :; }

prepare_container257() {
    packages_ensure "${packages_vm[@]}"
    tree_build trixie
}

prepare_sanitized() {
    build gcc-asan
    build_stage gcc-asan "$work/sanitized.stage"
}

prepare_vm() {
    packages_ensure "${packages_vm[@]}"
    vm_build trixie
}

prepare_vm61() {
    packages_ensure "${packages_vm[@]}"
    vm_build bookworm
}

prepare_hybrid() {
    grep -q ' cgroup rw.*,memory' /proc/mounts || { echo 'the memory controller of cgroup v1 is not mounted'; return 1; }
}

# By whoever comes first; the others wait. What it said remains.
environment_is_there() { # ENVIRONMENT
    local out=$logs/$1
    mkdir -p "$out"
    (
        flock 6
        if [ ! -e "$work/$1.prepared" ]; then
            ("prepare_$1" 6>&-) >"$out/prepare.log" 2>&1
            echo $? >"$work/$1.prepared"
        fi
    ) 6>"$work/$1.prepare.lock"
    [ "$(cat "$work/$1.prepared")" = 0 ]
}

skip_environment() { # ENVIRONMENT TEST...
    local t log=$logs/$1/prepare.log reason
    reason="no such environment here: $(tail -n 1 "$log")"
    [ "$(wc -l <"$log")" -le 1 ] || reason+=", see $log"
    for t in "${@:2}"; do
        count_skip "$1" "$t" "$reason"
    done
}

count_booted() { # ENVIRONMENT TEST...
    local env=$1 out=$logs/$1 t rc ms
    for t in "${@:2}"; do
        read -r rc ms < <(sed -n "s/^$t //p" "$out/results" 2>/dev/null) || rc=none ms=0
        case $rc in
        0) count_pass "$env" "$t" "$ms" "$(cat "$out/$t.cpu" 2>/dev/null)" ;;
        77) count_skip "$env" "$t" "$(tail -n 1 "$out/$t.log")" ;;
        *) count_fail "$env" "$t" "exit status $rc, see $out/$t.log and $t.journal" "$out/$t.journal" "$out/$t.log" ;;
        esac
    done
}

# --- containers: each test has one of its own

run_container() { # ENVIRONMENT TEST STATE
    local out=$logs/$1 v options=() settings=() stage=$stage
    case $1 in
    container257) options=(--root "$(tree_dir trixie)") ;;
    hybrid) options=(--mode hybrid) ;;
    sanitized) stage=$work/sanitized.stage ;;
    esac
    "$instance" start "$3" --stage "$stage" --bind "$out:/testout" --watch $$ "${options[@]}" >"$out/$2.log" 2>&1 ||
        return
    for v in "${!TEST_@}"; do
        settings+=("$v=${!v}")
    done
    attended "$instance" exec "$3" env "${settings[@]}" /testdata/testbed/run-inside.sh "$1" "$2" >/dev/null
    container_cpu "$3" >"$out/$2.cpu"
    "$instance" stop "$3"
}

# What all in it have used of the processors: little in a long test means that it waits.
container_cpu() { # STATE
    local group
    read -r group <"$1/cgroups" && awk '$1 == "usage_usec" { printf ", cpu %.1fs", $2 / 1e6 }' "$group/cpu.stat"
}

run_in_container() { # ENVIRONMENT TEST STATE
    if ! environment_is_there "$1"; then
        skip_environment "$1" "$2"
        return
    fi
    run_container "$@"
    count_booted "$1" "$2"
}

# Tests that measure, or take all that a machine has, say why in their line "# alone:".
container_queue() { # alone|together
    local env t how
    for env in "${container_environments[@]}"; do
        for t in $(wanted_tests "$env"); do
            how=together
            [ -z "$(test_header "$t" alone)" ] || how=alone
            [ $how != "$1" ] || echo "$env $t"
        done
    done
}

# Takes the first line off the queue.
queue_next() { # QUEUE
    (
        flock 6
        head -n 1 "$1"
        sed -i 1d "$1"
    ) 6>"$1.lock"
}

container_worker() { # QUEUE NUMBER
    local env t
    while read -r env t < <(queue_next "$1"); do
        run_in_container "$env" "$t" "$work/container$2"
    done
}

# They wait more than they work.
container_workers() {
    local n
    n=$(($(nproc) + 1))
    echo $((n < 6 ? n : 6))
}

run_containers() {
    local i lanes=()
    container_queue together >"$work/together"
    for ((i = 1; i <= $(container_workers); i++)); do
        lane_begin "containers-$i" container_worker "$work/together" "$i"
        lanes+=("containers-$i")
    done
    lane_end "${lanes[@]}"
}

run_containers_alone() {
    container_queue alone >"$work/alone"
    container_worker "$work/alone" 0
}

# --- virtual machines: one for all tests, as an emulated one needs seconds to boot

# They take a processor each, and a long time, so they begin first.
vm_lanes_begin() {
    if [ "$(nproc)" -ge 4 ]; then
        lane_begin vm run_vms vm
        lane_begin vm61 run_vms vm61
    else
        lane_begin vm run_vms vm vm61
    fi
}

run_vms() { # ENVIRONMENT...
    local env tests
    for env in "$@"; do
        mapfile -t tests < <(wanted_tests "$env")
        [ ${#tests[@]} -gt 0 ] || continue
        if ! environment_is_there "$env"; then
            skip_environment "$env" "${tests[@]}"
            continue
        fi
        run_vm "$env" "${tests[@]}"
        count_booted "$env" "${tests[@]}"
    done
}

run_vm() { # ENVIRONMENT TEST...
    local env=$1 out=$logs/$1 layer=$work/$1.layer begin=$SECONDS
    shift
    mkdir "$layer"
    cp -aT "$stage" "$layer"
    cp -a "$repo/tests" "$layer/testdata"
    cat >"$layer/testdata/job" <<J
/testdata/testbed/setup.sh && /testdata/testbed/run-inside.sh $env $*
J
    LIMIT=1500 attended "$testbed/boot-vm.sh" "$(vm_suite "$env")" "$layer" "$out" >"$out/vm.log" 2>&1 ||
        tail -n 30 "$out/vm.log"
    rm -rf "$layer"
    printf '%s: machine of %s ran for %ds\n' "$env" "$(vm_suite "$env")" $((SECONDS - begin))
}

vm_suite() { # ENVIRONMENT
    case $1 in
    vm) echo trixie ;;
    vm61) echo bookworm ;;
    esac
}
