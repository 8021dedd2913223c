# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced by `dev` and build-vm.sh: OS trees of other Debian releases, made once, kept in the cache.

tree_packages=(
    systemd systemd-sysv dbus libpam-systemd util-linux iproute2 procps kmod strace curl jq git python3 e2fsprogs quota
    ca-certificates libmicrohttpd12 libjansson4 libcurl4 libseccomp2 libmount1 libarchive13 libsqlite3-0 libssl3
    libasan8 libubsan1 libcmocka0 libwslay1 libpcre2-8-0 libnl-route-3-200 libnftables1 libyaml-0-2
)
# Since trixie those with a time64 ABI have another name; on 64-bit machines nothing else changed.
tree_packages_t64=(libmicrohttpd12 libcurl4 libarchive13 libssl3)

tree_dir() { echo "$cache/trees/$1"; }

# The mirror that this machine's apt uses.
debian_mirror() {
    # shellcheck disable=SC2016 # the variable is apt's
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$'
}

tree_package_list() { # SUITE
    local p
    for p in "${tree_packages[@]}"; do
        case "$1 ${tree_packages_t64[*]} " in
        bookworm*) echo "$p" ;;
        *" $p "*) echo "${p}t64" ;;
        *) echo "$p" ;;
        esac
    done | paste -sd,
}

# Not installed, which would make an initrd and more: build-vm.sh wants the kernel and its modules only.
# shellcheck disable=SC2016 # for the shell that mmdebstrap runs
tree_kernel_hook='export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && cd "$1/boot" && apt-get -qq -o APT::Sandbox::User=root download \
    "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/^ *Depends: *//p" | head -n 1)"'

# Two who want the same at the same time get it one after the other.
tree_locked() { # CMD SUITE
    mkdir -p "$cache/trees"
    (
        flock 7
        "$@" 7>&-
    ) 7>"$cache/trees/$2.lock"
}

tree_build() { tree_locked tree_make "$1"; } # SUITE

tree_make() { # SUITE: nothing to do while the list of packages is the one it was made with
    local dir list mirror
    dir=$(tree_dir "$1")
    list="$(tree_package_list "$1") $tree_kernel_hook"
    [ "$(cat "$dir.list" 2>/dev/null)" != "$list" ] || return 0
    mirror=$(debian_mirror) && [ -n "$mirror" ] || { echo 'apt knows no Debian mirror'; return 1; }
    rm -rf --one-file-system "$dir" "$dir.list"
    mkdir -p "${dir%/*}"
    mmdebstrap --quiet --mode=root --variant=minbase --include="${list%% *}" \
        --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook="$tree_kernel_hook" \
        "$1" "$dir" "$mirror" || { echo "mmdebstrap could not make a tree of Debian $1 from $mirror"; return 1; }
    rm -rf "$dir"/var/lib/apt/lists/* "$dir"/var/cache/apt/*
    printf '%s\n' "$list" >"$dir.list"
}

vm_build() { tree_locked vm_make "$1"; } # SUITE

# The VM image of a release is made anew when its tree or what makes it is another.
vm_make() { # SUITE
    local stamp=$cache/vm/$1/stamp key
    tree_make "$1" || return 1
    key=$({
        cd "$testbed" && find build-vm.sh vm-* masked-units etc -type f -exec cksum {} + | sort
        cat "$(tree_dir "$1").list"
    } | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$key" ] || return 0
    "$testbed/build-vm.sh" "$1" && echo "$key" >"$stamp"
}
