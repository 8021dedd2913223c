# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Verbs and options come from the program's own help, so that they cannot differ; sandboxes and images come from the
# server that the words so far name, within two seconds and without a word if there is none.

_sandboxctl_verbs() {
    sandboxctl --help 2>/dev/null | sed -n '/^Options:/q; s/^  \([a-z][a-z-]*\).*/\1/p'
}

_sandboxctl_options() { # VERB
    sandboxctl ${1:+"$1"} --help 2>/dev/null | sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p'
}

# Whether the next word is the option's value.
_sandboxctl_takes_value() { # VERB OPTION
    sandboxctl ${1:+"$1"} --help 2>/dev/null |
        sed -n 's/^  \(-.\), \(--[a-z-]*\) [A-Z].*/\1\n\2/p; s/^      \(--[a-z-]*\) [A-Z].*/\1/p' | grep -qxFe "$2"
}

_sandboxctl_ask() { # WORD...
    timeout 2 sandboxctl "${connection[@]}" --json "$@" 2>/dev/null </dev/null
}

# Ids and names. A name that a shell would have to quote is left to its id.
_sandboxctl_sandboxes() {
    _sandboxctl_ask list | sed -n 's/^ \{6\}"\(id\|name\)": "\([A-Za-z0-9][A-Za-z0-9._-]*\)".*/\2/p' | sort -u
}

_sandboxctl_images() {
    _sandboxctl_ask images | sed -n 's/^ *"name": "\([^]["*?\\ ]*\)".*/\1/p'
}

_sandboxctl_jobs() {
    _sandboxctl_ask queue list | sed -n 's/^ *"id": "\(job_[0-9a-f]*\)".*/\1/p'
}

_sandboxctl_webhooks() {
    _sandboxctl_ask webhook list | sed -n 's/^ *"id": "\(whk_[0-9a-f]*\)".*/\1/p'
}

# bash takes a ":" and a "=" for words of their own. COMP_WORDS up to the current word in which they are not.
_sandboxctl_join() {
    local i word glue=

    line=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((${#line[@]} > 1)) && [[ $word == [:=]* || -n $glue ]]; then
            line[-1]+=$word
        else
            line+=("$word")
        fi
        glue=
        [[ $word != *[:=] ]] || glue=1
    done
}

_sandboxctl_templates() {
    _sandboxctl_ask template list | sed -n 's/^ \{6\}"\(id\|name\)": "\([A-Za-z0-9][A-Za-z0-9._-]*\)".*/\2/p' | sort -u
}

_sandboxctl_networks() {
    _sandboxctl_ask network list | sed -n 's/^ \{6\}"\(id\|name\)": "\([A-Za-z0-9][A-Za-z0-9._-]*\)".*/\2/p' | sort -u
}

_sandboxctl_volumes() {
    _sandboxctl_ask volume list | sed -n 's/^ \{6\}"\(id\|name\)": "\([A-Za-z0-9][A-Za-z0-9._-]*\)".*/\2/p' | sort -u
}

# What stands before the current word: the verb, its words so far, and how to reach the server.
_sandboxctl_read() {
    local i last=$((${#line[@]} - 1))

    for ((i = 1; i < last; i++)); do
        case ${line[i]} in
        --url | --socket | --token-file | -U | -S)
            # A token's descriptor cannot be read twice; and what has no value yet is no way to reach anybody.
            ((i + 1 >= last)) || connection+=("${line[i]}" "${line[i + 1]}")
            ((++i))
            ;;
        --url=* | --socket=* | --token-file=*) connection+=("${line[i]}") ;;
        --) ;;
        -*) ! _sandboxctl_takes_value "$verb" "${line[i]}" || ((++i)) ;;
        *)
            if [[ -z $verb ]]; then verb=${line[i]}; else ((n++ > 0)) || action=${line[i]}; fi
            ;;
        esac
    done
}

_sandboxctl_value() { # OPTION: words that its value can be
    case $1 in
    --status) if [[ $verb == queue ]]; then printf '%s\n' cancelled completed failed pending running; elif [[ $verb == webhook ]]; then printf '%s\n' dead delivered pending; else printf '%s\n' creating failed paused running stopped; fi ;;
    --sandbox) _sandboxctl_sandboxes ;;
    --sort) printf '%s\n' age cpu io left memory name pids state ;;
    --template) _sandboxctl_templates ;;
    --token-file | --socket | -S) compgen -f -- "$current" ;;
    --root) compgen -d -- "$current" ;;
    esac
}

_sandboxctl_argument() { # words that the n-th argument of the verb can be
    case $verb,$n in
    ,*) _sandboxctl_verbs ;;
    help,0) _sandboxctl_verbs ;;
    create,0 | run,0) _sandboxctl_images ;;
    status,0 | renew,0 | limits,0 | exec,0 | logs,0 | ps,0 | shell,0 | attach,0 | clone,0 | fork,0 | restore,0) _sandboxctl_sandboxes ;;
    events,0 | metrics,0 | trace,0 | watch,0) _sandboxctl_sandboxes ;;
    queue,0) printf '%s\n' cancel dlq list purge requeue status submit ;;
    queue,1) [[ $action != submit ]] || _sandboxctl_sandboxes ;;&
    queue,*) [[ $action == submit ]] || _sandboxctl_jobs ;;
    kill,* | pause,* | resume,*) _sandboxctl_sandboxes ;;
    alert,0) printf '%s\n' delete history list set ;;
    alert,1) _sandboxctl_sandboxes ;;
    alert,2) printf '%s\n' cpu memory pids psi-cpu psi-io psi-memory ;;
    alert,4) printf '%s\n' kill notify pause ;;
    open,0) _sandboxctl_sandboxes ;;
    snapshot,0) printf '%s\n' clone create delete list ;;
    snapshot,1) _sandboxctl_sandboxes ;;
    port,0) printf '%s\n' close expose list ;;
    port,1) _sandboxctl_sandboxes ;;
    template,0) printf '%s\n' create delete list show ;;
    template,1) _sandboxctl_templates ;;
    template,2) _sandboxctl_images ;;
    network,0) printf '%s\n' connect create delete disconnect list show ;;
    network,1) _sandboxctl_networks ;;
    network,2) _sandboxctl_sandboxes ;;
    egress,0) printf '%s\n' allow log open remove set show ;;
    egress,1) _sandboxctl_sandboxes ;;
    volume,0) printf '%s\n' attach create delete detach list show ;;
    volume,1) [[ $action == create ]] || _sandboxctl_volumes ;;
    volume,2) _sandboxctl_sandboxes ;;
    worker,0) printf '%s\n' list migrate reap select ;;
    webhook,0) printf '%s\n' create delete deliveries disable enable list show test ;;
    webhook,1) [[ $action == create ]] || _sandboxctl_webhooks ;;
    git,0 | run-code,0) _sandboxctl_sandboxes ;;
    env,0) printf '%s\n' get list set unset ;;
    env,1) _sandboxctl_sandboxes ;;
    git,1) printf '%s\n' branch checkout clone commit diff log pull push status ;;
    run-code,1) compgen -f -- "$current" ;;
    cp,*)
        # Behind "ID:" stands a path that only the sandbox knows.
        [[ $current == *:* ]] || {
            _sandboxctl_sandboxes | sed 's/$/:/'
            compgen -f -- "$current"
        }
        ;;
    esac
}

_sandboxctl() {
    local line verb='' action='' n=0 connection=() current previous words=()

    _sandboxctl_join
    _sandboxctl_read
    current=${line[-1]} previous=${line[-2]}
    COMPREPLY=()
    if [[ $current == --*=* ]]; then
        previous=${current%%=*} current=${current#*=}
        mapfile -t words < <(_sandboxctl_value "$previous")
    elif [[ $previous == -* ]] && _sandboxctl_takes_value "$verb" "$previous"; then
        mapfile -t words < <(_sandboxctl_value "$previous")
    elif [[ $current == -* ]]; then
        mapfile -t words < <(_sandboxctl_options "$verb")
    else
        mapfile -t words < <(_sandboxctl_argument)
    fi
    for previous in "${words[@]}"; do
        [[ $previous != "$current"* ]] || COMPREPLY+=("$previous")
    done
    # A path goes on behind a directory's name, and behind "ID:", whose colon bash would quote in a file's name.
    [[ $verb != cp || $current == -* ]] || compopt -o nospace
    [[ $verb != cp || ${COMPREPLY[*]} == *:* ]] || compopt -o filenames
}

complete -F _sandboxctl sandboxctl
