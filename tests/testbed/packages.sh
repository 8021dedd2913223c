# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev`: what Debian has to provide, and getting it.

packages_build=(
    meson ninja-build pkg-config gcc libsystemd-dev libmicrohttpd-dev libjansson-dev libcurl4-openssl-dev libseccomp-dev
    libmount-dev libarchive-dev libsqlite3-dev libssl-dev libcmocka-dev libwslay-dev libnl-route-3-dev libnftables-dev
)
packages_clang=(
    clang libclang-rt-dev
)
packages_run=(
    systemd dbus jq curl strace python3 iproute2 procps util-linux universal-ctags bubblewrap tmux nftables
)
packages_bench=(
    bubblewrap crun runc systemd-container
)
# What only tests use: of our texts, and what sandboxes run code with.
packages_test=(
    busybox-static groff-base man-db mandoc python3-websockets xfsprogs zsh
    golang-go nodejs python3-pip ts-node
)
# A nodejs that is not Debian's has its own.
command -v npm >/dev/null || packages_test+=(npm)
packages_vm=(
    mmdebstrap qemu-system-x86 busybox-static cpio e2fsprogs zstd xz-utils lz4 kmod
)

packages_missing() { # PACKAGE...
    comm -13 <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p' | sort -u) <(printf '%s\n' "$@" | sort -u)
}

packages_ensure() { # PACKAGE...
    local missing log
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
    say "installing ${missing[*]}"
    mkdir -p "$cache"
    log=$cache/apt.log
    export DEBIAN_FRONTEND=noninteractive
    (
        flock 6
        apt-get update
        apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}"
    ) 6>"$cache/apt.lock" >>"$log" 2>&1 </dev/null || {
        tail -n 30 "$log" >&2
        die "apt-get did not install ${missing[*]} (see $log)"
    }
}
