# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Runs in a sandbox, in its own bash: the protocol is that of context.py. The code is sourced in this very shell, so that
# its variables, functions and directory stay; "done" says its status. Children do not get the descriptor.
exec 62<&0 0</dev/null
trap 'return 130' INT

while IFS=' ' read -r -u 62 __sandboxd_kind __sandboxd_token __sandboxd_length; do
    __sandboxd_code=
    if ((__sandboxd_length > 0)); then
        IFS= LC_ALL=C read -r -N "$__sandboxd_length" -u 62 __sandboxd_code
    fi
    printf 'begin %s 0\n' "$__sandboxd_token" >&62
    # shellcheck disable=SC1090
    source <(printf '%s\n' "$__sandboxd_code") 62>&-
    __sandboxd_status=$?
    trap 'return 130' INT
    printf 'done %s %d\n%s' "$__sandboxd_token" "${#__sandboxd_status}" "$__sandboxd_status" >&62
done
