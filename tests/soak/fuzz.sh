#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ./dev soak fuzz: every fuzzer for FUZZ_SECONDS (600), two at a time, from its corpus on. FUZZ_NAMES: only these, as
# "http path". What makes one fail stays in .cache/fuzz, with its output.
set -u

# shellcheck source=tests/testbed/common.sh
. "$(dirname "$(readlink -f "$0")")/../testbed/common.sh"
# shellcheck source=tests/testbed/packages.sh
. "$testbed/packages.sh"
# shellcheck source=tests/testbed/build.sh
. "$testbed/build.sh"

seconds=${FUZZ_SECONDS:-600}
found=$cache/fuzz
programs=$(build_dir clang-fuzz)/tests/fuzz

# What is found on the way lies in a folder of its own, so that the corpus stays what somebody chose.
fuzz_one() { # NAME
    local name=$1 dir=$found/$1
    mkdir -p "$dir/new"
    if env "${sanitizer_options[@]}" setarch -R "$programs/fuzz-$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -artifact_prefix="$dir/" -print_final_stats=1 "$dir/new" "$repo/tests/fuzz/fuzz-$name" \
        >"$dir/log" 2>&1; then
        printf 'ok   fuzz-%s: %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log")"
        rm -rf "$dir/new"
    else
        tail -n 40 "$dir/log"
        printf 'FAIL fuzz-%s: see %s\n' "$name" "$dir"
        return 1
    fi
}

packages_ensure "${packages_build[@]}"
build clang-fuzz
rc=0 names=()
if [ -n "${FUZZ_NAMES:-}" ]; then
    read -rd '' -a names <<<"$FUZZ_NAMES"
else
    for p in "$programs"/fuzz-*; do
        [ ! -f "$p" ] || names+=("${p##*/fuzz-}")
    done
fi
[ ${#names[@]} -gt 0 ] || die 'no fuzzer was built'
for name in "${names[@]}"; do
    [ -x "$programs/fuzz-$name" ] || die "there is no fuzz-$name"
    fuzz_one "$name" &
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
        wait -n || rc=1
    done
done
while [ -n "$(jobs -p)" ]; do
    wait -n || rc=1
done
exit $rc
