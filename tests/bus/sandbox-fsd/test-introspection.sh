#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The committed description of an interface is what the program says: PROGRAM XML. One object may have several interfaces;
# the file's name tells which one it describes.
set -eu
name=$(basename "$2" .xml | sed 's/\./\\./g')
own() {
    sed -n "/<interface name=\"$name\">/,/<\/interface>/p" "$@"
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
own "$2" >"$dir/committed"
"$1" --bus-introspect | own >"$dir/real"
[ -s "$dir/real" ]
diff -u "$dir/committed" "$dir/real"
