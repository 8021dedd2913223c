#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages are sound, and say what the programs' tables say: settings with their defaults, verbs and options.
#   test-man.sh SOURCE_DIR SANDBOXCTL
set -euo pipefail
source=$1 program=$2
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*"
    failed=1
}

# Names and defaults of the settings, as the table and as the page have them.
python3 - "$source" >"$work/settings" <<'P' || fail "the settings of the page and the table differ"
import re
import sys

source = sys.argv[1]
table = open(source + "/libsandbox/settings.c").read()
page = open(source + "/man/sandboxd.conf.5").read()
rows = {name: fallback for name, fallback in re.findall(r'(?:ROW|FIXED)\("(\w+)",\s*\w+,\s*\w+,\s*(NULL|"[^"]*")', table)}
told = dict(re.findall(r'^\.BR (\w+) " \(\w+, (.*)\)"$', page, re.M))
for name in sorted(rows.keys() | told.keys()):
    wanted = {None: None, "NULL": "not set by default", '""': "empty by default"}.get(
        rows.get(name), "default \\fB%s\\fR" % (rows.get(name) or "").strip('"').replace("-", "\\-"))
    if told.get(name) != wanted:
        print("%s: the table has %s, the page says %s" % (name, rows.get(name), told.get(name)))
if not rows or rows.keys() != told.keys():
    sys.exit(1)
P
cat "$work/settings"
[ ! -s "$work/settings" ] || failed=1

page=$source/man/sandboxctl.1
while read -r verb; do
    "$program" help "$verb" >>"$work/help"
    grep -qE "^\.(BI?|B) ${verb//-/\\\\-}( |\$)" "$page" || fail "sandboxctl.1: no verb '$verb'"
    while read -r option; do
        grep -qF -- "${option//-/\\-}" "$page" || fail "sandboxctl.1: no option '$option' of '$verb'"
    done < <("$program" help "$verb" | grep -oE '^  (-.,|   ) --[a-z-]+' | grep -oE -- '--[a-z-]+')
done < <("$program" --help | sed -n '/^Options:/q; s/^  \([a-z][a-z-]*\).*/\1/p')
while read -r option; do
    grep -qF -- "$option" "$work/help" || fail "sandboxctl.1: option '$option' does not exist"
done < <(sed -n '/^\.SH VERBS/,/^\.SH EXIT/p' "$page" | grep -oE '\\-\\-[a-z][a-z\\-]*' | sed 's/\\//g' | sort -u)

# The numbers of the page are those of the header.
while read -r number; do
    grep -qE "^$number	" "$page" || fail "sandboxctl.1: no exit status $number"
done < <(sed -n 's/^ *EXIT_STATUS_[A-Z_]* = \([0-9]*\),.*/\1/p' "$source/sandboxctl/exit-status.h" | grep -vx 128)

# Every program, unit and file of settings has a page, by its own name or as a further name of another one.
pages() {
    sed -n "s/^    \['\(.*\)', *'\([1-8]\)', \[\(.*\)\]\],$/\1 \2 \3/p" "$source/man/meson.build" | tr -d "',"
}
while read -ra row; do
    [ -e "$source/man/${row[0]}.${row[1]}" ] || fail "${row[0]}.${row[1]} is not there"
    printf "%s.${row[1]}\n" "${row[0]}" "${row[@]:2}"
done < <(pages) >"$work/pages"
has_page() { grep -qE "^${1//./\\.}\.[1-8]$" "$work/pages" || fail "no page tells of $1"; }
for unit in "$source"/units/sandbox*.{socket,slice,service.in}; do
    unit=$(basename "$unit" .in)
    has_page "$unit"
done
for name in $(sed -n "s/.*executable('\(sandbox[a-z-]*\)'.*/\1/p" "$source"/sandbox*/meson.build) \
            sandboxd.conf sandboxd.conf.d sandboxd-images.d sandboxd-tokens; do
    has_page "$name"
done
while read -r name; do
    [[ $name == systemd* ]] || grep -qxF "$name" "$work/pages" || fail "a unit refers to $name, which does not exist"
done < <(grep -ohE 'man:[a-z.-]+\([0-9]\)' "$source"/units/* | sort -u | sed 's/man:\(.*\)(\(.*\))/\1.\2/')
for page in "$source"/man/*.[1-8]; do
    grep -qxF "$(basename "$page")" "$work/pages" || fail "$page is not installed"
    while read -r name section; do
        [[ ! $name =~ ^sandbox ]] || grep -qxF "$name.$section" "$work/pages" || fail "$page: refers to $name($section)"
    done < <(sed -n 's/^\.BR \([^ ]*\) (\([1-8]\)).*/\1 \2/p' "$page" | sed 's/\\-/-/g')
done

# Each formatter warns of other things.
missing=()
check() { # PROGRAM ARGUMENT...: is silent about each page
    command -v "$1" >/dev/null || { missing+=("$1"); return; }
    for page in "$source"/man/*.[1-8]; do
        if ! LC_ALL=C.UTF-8 "$@" "$page" >/dev/null 2>"$work/warnings" || [ -s "$work/warnings" ]; then
            fail "$1: $(cat "$work/warnings")"
        fi
    done
}
check groff -t -man -Tutf8 -ww -z
check mandoc -Tlint -W warning
MANROFFSEQ=t MANWIDTH=80 check man --warnings -l
[ $failed = 0 ] || exit 1
[ ${#missing[@]} = 0 ] || { echo "not here, and so not asked: ${missing[*]}"; exit 77; }
