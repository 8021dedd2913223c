# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev test`: runs the suites, counts, ends with "N passed, N failed, N skipped".
#
# What takes long runs side by side, in lanes: virtual machines, builds with the tests that meson runs, tests in
# containers. Each result is printed as it comes.

# shellcheck source=tests/testbed/run-booted.sh
. "$testbed/run-booted.sh"

all_suites=(unit bus integration limits fuzz dist)
logs=$cache/test-logs

# --- counting: a line in $work/counts for each result

count_pass() { # WHERE TEST MILLISECONDS [MORE]
    echo passed >>"$work/counts"
    printf 'ok   %s: %s %d.%03ds%s\n' "$1" "$2" $(($3 / 1000)) $(($3 % 1000)) "${4:-}"
}

count_fail() { # WHERE TEST REASON [FILE...]: whose ends are shown, all of it in one piece
    echo failed >>"$work/counts"
    (
        flock 6
        [ $# -lt 4 ] || tail -q -n 40 "${@:4}" 2>/dev/null
        printf 'FAIL %s: %s: %s\n' "$1" "$2" "$3"
    ) 6>"$work/output.lock"
}

count_skip() { # WHERE TEST REASON
    if [ "${CI:-}" = true ]; then
        case $1 in
        container257|sanitized|hybrid|vm|vm61)
            count_fail "$1" "$2" "skipped: $3"
            return
            ;;
        esac
    fi
    echo skipped >>"$work/counts"
    printf 'SKIP %s: %s: %s\n' "$1" "$2" "$3"
}

counted() { grep -cx "$1" "$work/counts"; } # passed|failed|skipped

# --- lanes

# Runs CMD beside us, in a process group of its own, which ends with us.
lane_begin() { # NAME CMD...
    set -m
    (
        set +m
        trap '[ -z "$attended_pid" ] || kill "$attended_pid" 2>/dev/null' EXIT
        trap 'exit 143' INT TERM HUP
        attended_pid=''
        "${@:2}"
        : >"$work/$1.lane"
    ) </dev/null 8>&- &
    set +m
    lane_pids[$1]=$!
}

lane_end() { # NAME...
    local name
    for name in "$@"; do
        [ -n "${lane_pids[$name]:-}" ] || continue
        wait "${lane_pids[$name]}" 2>/dev/null # bash forgets one that ended long ago
        [ -e "$work/$name.lane" ] || count_fail "$name" 'the tests of this lane' 'it ended before they did'
    done
}

# --- suites that are meson tests

suite_builds() { # SUITE
    case $1,${CI:-} in
    dist,*) echo gcc-release ;;
    fuzz,true) echo gcc-asan clang-asan ;;
    fuzz,*) echo clang-asan ;;
    *,true) echo gcc-release gcc-asan clang-release clang-asan ;;
    *) echo gcc-release clang-asan ;;
    esac
}

run_meson_suite() { # SUITE BUILD
    local dir log wrapper=(env) begin=$SECONDS
    # The sanitizers of clang 14 crash now and then where the kernel randomizes more than 28 bits of an address.
    [[ $2 != *-asan ]] || wrapper=(setarch -R env)
    dir=$(build_dir "$2")
    log=$dir/meson-logs/testlog-$1.json
    rm -f "$log"
    attended "${wrapper[@]}" SANDBOXD_STAGE="$stage" "${sanitizer_options[@]}" \
        meson test -C "$dir" --no-rebuild --suite "$1" --logbase "testlog-$1" >"$logs/$1.$2.log" 2>&1 </dev/null
    if [ -e "$log" ]; then
        count_meson_suite "$1 ($2)" "$log"
        printf '%s (%s): %s tests, %ds\n' "$1" "$2" "$(wc -l <"$log")" $((SECONDS - begin))
    elif grep -q 'No suitable tests' "$logs/$1.$2.log"; then
        printf '%s (%s): no tests\n' "$1" "$2"
    else
        count_fail "$1 ($2)" 'meson test' 'did not run' "$logs/$1.$2.log"
    fi
}

meson_output() { # JSON-LINES TEST
    jq -r --arg name "$2" 'select(.name == $name) | (.stdout // "") + (.stderr // "") | rtrimstr("\n")' "$1"
}

count_meson_suite() { # WHERE JSON-LINES
    local result name
    while IFS=$'\t' read -r result name; do
        case $result in
        OK|EXPECTEDFAIL) echo passed >>"$work/counts" ;;
        SKIP) count_skip "$1" "$name" "$(meson_output "$2" "$name" | tail -n 1)" ;;
        *) count_fail "$1" "$name" "$result" <(meson_output "$2" "$name") ;;
        esac
    done < <(jq -r '[.result, .name] | @tsv' "$2")
}

# --- builds

is_broken() { [ -e "$work/$1.broken" ]; } # BUILD

build_or_count() { # BUILD
    (build "$1") && return
    : >"$work/$1.broken"
    count_fail build "$1" 'does not compile'
}

prepare_main_build() {
    build_or_count "$main_build"
    is_broken "$main_build" || build_stage "$main_build" "$stage"
}

meson_suites_of() { # BUILD
    local s
    for s in "${suites[@]}"; do
        [[ $s != integration && $s != limits && " $(suite_builds "$s") " == *" $1 "* ]] && echo "$s"
    done
}

# Those first that more is waiting for: the tests of the suites, then the sanitized container.
run_builds() {
    local b s build_nice=10
    for b in "$main_build" gcc-release gcc-asan clang-asan clang-release; do
        [ "$b" = "$main_build" ] || [ -n "$(meson_suites_of "$b")" ] && [ ! -e "$work/$b.seen" ] || continue
        : >"$work/$b.seen"
        [ "$b" = "$main_build" ] || build_or_count "$b"
        ! is_broken "$b" || continue
        for s in $(meson_suites_of "$b"); do
            run_meson_suite "$s" "$b"
        done
    done
    [ "${CI:-}" != true ] || build_or_count gcc-minimal
}

# --- all together

name_is_wanted() { # TEST
    local n
    [ ${#names[@]} -gt 0 ] || return 0
    for n in "${names[@]}"; do
        [ "$1" != "$n" ] && [[ $1 != "$n"-* ]] || return 0
    done
    return 1
}

parse_tests() {
    local a s
    for a in "$@"; do
        case " ${all_suites[*]} / ${all_environments[*]} " in
        *" $a "*/*) suites+=("$a") ;;
        */*" $a "*) environments+=("$a") ;;
        *)
            compgen -G "$repo/tests/integration/$a*/run.sh" >/dev/null && [[ $a == TEST-* ]] ||
                bad_usage "test: there is no suite '$a'; there are ${all_suites[*]}, ${all_environments[*]} and each TEST-nn"
            names+=("$a")
            ;;
        esac
    done
    if [ ${#suites[@]} -eq 0 ]; then
        suites=("${all_suites[@]}")
        [ ${#names[@]} -eq 0 ] && [ ${#environments[@]} -eq 0 ] || suites=(integration limits)
    fi
    for s in "${suites[@]}"; do
        case $s in integration|limits) booted_suites+=("$s") ;; esac
    done
}

# The packages that the first build does without are fetched meanwhile. Later they are asked for again, where it matters.
prepare() {
    local later=()
    packages_ensure "${packages_build[@]}" "${packages_run[@]}"
    [ ${#suites[@]} -eq ${#booted_suites[@]} ] || later+=("${packages_test[@]}" "${packages_clang[@]}")
    ! any_vm_is_wanted || later+=("${packages_vm[@]}")
    [ ${#later[@]} -eq 0 ] || lane_begin packages packages_ensure "${later[@]}"
    prepare_main_build
    [ ${#later[@]} -eq 0 ] || wait "${lane_pids[packages]}"
    [ ${#suites[@]} -eq ${#booted_suites[@]} ] || packages_ensure "${packages_test[@]}"
}

run_tests() {
    local suites=() booted_suites=() names=() environments=() stage
    declare -A lane_pids
    parse_tests "$@"
    mkdir -p "$cache"
    exec 8>"$cache/test.lock"
    flock -n 8 || { say 'waiting for another ./dev test of this checkout'; flock 8; }
    rm -rf "$logs"
    mkdir -p "$logs"
    work_begin "${TMPDIR:-/tmp}/sandboxd-test.XXXXXX"
    : >"$work/counts"
    stage=$work/stage
    prepare
    run_lanes
    printf '%d passed, %d failed, %d skipped\n' "$(counted passed)" "$(counted failed)" "$(counted skipped)"
    [ "$(counted failed)" -eq 0 ]
}

run_lanes() {
    local booted=
    [ ${#booted_suites[@]} -eq 0 ] || is_broken "$main_build" || booted=1
    [ -z "$booted" ] || vm_lanes_begin
    lane_begin builds run_builds
    [ -z "$booted" ] || run_containers
    lane_end builds
    [ -z "$booted" ] || run_containers_alone
    lane_end vm vm61
}
