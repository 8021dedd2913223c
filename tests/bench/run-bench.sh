# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev bench`: boots three instances that differ in their pools alone, has sandbox-bench measure all of them
# and the others from inside of one, and one virtual machine for what a kernel shared with others cannot show.

readme_begin='<!-- figures of ./dev bench: begin -->'
readme_end='<!-- figures of ./dev bench: end -->'
bench_program=/usr/lib/sandboxd/tests/sandbox-bench

parse_bench() {
    format=table write_readme='' rounds=60 rests=() names=()
    while [ $# -gt 0 ]; do
        case $1 in
        --json) format=json ;;
        --write-readme) write_readme=1 ;;
        --no-rest) rests=(--no-rest) ;;
        --rounds) rounds=$(value_of "$@") || exit; shift ;;
        -*) bad_usage "bench: unknown option '$1'" ;;
        *) names+=("$1") ;;
        esac
        shift
    done
}

bench_wants() { # ROW: as rows_select() has it
    local n
    [ ${#names[@]} -gt 0 ] || return 0
    for n in "${names[@]}"; do
        # shellcheck disable=SC2254 # a pattern
        case $1 in "$n"*|$n) return 0 ;; esac
    done
    return 1
}

bench_settings() { # NAME
    echo III_MAX_SANDBOXES=4000
    case $1 in
    blank) echo SANDBOX_BLANK_POOL=16 ;;
    warm) printf '%s\n' III_POOL_SIZE=8 III_POOL_PROFILES=python:3.12-slim,512,1,false ;;
    esac
}

# Its socket lies in a folder that all of them share: one client reaches all.
bench_instance() { # NAME
    local etc=$work/$1.etc
    mkdir -p "$etc/sandboxd/sandboxd.conf.d" "$etc/systemd/system/sandboxd.socket.d"
    bench_settings "$1" >"$etc/sandboxd/sandboxd.conf.d/50-bench.conf"
    printf '[Socket]\nListenStream=/srv/bench/%s.sock\n' "$1" >"$etc/systemd/system/sandboxd.socket.d/50-bench.conf"
    attended "$instance" start "$work/$1" --stage "$work/stage" --etc "$etc" --bind "$work/shared:/srv/bench" \
        --watch $$ >&2
}

bench_container() {
    local name
    mkdir "$work/shared"
    for name in blank warm cold; do
        bench_instance "$name" || exit 1
    done
    attended "$instance" exec "$work/blank" /testdata/bench/peers.sh /srv/bench/peers.json >&2
    attended "$instance" exec "$work/blank" $bench_program --rounds "$rounds" "${rests[@]}" --peers /srv/bench/peers.json \
        --cold /srv/bench/cold.sock --warm /srv/bench/warm.sock "${names[@]}" >"$work/container.json"
    for name in blank warm cold; do
        attended "$instance" stop "$work/$name"
    done
}

# A machine of its own: MemAvailable of a shared one says nothing of us.
bench_vm() {
    local layer=$work/vm.layer
    echo '[]' >"$work/vm.json"
    bench_wants memory || return 0
    packages_ensure "${packages_vm[@]}" && vm_build trixie >&2 || return 0
    cp -a "$work/stage" "$layer"
    cp -a "$repo/tests" "$layer/testdata"
    mkdir -p "$layer/etc/sandboxd/sandboxd.conf.d" "$work/vm.out"
    bench_settings cold >"$layer/etc/sandboxd/sandboxd.conf.d/50-bench.conf"
    echo "/testdata/testbed/setup.sh && $bench_program --memory 200 memory >/testout/rows" >"$layer/testdata/job"
    LIMIT=900 attended "$testbed/boot-vm.sh" trixie "$layer" "$work/vm.out" >&2
    [ ! -s "$work/vm.out/rows" ] || mv "$work/vm.out/rows" "$work/vm.json"
}

bench_print() { # FORMAT
    "$(build_dir "$main_build")/tests/bench/sandbox-bench" --print "$1" <"$work/rows.json"
}

# What stands between the two lines becomes the table.
bench_write_readme() {
    grep -Fxq -- "$readme_begin" "$repo/README.md" && grep -Fxq -- "$readme_end" "$repo/README.md" ||
        die "README.md has no lines $readme_begin and $readme_end"
    bench_print markdown >"$work/table" || :
    [ -s "$work/table" ] || die 'there is no table'
    awk -v begin="$readme_begin" -v end="$readme_end" -v table="$work/table" '
        $0 == end { inside = 0; print "" }
        !inside { print }
        $0 == begin { inside = 1; print ""; while ((getline line <table) > 0) print line }' \
        "$repo/README.md" >"$work/README.md" && cat "$work/README.md" >"$repo/README.md"
}

run_bench() {
    local format write_readme rounds rests names
    parse_bench "$@"
    # The figures of README.md are those of a client that rests.
    [ -z "$write_readme" ] || [ ${#rests[@]} = 0 ] || bad_usage 'bench: --no-rest and --write-readme exclude each other'
    packages_ensure "${packages_build[@]}" "${packages_run[@]}" "${packages_bench[@]}"
    work_begin "${TMPDIR:-/tmp}/sandboxd-bench.XXXXXX"
    stage_into "$work/stage"
    bench_container
    bench_vm
    # What the container could not measure comes from the virtual machine.
    jq -s '.[1] as $vm | .[0] | map(.name as $n | first($vm[] | select(.name == $n)) // .)' \
        "$work/container.json" "$work/vm.json" >"$work/rows.json" || die 'there are no figures'
    [ -z "$write_readme" ] || bench_write_readme
    bench_print "$format"
}
