#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# compare-interface.sh DAEMON FILE: fails when the daemon's interface is not what the file says. Only our own part is
# compared: the standard interfaces around it are libsystemd's and change with its version.
set -eu
own() {
    sed -n '/<interface name="io\.sandboxd\./,/<\/interface>/p' "$@"
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
own "$2" >"$dir/committed"
"$1" --bus-introspect | own >"$dir/real"
[ -s "$dir/real" ]
diff -u "$dir/committed" "$dir/real"
