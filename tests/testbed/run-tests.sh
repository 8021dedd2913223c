# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev test`: runs the suites, counts, ends with "N passed, N failed, N skipped".

all_suites=(unit bus integration limits fuzz dist)
passed=0 failed=0 skipped=0 broken=
logs=$cache/test-logs

# --- counting

count_pass() { passed=$((passed + 1)); }

count_fail() { # WHERE TEST REASON
    failed=$((failed + 1))
    printf 'FAIL %s: %s: %s\n' "$1" "$2" "$3"
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
    skipped=$((skipped + 1))
    printf 'SKIP %s: %s: %s\n' "$1" "$2" "$3"
}

# --- suites that are meson tests

suite_builds() { # SUITE
    case $1,${CI:-} in
    dist,*) echo gcc-release ;;
    fuzz,true|unit,true|bus,true) echo gcc-release gcc-asan clang-release clang-asan ;;
    fuzz,*) echo clang-asan ;;
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
        tail -n 20 "$logs/$1.$2.log"
        count_fail "$1 ($2)" 'meson test' 'did not run'
    fi
}

meson_output() { # ROW
    jq -r '((.stdout // "") + (.stderr // "")) | rtrimstr("\n")' <<<"$1"
}

count_meson_suite() { # WHERE JSON-LINES
    local result name row
    while read -r row; do
        result=$(jq -r .result <<<"$row")
        name=$(jq -r .name <<<"$row")
        case $result in
        OK|EXPECTEDFAIL) count_pass ;;
        SKIP) count_skip "$1" "$name" "$(meson_output "$row" | tail -n 1)" ;;
        *)
            meson_output "$row" | tail -n 60
            count_fail "$1" "$name" "$result"
            ;;
        esac
    done <"$2"
}

# --- integration tests

test_needs() { # TEST
    local needs
    needs=$(sed -n 's/^# needs: *//p' "$repo/tests/integration/$1/run.sh" | tr '|,' '  ')
    # shellcheck disable=SC2086 # one blank between words
    echo ${needs:-container}
}

test_suite() { # TEST
    case " $(test_needs "$1") " in
    *\ container*) echo integration ;;
    *) echo limits ;;
    esac
}

# Both suites at once: a virtual machine is to boot only once.
run_environments() { # ENVIRONMENT...
    local t group env
    for env in "$@"; do
        group=()
        for t in "$repo"/tests/integration/TEST-*/run.sh; do
            [ -e "$t" ] || continue
            t=$(basename "$(dirname "$t")")
            [[ " ${booted_suites[*]} " == *" $(test_suite "$t") "* ]] && name_is_wanted "$t" || continue
            case " $(test_needs "$t") " in *" $env "*) group+=("$t") ;; esac
        done
        [ ${#group[@]} -eq 0 ] || run_group "$env" "${group[@]}"
    done
}

# The emulated machines take one processor and a long time: they run beside everything else, as soon as there is what
# they boot, and their results are printed and counted at the end.
vm_lane_begin() {
    [ ${#booted_suites[@]} -gt 0 ] && ! is_broken "$main_build" || return 0
    (
        trap '[ -z "$attended_pid" ] || kill "$attended_pid" 2>/dev/null' EXIT
        trap 'exit 143' INT TERM HUP
        attended_pid='' passed=0 failed=0 skipped=0
        run_environments vm vm61
        echo "$passed $failed $skipped" >"$work/vm-lane.counts"
    ) >"$work/vm-lane.out" 2>&1 </dev/null 8>&- &
    beside_pid=$!
}

vm_lane_end() {
    local p f s
    [ -n "$beside_pid" ] || return 0
    wait "$beside_pid" 2>/dev/null # bash forgets one that ended long ago
    beside_pid=''
    cat "$work/vm-lane.out"
    if read -r p f s 2>/dev/null <"$work/vm-lane.counts"; then
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    else
        count_fail vm 'the tests in virtual machines' 'they ended without a result'
    fi
}

run_group() { # ENVIRONMENT TEST...
    local env=$1 t out=$logs/$1
    shift
    mkdir -p "$out"
    rm -f "$out/results"
    if ! ("prepare_$env") >"$out/prepare.log" 2>&1; then
        for t in "$@"; do
            count_skip "$env" "$t" "no such environment here: $(tail -n 1 "$out/prepare.log")"
        done
        return
    fi
    case $env in
    vm*)
        run_vm "$env" "$out" "$@"
        count_group "$env" "$out" "$@"
        ;;
    *)
        for t in "$@"; do
            run_container "$env" "$out" "$t"
            count_group "$env" "$out" "$t"
        done
        ;;
    esac
}

run_container() { # ENVIRONMENT OUT TEST
    local state v options=() settings=() stage=$stage
    case $1 in
    container257) options=(--root "$(tree_dir trixie)") ;;
    hybrid) options=(--mode hybrid) ;;
    sanitized) stage=$work/sanitized.stage ;;
    esac
    state=$work/$1
    "$instance" start "$state" --stage "$stage" --bind "$2:/testout" --watch $$ "${options[@]}" >"$2/$3.log" 2>&1 ||
        return
    for v in "${!TEST_@}"; do
        settings+=("$v=${!v}")
    done
    attended "$instance" exec "$state" env "${settings[@]}" /testdata/testbed/run-inside.sh "$1" "$3" >/dev/null
    "$instance" stop "$state"
}

count_group() { # ENVIRONMENT OUT TEST...
    local env=$1 out=$2 t rc ms
    shift 2
    for t in "$@"; do
        read -r rc ms < <(sed -n "s/^$t //p" "$out/results" 2>/dev/null) || rc=none ms=0
        case $rc in
        0)
            count_pass
            printf 'ok   %s: %s %d.%03ds\n' "$env" "$t" $((ms / 1000)) $((ms % 1000))
            ;;
        77) count_skip "$env" "$t" "$(tail -n 1 "$out/$t.log")" ;;
        *)
            tail -q -n 40 "$out/$t.journal" "$out/$t.log" 2>/dev/null
            count_fail "$env" "$t" "exit status $rc, see $out/$t.log and $t.journal"
            ;;
        esac
    done
}

# One boot for all: an emulated machine needs seconds for it.
run_vm() { # ENVIRONMENT OUT TEST...
    local env=$1 out=$2 layer=$work/$1.layer begin=$SECONDS
    shift 2
    mkdir "$layer"
    cp -aT "$stage" "$layer"
    cp -a "$repo/tests" "$layer/testdata"
    cat >"$layer/testdata/job" <<J
/testdata/testbed/setup.sh && TEST_TIMEOUT=600 /testdata/testbed/run-inside.sh $env $*
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

# --- all together

name_is_wanted() { # TEST
    local n
    [ ${#names[@]} -gt 0 ] || return 0
    for n in "${names[@]}"; do
        [ "$1" != "$n" ] && [[ $1 != "$n"-* ]] || return 0
    done
    return 1
}

run_suite() { # SUITE
    local b
    case $1 in
    integration|limits)
        [ "$booted" = no ] && ! is_broken "$main_build" || return 0
        booted=yes
        run_environments container container257 hybrid
        [ "${CI:-}" != true ] || run_environments sanitized
        ;;
    *)
        for b in $(suite_builds "$1"); do
            is_broken "$b" || run_meson_suite "$1" "$b"
        done
        ;;
    esac
}

parse_tests() {
    local a
    for a in "$@"; do
        case " ${all_suites[*]} " in
        *" $a "*) suites+=("$a") ;;
        *)
            compgen -G "$repo/tests/integration/$a*/run.sh" >/dev/null && [[ $a == TEST-* ]] ||
                bad_usage "test: there is no suite '$a'; there are ${all_suites[*]} and each TEST-nn of integration"
            names+=("$a")
            ;;
        esac
    done
    if [ ${#suites[@]} -eq 0 ]; then
        suites=("${all_suites[@]}")
        [ ${#names[@]} -eq 0 ] || suites=(integration limits)
    fi
}

is_broken() { [[ $broken == *" $1 "* ]]; } # BUILD

build_or_count() { # BUILD
    (build "$1") && return
    count_fail build "$1" 'does not compile'
    broken+=" $1 "
}

# What is booted comes first, for the virtual machines' sake.
prepare_main_build() {
    build_or_count "$main_build"
    is_broken "$main_build" || build_stage "$main_build" "$stage"
}

prepare_builds() {
    local s b
    for b in $({
        [ "${CI:-}" != true ] || echo gcc-minimal
        for s in "${suites[@]}"; do
            case $s in integration|limits) ;; *) suite_builds "$s" ;; esac
        done
    } | tr ' ' '\n' | grep -vx "$main_build" | sort -u); do
        build_or_count "$b"
    done
}

run_tests() {
    local suites=() booted_suites=() booted=no names=() s stage
    parse_tests "$@"
    for s in "${suites[@]}"; do
        case $s in integration|limits) booted_suites+=("$s") ;; esac
    done
    packages_ensure "${packages_build[@]}" "${packages_run[@]}" "${packages_test[@]}"
    mkdir -p "$cache"
    exec 8>"$cache/test.lock"
    flock -n 8 || { say 'waiting for another ./dev test of this checkout'; flock 8; }
    rm -rf "$logs"
    mkdir -p "$logs"
    work_begin "${TMPDIR:-/tmp}/sandboxd-test.XXXXXX"
    stage=$work/stage
    prepare_main_build
    vm_lane_begin
    prepare_builds
    for s in "${suites[@]}"; do
        run_suite "$s"
    done
    vm_lane_end
    printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
    [ $failed -eq 0 ]
}
