#!/bin/bash
# What `./dev run` shows when it is given no command: one sandbox from create to delete.
set -u
failed=0

step() { # CMD...: shows the command, its output and a status that is not 0
    local rc=0
    printf '$ %s\n' "${*@Q}"
    "$@" || rc=$?
    [ $rc -eq 0 ] || { echo "(exit status $rc)"; failed=1; }
    echo
}

file=$(mktemp)
trap 'rm -f "$file"' EXIT
echo 'carried in and out' >"$file"

step sandboxctl create host
id=$(sandboxctl list --json | jq -r '.[0].id // .sandboxes[0].id')
[ -n "$id" ] || { echo 'there is no sandbox' >&2; exit 1; }
step sandboxctl exec "$id" -- sh -c 'id; uname -sr; ls /'
step sandboxctl cp "$file" "$id:/tmp/note"
step sandboxctl exec "$id" -- cat /tmp/note
step sandboxctl pause "$id"
step sandboxctl resume "$id"
step sandboxctl stats "$id"
step sandboxctl kill "$id"
step sandboxctl list
exit $failed
