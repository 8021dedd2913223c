# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Verbs and options come from the program's own help, so that they cannot differ.

_sandboxctl_verbs() {
    sandboxctl --help 2>/dev/null | sed -n '/^Options:/q; s/^  \([a-z][a-z]*\).*/\1/p'
}

_sandboxctl_options() {
    sandboxctl ${1:+"$1"} --help 2>/dev/null | sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p'
}

_sandboxctl_images() {
    sandboxctl --json images 2>/dev/null | sed -n 's/^ *"name": "\([^"*\\]*\)".*/\1/p'
}

_sandboxctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' words=() i

    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == [a-z]* ]]; then
            verb=${COMP_WORDS[i]}
            break
        fi
    done
    COMPREPLY=()

    case $previous in
    --token-file | --socket | --root | -S)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t words < <(_sandboxctl_options "$verb")
    elif [[ -z $verb || $verb == help ]]; then
        mapfile -t words < <(_sandboxctl_verbs)
    else
        case $verb in
        create | run)
            mapfile -t words < <(_sandboxctl_images)
            ;;
        status | kill | pause | resume | renew | limits | exec | shell | attach | logs | ps)
            mapfile -t words < <(sandboxctl list --quiet 2>/dev/null)
            ;;
        cp)
            mapfile -t words < <(sandboxctl list --quiet 2>/dev/null | sed 's/$/:/'; compgen -f -- "$current")
            compopt -o nospace
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
}

complete -F _sandboxctl sandboxctl
