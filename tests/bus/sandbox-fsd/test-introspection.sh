#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The committed description of an interface is what the program says: PROGRAM XML.
set -eu
"$1" --bus-introspect | diff -u "$2" -
