# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every route of the table succeeds, refuses, and does what its name promises; and every field of every route treats
bad input as the OpenAPI document says."""
import glob
import importlib
import os
import re
import subprocess

import bad_input
import proof
from sandboxd import Failure, api, but_newer, eq, main_pid, ok, run_tests, shell


def table():
    """Routes as the entries name them, with the prefix that is to be put before them."""
    lines = subprocess.run(["/usr/lib/sandboxd/sandboxd", "--routes"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    for line in lines:
        method, path = line.split()
        below = path.startswith(proof.PREFIX + "/")
        yield (f"{method} {path[len(proof.PREFIX):]}", proof.PREFIX) if below else (f"{method} {path} at the root", "")


def load():
    for path in sorted(glob.glob("proof_*.py")):
        importlib.import_module(os.path.basename(path)[:-3])


def prove(route, prefix):
    entry = proof.entries.get(route)
    ok(entry, f"{route} has no entry: proof_<noun>.py wants one")
    p = proof.Proof(route.replace(" at the root", ""), prefix)
    entry(p)
    print("  " + p.finish(), flush=True)


def each_route_is_proved():
    load()
    failures, routes = [], dict(table())
    for route, prefix in routes.items():
        try:
            prove(route, prefix)
        except (Failure, OSError, KeyError, TypeError, StopIteration) as e:
            failures.append(f"{route}: {type(e).__name__} {e}")
            print(f"  FAIL {route}: {e}", flush=True)
    proof.done()
    failures += [f"{r} is no route" for r in proof.entries if r not in routes]
    print(f"  {len(routes)} routes, {len(failures)} without proof", flush=True)
    if failures:
        raise Failure("\n".join(failures))


def a_route_without_effect_fails():
    """The rule itself."""
    p = proof.Proof("GET /health")
    p.good()
    p.bad(400, query="%zz")
    try:
        p.finish()
    except Failure as e:
        ok(re.search("no effect", str(e)), "the reason", e)
    else:
        raise Failure("an entry without an effect passed")


def bad_input_is_refused_as_the_document_says():
    api("GET", "/health")
    before = main_pid("sandboxd.service")
    bad_input.each_field_keeps_its_policy()
    bad_input.bodies_that_are_no_object()
    eq(main_pid("sandboxd.service"), before, "the daemon is the same")


def bad_input_takes_no_memory():
    api("GET", "/health")
    with open(f"/proc/{main_pid('sandboxd.service')}/maps", encoding="utf-8") as f:
        sanitized = "libasan" in f.read()
    # the sanitizer keeps what is freed for a while, on purpose
    if not sanitized:
        bad_input.memory_stays()


def nothing_was_restarted():
    for unit in ("sandboxd", "sandbox-execd", "sandbox-fsd"):
        eq(shell(f"systemctl show -P NRestarts {unit}.service").strip(), "0", unit)


run_tests([each_route_is_proved, a_route_without_effect_fails,
           *but_newer(bad_input_is_refused_as_the_document_says, bad_input_takes_no_memory), nothing_was_restarted])
