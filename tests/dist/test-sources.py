#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules on the sources that a machine can hold: licences, sizes, who may include whom.

test-sources.py SOURCE_DIR"""
import os
import re
import shutil
import subprocess
import sys

ROOT = sys.argv[1]
PROGRAMS = {"sandboxd", "sandbox-execd", "sandbox-fsd", "sandbox-hook", "sandbox-netd", "sandbox-dns", "sandbox-init", "sandboxctl"}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 100
failed = False


def fail(path, text):
    global failed
    failed = True
    print("FAILED: %s: %s" % (path, text))


def is_build(directory):
    return os.path.exists(os.path.join(directory, "meson-private"))


def sources():
    for directory, subdirectories, names in os.walk(ROOT):
        subdirectories[:] = [d for d in subdirectories
                             if not d.startswith(".") and not is_build(os.path.join(directory, d))]
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), ROOT)


def check_licence(path, lines):
    head = "\n".join(lines[:3])
    if "SPDX-License-Identifier: LGPL-2.1-or-later" not in head:
        fail(path, "no SPDX line at the top")


def check_includes(path, lines):
    """A folder's own headers, libsandbox/ and, for tests, theirs and those of the program under test."""
    parts = path.split("/")
    allowed = {"libsandbox", parts[0]}
    if parts[0] == "tests":
        allowed |= PROGRAMS & set(parts)
        if parts[1] in ("bus", "fuzz", "unit"):
            # A test is of one program: the first that it includes.
            first = [m.group(1) for m in (re.match(r'#include "([^/"]+)/', l) for l in lines) if m]
            allowed |= set([p for p in first if p in PROGRAMS][:1])
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        folder = m.group(1).split("/")[0] if "/" in m.group(1) else None
        if folder is None:
            fail("%s:%d" % (path, number), "include names no folder: " + m.group(1))
        elif folder not in allowed:
            fail("%s:%d" % (path, number), "may not include " + m.group(1))


def check_functions(files):
    if not shutil.which("ctags"):
        print("ctags is not here: sizes of functions were not checked")
        return
    out = subprocess.run(["ctags", "--languages=C", "--c-kinds=f", "--fields=+ne", "-f", "-", "-L", "-"], cwd=ROOT,
                         input="\n".join(files), capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        m = re.search(r"line:(\d+).*end:(\d+)", line)
        if m and int(m[2]) - int(m[1]) + 1 > FUNCTION_LINES_MAX:
            name, path = line.split("\t")[:2]
            fail(path, "%s() has %d lines" % (name, int(m[2]) - int(m[1]) + 1))


c_files = []
for path in sorted(sources()):
    if not path.endswith((".c", ".h", ".inc", ".py", ".sh", ".bash", "meson.build")):
        continue
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        content = f.read().splitlines()
    check_licence(path, content)
    if path.endswith((".c", ".h")):
        check_includes(path, content)
    if path.endswith(".c"):
        c_files.append(path)
        if len(content) > FILE_LINES_MAX:
            fail(path, "has %d lines" % len(content))
        for number, line in enumerate(content, 1):
            if line.rstrip() != line or "\t" in line:
                fail("%s:%d" % (path, number), "tab or blank at the end")
check_functions(c_files)
if not c_files:
    fail(ROOT, "no sources were found")
sys.exit(1 if failed else 0)
