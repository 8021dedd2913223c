# shellcheck shell=bash
# Sourced by `dev`: the builds, each in a folder of its own in the repository's .cache/build.
# A build's name is COMPILER-KIND: gcc-release, gcc-asan, clang-release, clang-asan.

build_dir() { echo "$repo/.cache/build/$1"; }

build_options() { # NAME
    echo --prefix=/usr -Dunitdir=/usr/lib/systemd/system -Dbuildtype=debugoptimized -Dwerror=true -Dinstall_tests=true
    case $1 in
    *-asan) echo -Db_sanitize=address,undefined -Db_lundef=false ;;
    esac
}

# Prints what a command says only if it fails.
quietly() { # LOG CMD...
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null && return
    cat "$log" >&2
    return 1
}

build_locked() { # CMD...: two commands of ours in one checkout must not build at once
    mkdir -p "$repo/.cache/build"
    (
        flock 9
        "$@" 9>&-
    ) 9>"$repo/.cache/build/lock"
}

build_now() { # NAME
    local dir options
    dir=$(build_dir "$1")
    [ -e "$repo/meson.build" ] || die 'there is no meson.build'
    mapfile -d ' ' -t options < <(build_options "$1" | tr '\n' ' ')
    if [ ! -e "$dir/build.ninja" ]; then
        rm -rf "$dir"
        CC=${1%-*} quietly "$dir.log" meson setup "${options[@]}" "$dir" "$repo" || return 1
    fi
    quietly "$dir.log" ninja -C "$dir"
}

build() { # NAME
    build_locked build_now "$1" || die "the build $1 failed (see above)"
}

# Installs into a folder of the caller's own: a booted instance has it as a layer, which must not change.
build_stage() { # NAME DIR
    build_locked quietly "$(build_dir "$1").log" \
        meson install --no-rebuild -C "$(build_dir "$1")" --destdir "$2" || die "meson install failed (see above)"
}
