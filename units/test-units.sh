#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Gates on the units: the exposure that systemd-analyze computes, and verify without a line.
#   test-units.sh SOURCE_DIR BUILD_DIR PKGLIBDIR
set -euo pipefail
source=$1 build=$2 pkglibdir=$3

command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# systemd-analyze wants the programs to exist: stand-ins at a path of our own.
cp "$source"/*.socket "$source"/*.slice "$build"/*.service "$work"
mkdir "$work/bin"
for program in sandboxd sandbox-execd sandbox-fsd sandbox-hook sandbox-netd sandbox-dns sandbox-due sandbox-relay; do
    install -m 755 /bin/true "$work/bin/$program"
done
# The relays are transient units, made of these lines and this file.
printf '%s\n' '[Service]' "ExecStart=$pkglibdir/sandbox-relay tcp 80 1" 'NetworkNamespacePath=/proc/1/ns/net' \
    >"$work/sandbox-port-x.service"
sed '1,/^\[Service\]/d' "$source/sandbox-port-.service.conf" >>"$work/sandbox-port-x.service"
sed -i "s#$pkglibdir/#$work/bin/#g" "$work"/*.service

# unit, threshold (tenfold exposure)
while read -r unit threshold; do
    if line=$(systemd-analyze security --offline=true --no-pager --threshold="$threshold" "$work/$unit" 2>&1); then
        echo "ok: ${line##*$'\n'}"
    else
        echo "FAILED: more than $threshold: ${line##*$'\n'}"
        failed=1
    fi
done <<'GATES'
sandboxd.service 5
sandbox-fsd.service 15
sandbox-hook.service 15
sandbox-netd.service 15
sandbox-dns.service 15
sandbox-execd.service 37
sandbox-due@.service 10
sandbox-port-x.service 12
GATES

if ! output=$(systemd-analyze verify --man=no "$work"/*.service "$work"/*.socket "$work"/*.slice 2>&1); then
    failed=1
fi
if [ -n "$output" ]; then
    echo "FAILED: systemd-analyze verify:"
    echo "$output"
    failed=1
fi
exit $failed
