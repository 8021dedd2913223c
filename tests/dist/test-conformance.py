#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every function that tests/CONFORMANCE.md names exists and is run, and every row names one or says "not yet".

test-conformance.py SOURCE_DIR"""
import glob
import os
import re
import sys

ROOT = sys.argv[1]
failed = False


def fail(text):
    global failed
    failed = True
    print("FAILED: " + text)


def read(path):
    with open(path) as f:
        return f.read()


def has(pattern, text):
    return re.search(pattern, text, re.M) is not None


def check_python(test, function):
    path = os.path.join(ROOT, "tests/integration", test, "test.py")
    if not os.path.exists(path):
        return fail("no " + path)
    text = read(path)
    # Defined, and in the list at the end.
    if not has(r"^def %s\(" % function, text) or function not in text[text.rindex("run_tests(["):]:
        fail("%s does not run %s" % (test, function))


def check_c(path, function):
    path = os.path.join(ROOT, path)
    if not os.path.exists(path):
        return fail("no " + path)
    if function != "*" and not has(r"^(TEST\(%s\)|int %s\()" % (function, function), read(path)):
        fail("%s has no %s" % (path, function))


def check_probe(function):
    texts = [read(p) for p in glob.glob(os.path.join(ROOT, "tests/probe/*.c"))]
    calls = sum(len(re.findall(r"\b%s\(" % function, t)) for t in texts)
    if not any(has(r"^(static )?void %s\(" % function, t) for t in texts) or calls < 2:
        fail("the probe does not run %s" % function)


rows = 0
for line in read(os.path.join(ROOT, "tests/CONFORMANCE.md")).splitlines():
    m = re.match(r"\| ([A-Z]\d+) \|.*\| (.*) \|$", line)
    if not m:
        continue
    rows += 1
    names = re.findall(r"`([^`:]+):([^`:]+)`", m[2])
    if not names and not m[2].startswith("not yet"):
        fail("%s names no test" % m[1])
    for where, function in names:
        if where == "probe":
            check_probe(function)
        elif where.startswith("TEST-"):
            check_python(where, function)
        else:
            check_c(where, function)
if rows < 80:
    fail("only %d rows were found" % rows)
print("%d promises" % rows)
sys.exit(failed)
