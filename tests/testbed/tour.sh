#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `./dev run` shows when it is given no command: one sandbox from create to delete.
set -u
failed=0

step() { # CMD...: shows the command, its output, and a status that is not 0
    local rc=0
    printf '$'
    printf ' %q' "$@"
    echo
    "$@" || rc=$?
    [ $rc -eq 0 ] || { echo "(exit status $rc)"; failed=1; }
    echo
}

file=$(mktemp)
trap 'rm -f "$file"' EXIT
echo 'carried in and out' >"$file"

echo '$ sandboxctl create host'
id=$(sandboxctl create host) || exit
printf '%s\n\n' "$id"
step sandboxctl exec "$id" -- sh -c 'id; uname -sr; ls /'
step sandboxctl cp "$file" "$id:/workspace/note"
step sandboxctl exec "$id" -- cat note
step sandboxctl pause "$id"
step sandboxctl resume "$id"
step sandboxctl status "$id"
step sandboxctl kill "$id"
step sandboxctl list
exit $failed
