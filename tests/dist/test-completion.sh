#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The completions parse, and know every verb and option that the help knows.
#   test-completion.sh SOURCE_DIR SANDBOXCTL
set -euo pipefail
source=$1 program=$2
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

bash -n "$source/sandboxctl/completion/sandboxctl.bash" || fail "bash: does not parse"
if command -v zsh >/dev/null; then
    zsh -n "$source/sandboxctl/completion/_sandboxctl" || fail "zsh: does not parse"
else
    echo "zsh is not here: its completion was not parsed"
fi

# shellcheck source=sandboxctl/completion/sandboxctl.bash
. "$source/sandboxctl/completion/sandboxctl.bash"
PATH=$(dirname "$program"):$PATH
compopt() { :; }

complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _sandboxctl
    printf '%s\n' "${COMPREPLY[@]}"
}

want() {
    local word=$1
    shift
    complete_words "$@" | grep -xFe "$word" >/dev/null || fail "no '$word' for: $*"
}

for verb in create list status top kill pause resume renew limits run exec logs ps queue cp events metrics trace images alert template webhook worker configure doctor version help; do
    want "$verb" sandboxctl help "${verb:0:2}"
    # One look for all options of a verb; each must be offered for its own start.
    missing=$(comm -13 <(complete_words sandboxctl "$verb" -- | sort) \
        <("$program" help "$verb" | grep -oE '^  (-.,|   ) --[a-z-]+' | grep -oE -- '--[a-z-]+' | sort))
    [ -z "$missing" ] || fail "$verb: not offered: $missing"
done
want --json sandboxctl --j
[ "$(complete_words sandboxctl cre)" = create ] || fail "a start of a verb"
exit $failed
