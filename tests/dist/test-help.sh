#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every program explains itself on stdout within 80 columns, and refuses an unknown option on stderr with status 2.
#   test-help.sh BUILD_DIR
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 n=0

fail() {
    echo "FAILED: $*"
    failed=1
}

check_help() {
    if ! "$@" >"$work/out" 2>"$work/err" </dev/null; then
        fail "$*: ended with an error"
    fi
    [ -s "$work/out" ] || fail "$*: no text"
    [ ! -s "$work/err" ] || fail "$*: text on stderr"
    if awk 'length($0) > 80' "$work/out" | grep .; then
        fail "$*: lines of more than 80 columns"
    fi
    if grep -nE '[[:space:]]+$|	' "$work/out"; then
        fail "$*: tabs or blanks at the end of a line"
    fi
}

check_refusal() {
    local status=0

    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" = 2 ] || fail "$*: ended with $status, wanted 2"
    [ ! -s "$work/out" ] || fail "$*: text on stdout"
    [ -s "$work/err" ] || fail "$*: nothing on stderr"
}

for program in sandboxctl/sandboxctl sandboxd/sandboxd sandbox-execd/sandbox-execd sandbox-execd/sandbox-due \
               sandbox-execd/sandbox-relay sandbox-fsd/sandbox-fsd sandbox-fsd/sandbox-files \
               sandbox-hook/sandbox-hook sandbox-netd/sandbox-netd sandbox-dns/sandbox-dns; do
    [ -x "$build/$program" ] || continue
    check_help "$build/$program" --help
    check_refusal "$build/$program" --no-such-option
    n=$((n + 1))
done
[ $n -gt 0 ] || fail "no program was found in $build"

ctl=$build/sandboxctl/sandboxctl
while read -r verb; do
    check_help "$ctl" help "$verb"
    check_help "$ctl" "$verb" --help
done < <("$ctl" --help | sed -n '/^Options:/q; s/^  \([a-z][a-z]*\).*/\1/p')
check_refusal "$ctl" no-such-verb
check_refusal "$ctl"
check_refusal "$ctl" help no-such-verb
exit $failed
