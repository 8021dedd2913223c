#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run-inside.sh ENVIRONMENT TEST...: runs integration tests in the booted container or VM this is executed in.
# Leaves in /testout: results (a line "TEST STATUS MILLISECONDS" each) and TEST.log, TEST.journal.
set -u
environment=$1
shift

# What the sanitizers said of our services, if they were built with them. Leaks are told at the end of a process.
check_sanitizers() { # SINCE
    [ -e /usr/lib/systemd/system/sandboxd.service.d/50-sanitizers.conf ] || return 0
    systemctl --quiet stop sandboxd.service sandbox-execd.service sandbox-fsd.service sandbox-hook.service sandbox-netd.service \
        sandbox-dns.service
    ! journalctl --no-pager -o cat --since "@$1" | grep -E 'ERROR: [A-Za-z]+Sanitizer|runtime error: '
}

settings=()
for v in "${!TEST_@}"; do
    settings+=(-E "$v=${!v}")
done

run_one() { # TEST
    local begin=${EPOCHREALTIME/./} rc=0 since
    since=$(date +%s.%N)
    systemd-run --quiet --pipe --wait --collect --unit="testbed-$1" \
        -p RuntimeMaxSec="${TEST_TIMEOUT:-600}" -p WorkingDirectory="/testdata/integration/$1" \
        -E HOME=/root -E LANG=C.UTF-8 -E PATH="$PATH" -E TESTDATA=/testdata -E TESTBED="$environment" "${settings[@]}" \
        "/testdata/integration/$1/run.sh" </dev/null >"/testout/$1.log" 2>&1 || rc=$?
    [ $rc != 0 ] || check_sanitizers "$since" >>"/testout/$1.log" 2>&1 || rc=sanitizer
    echo "$1 $rc $(((${EPOCHREALTIME/./} - begin) / 1000))" | tee -a /testout/results
    [ $rc = 0 ] || [ $rc = 77 ] ||
        journalctl --no-pager -o short-precise --since "@$since" >"/testout/$1.journal" 2>&1
}

mkdir -p /testout
for test in "$@"; do
    run_one "$test"
done
