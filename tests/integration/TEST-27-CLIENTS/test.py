# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways in which known clients talk, each through all groups of routes that it uses; and what the live tests of
these clients assert, item by item."""
import re
import subprocess

import groups
import items
from clients import ABSENT, TOKEN, Cli, Mcp, Python, Rust, TypeScript
from groups import create, path_of, run
from sandboxd import Failure, configure, eq, ok, run_tests
from tools import TOOLS

# names of values in a path are the server's own business
ROUTES = {re.sub(r":\w+", ":", " ".join(line.split()).replace(" /sandbox/", " /")) for line in subprocess.run(
    ["/usr/lib/sandboxd/sandboxd", "--routes"], check=True, capture_output=True, text=True).stdout.splitlines()}


def exists(route):
    return re.sub(r":\w+", ":", route) in ROUTES


def lacks(group, client, sandbox):
    missing = [r for r in group.routes if not exists(r)]
    if missing:
        return "no " + missing[0]
    programs = [p for p in group.programs if run(client, sandbox, f"command -v {p}")["exitCode"] != 0]
    return f"no {programs[0]} in the image" if programs else None


def each_group(client, wanted):
    """One sandbox a client. What failed is told for all groups, not for the first only."""
    sandbox, failures = create(client, timeout=600), []
    try:
        for group in wanted:
            why = lacks(group, client, sandbox)
            try:
                if not why:
                    group(client, sandbox)
                print(f"  {client.name}: {group.__name__.strip('_')}: {'not yet: ' + why if why else 'ok'}", flush=True)
            except (Failure, KeyError, TypeError, ValueError, OSError) as e:
                failures.append(f"{group.__name__}: {type(e).__name__}: {e}")
    finally:
        client.delete(path_of(sandbox))
    if failures:
        raise Failure("\n".join(failures))


def typescript_sdk():
    each_group(TypeScript(), groups.groups)


def python_sdk():
    each_group(Python(), groups.groups)


def rust_sdk():
    each_group(Rust(), groups.groups)


def command_line():
    each_group(Cli(), groups.CLI)


def fill(value, known):
    """Placeholders of tools.py, by what earlier tools have made."""
    if isinstance(value, dict):
        return {k: fill(v, known) for k, v in value.items()}
    return known.get(value[1:-1], value) if isinstance(value, str) and value.startswith("{") else value


def url(path, known):
    for name, key in ((":id", "id"), (":jobId", "job"), (":networkId", "network"), (":volumeId", "volume")):
        path = path.replace(name, str(known.get(key)))
    return path


def mcp_tools():
    """The server asks for the sandbox before each tool; anything but 2xx is an error of the tool."""
    client, known, later = Mcp(), {}, []
    has_git = None
    for tool, route, body, remember in TOOLS:
        method, path = route.split()
        if has_git is None and known:
            has_git = run(client, known, "command -v git")["exitCode"] == 0
            known["pid"] = int(run(client, known, "sleep 999 & echo $!")["stdout"])
        if not exists(route) or "/git/" in path and not has_git or path.endswith("/install"):
            later.append(tool)
            continue
        if path.endswith("/stream/logs"):
            list(client.events("GET", url(path, known) + "?follow=false", end=("end",)))
            continue
        answer = client.tool(known.get("id"), method, url(path, known), ABSENT if body is None else fill(body, known))
        if remember:
            known[remember[1]] = answer[remember[0]]
    print(f"  mcp: {len(TOOLS) - len(later)} tools; not yet: {', '.join(later)}", flush=True)
    ok(len(TOOLS) - len(later) >= 10, "tools that work", later)
    for left in client.get("/sandboxes")["items"]:  # the clone
        client.delete(path_of(left))


def items_of_the_live_tests():
    sandbox, failures = create(TypeScript(), name="items", timeout=300), []
    shown = []
    for n in range(1, 26):
        if n in items.ITEMS:
            try:
                items.ITEMS[n](sandbox)
                shown.append(f"{n}: ok")
            except (Failure, KeyError, TypeError, ValueError, OSError) as e:
                failures.append(f"item {n}: {type(e).__name__}: {e}")
        else:
            shown.append(f"{n}: group {items.BY_GROUP[n]}")
    print("  " + "; ".join(shown), flush=True)
    TypeScript().delete(path_of(sandbox))
    if failures:
        raise Failure("\n".join(failures))


def nothing_is_left():
    eq(TypeScript().get("/sandboxes")["total"], 0)


configure(III_AUTH_TOKEN=TOKEN)
run_tests([typescript_sdk, python_sdk, rust_sdk, command_line, mcp_tools, items_of_the_live_tests, nothing_is_left])
