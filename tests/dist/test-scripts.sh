#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The scripts parse, say what is wrong in one line, and their help fits the terminal.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/testbed/lib.sh
. "$here/../testbed/lib.sh"
cd "$here/../.."

mapfile -t scripts < <(printf '%s\n' dev .ci/run; find tests -name '*.sh')
programs=()
for s in "${scripts[@]}"; do
    bash -n "$s"
    [[ $s != tests/* || $s == tests/@(testbed|dist)/* ]] && [ "$(head -c 2 "$s")" = '#!' ] || continue
    [ -x "$s" ] || fail "$s is not executable"
    programs+=("$s")
done
# What has no first line of its own is read together with those that source it.
! command -v shellcheck >/dev/null || shellcheck "${programs[@]}"

assert_eq "$(./dev help | awk 'length > 80')" '' 'lines of the help over 80 columns'
assert_eq "$(./dev)" "$(./dev help)" 'dev without arguments'
while read -r arguments; do
    # shellcheck disable=SC2086 # the words are to be split
    output=$(assert_rc 2 ./dev $arguments 2>&1 >/dev/null) || fail "$output"
    assert_eq "$(wc -l <<<"$output")" 1 "lines on stderr of dev $arguments"
done <<'A'
nonsense
up --nonsense
up --port
up --port 70000
up --set novalue
up --images-d /nonexistent
up --root /nonexistent
up --bind /nonexistent
exec
down now
test nonsense
run ls
A
