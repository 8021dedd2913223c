# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev`: the builds, each in a folder of its own in the repository's .cache/build.
# A build's name is COMPILER-KIND; the compilers are gcc and clang, the kinds release, asan (with UBSan, too),
# fuzz (the same, and the fuzzers are libFuzzer's; clang only), minimal (every option off) and install (without what
# only tests use).

# What is installed, booted and integration-tested.
main_build=${SANDBOXD_BUILD:-gcc-release}

build_dir() { echo "$repo/.cache/build/$1"; }

build_options() { # NAME
    echo --prefix=/usr -Dunitdir=/usr/lib/systemd/system
    case $1 in
    *-install) echo -Dtests=disabled ;;
    *-minimal) echo -Dauto_features=disabled -Dtests=disabled ;;
    *) echo -Dtests=enabled -Dinstall_tests=true ;;
    esac
    case $1 in
    *-asan|*-fuzz) echo -Db_sanitize=address,undefined -Db_lundef=false ;;
    esac
    # What nobody measures or ships is to be compiled quickly.
    case $1 in
    *-asan|*-minimal) echo -Dbuildtype=debug -Dc_args=-g1 ;;
    *) echo -Dbuildtype=debugoptimized ;;
    esac
    case $1 in
    *-fuzz) echo -Dfuzzers=true -Dc_args=-fsanitize=fuzzer-no-link ;;
    esac
}

# Prints what a command says only if it fails.
quietly() { # LOG CMD...
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null && return
    grep -v "^\[[0-9]*/[0-9]*\] \(Compiling\|Linking\)" "$log" >&2 # what ninja did well
    return 1
}

build_locked() { # NAME CMD...: two commands of ours in one checkout must not make the same at once
    mkdir -p "$repo/.cache/build"
    (
        flock 9
        "${@:2}" 9>&-
    ) 9>"$repo/.cache/build/$1.lock"
}

build_now() { # NAME
    local dir options stamp again=()
    dir=$(build_dir "$1")
    [ -e "$repo/meson.build" ] || die 'there is no meson.build'
    read -rd '' -a options < <(build_options "$1")
    # ninja does not notice a folder that was not there when meson looked for it.
    stamp="${options[*]} $(cd "$repo" && find . -name .cache -prune -o -name meson.build -print | sort | xargs)"
    if [ "$(cat "$dir.stamp" 2>/dev/null)" != "$stamp" ] || [ ! -e "$dir/build.ninja" ]; then
        if [ -e "$dir/build.ninja" ]; then
            again=(--reconfigure)
        else
            say "building $1, for the first time all of it (see $dir.log)"
        fi
        CC=${1%-*} quietly "$dir.log" meson setup "${again[@]}" "${options[@]}" "$dir" "$repo" || return 1
        echo "$stamp" >"$dir.stamp"
    fi
    case $1 in
    *-fuzz) again=(fuzzers) ;; # the rest takes minutes and is not run
    *) again=() ;;
    esac
    quietly "$dir.log" nice -n "${build_nice:-0}" ninja -k 0 -C "$dir" "${again[@]}"
}

build() { # NAME
    [[ $1 != clang-* ]] || packages_ensure "${packages_clang[@]}"
    build_locked "$1" build_now "$1" || die "the build $1 failed (see above)"
}

# Installs into a folder of the caller's own: a booted instance has it as a layer, which must not change.
build_stage() { # NAME DIR
    mkdir -p "$2"
    build_locked "$1" quietly "$(build_dir "$1").log" \
        meson install --no-rebuild -C "$(build_dir "$1")" --destdir "$2" || die "meson install failed (see above)"
    [[ $1 != *-asan ]] || stage_sanitizers "$2"
}

sanitizer_options=(
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
)

# What the units forbid and the sanitizers need: ptrace() to look for leaks, and memory. Core dumps are off already.
stage_sanitizers() { # DIR
    local unit dir
    for unit in sandboxd sandbox-execd sandbox-fsd sandbox-hook sandbox-netd sandbox-dns sandbox-due@ sandbox-port-; do
        dir=$1/usr/lib/systemd/system/$unit.service.d
        mkdir -p "$dir"
        cat >"$dir/50-sanitizers.conf" <<D
[Service]
Environment=${sanitizer_options[*]/%/:disable_coredump=0}
SystemCallFilter=@debug
MemoryMax=infinity
D
    done
}
