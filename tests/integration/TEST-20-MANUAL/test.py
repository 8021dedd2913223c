#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs what the documentation tells people to type. A block is one shell, in an empty directory of its own."""
import glob
import os
import re
import subprocess
import tempfile

import manual
from sandboxd import Failure, eq, ok, run_tests, shell

PAGES = sorted(p for s in ("1", "5", "8") for p in glob.glob(f"/usr/share/man/man{s}/sandbox*.{s}"))
README = "/usr/share/doc/sandboxd/README.md"
BLOCK_SEC = 120


def script_of(block):
    lines = ["exec 3>results"]
    lines += ["{ %s\n} >given 2>&1 </dev/null || { cat given >&2; exit 99; }" % given for given in block.given]
    for i, (command, _) in enumerate(block.steps()):
        lines.append("{ %s\n} >out.%d 2>&1 </dev/null; echo $? >&3" % (command, i))
    return "\n".join(lines)


def check_step(block, i, command, expected, status, printed):
    last = i == len(block.steps()) - 1
    if status != (block.exit if last else 0):
        raise Failure(f"{block.where}: {command!r} ended with {status}: {printed[-800:]}")
    if expected and not manual.matches(expected, printed.splitlines()):
        raise Failure(f"{block.where}: {command!r} printed\n{printed}\nbut it is told to print\n" + "\n".join(expected))


def write_file(block):
    os.makedirs(os.path.dirname(block.file), exist_ok=True)
    with open(block.file, "w") as f:
        f.write("\n".join(block.lines) + "\n")


def run_block(block):
    """Number of commands that were run."""
    steps = [] if block.file else block.steps()
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(["bash", "-c", script_of(block) if not block.file else "\n".join(block.given)], cwd=home,
                              timeout=BLOCK_SEC, capture_output=True, text=True)
        ok(done.returncode != 99, block.where, "its given failed", done.stderr)
        if block.file:
            write_file(block)
            return 0
        with open(home + "/results") as f:
            statuses = [int(line) for line in f]
        eq(len(statuses), len(steps), f"{block.where}: commands that ended")
        for i, (command, expected) in enumerate(steps):
            with open(f"{home}/out.{i}", errors="replace") as f:
                check_step(block, i, command, expected, statuses[i], f.read())
    return len(steps)


def run_blocks(blocks):
    n, failed = 0, []
    for block in blocks:
        if block.skip:
            print(f"     {block.where}: not run: {block.skip}")
            continue
        try:
            n += run_block(block)
        except (Failure, ValueError, subprocess.TimeoutExpired) as e:
            failed.append(str(e))
    ok(not failed, "\n".join(failed))
    print(f"     {n} commands")
    return n


def patterns_match():
    for expected, printed, result in (
            (["a"], ["a"], True), (["a"], ["a "], True), (["a"], ["b"], False), (["a"], ["a", "b"], False),
            (["a...c"], ["abc"], True), (["...", "z"], ["x", "y", "z"], True), (["..."], [], True),
            (["a", "...", "b"], ["a", "b"], True), (["a.c"], ["abc"], False), (["a", "b"], ["a"], False)):
        eq(manual.matches(expected, printed), result, f"{expected} against {printed}")


def pages_of_all():
    text = "".join(open(p).read() for p in PAGES)
    for what in sorted(os.listdir("/usr/lib/sandboxd")) + shell("cd /usr/lib/systemd/system; ls -d sandbox*").split():
        if os.path.isdir("/usr/lib/sandboxd/" + what) or what.endswith((".xml", ".d")):
            continue
        ok(any(os.path.basename(p).rsplit(".", 1)[0] == what for p in PAGES), "no manual page for", what)
    ok(".EX" in text, "no examples")


def examples_of_pages():
    n = run_blocks([b for p in PAGES for b in manual.of_page(open(p).read(), os.path.basename(p))])
    ok(n > 20, "too few commands were found", n)


def examples_of_readme():
    with open(README) as f:
        run_blocks(manual.of_markdown(f.read(), "README.md"))


def examples_of_help():
    verbs = re.findall(r"^  ([a-z]+)\b", shell("sandboxctl --help").split("\nOptions:")[0], re.M)
    blocks = [b for verb in verbs for b in manual.of_help(shell(f"sandboxctl help {verb}"), f"help {verb}")]
    for block in blocks:
        if block.where in ("help shell", "help attach"):
            block.skip = "it needs a terminal, TEST-15-TERMINAL has one"
        block.given = ["sandboxctl list -q | xargs -r sandboxctl kill",
                       "sandboxctl create python:3.12-slim --name demo", "mkdir -p /tmp/project /tmp/image"]
    n = run_blocks(blocks)
    ok(n >= len(verbs) // 2, "too few verbs have an example", n)


def cleanup():
    shell("sandboxctl list -q | xargs -r sandboxctl kill")


run_tests([patterns_match, pages_of_all, examples_of_pages, cleanup, examples_of_readme, examples_of_help, cleanup])
