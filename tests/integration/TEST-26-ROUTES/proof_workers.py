# SPDX-License-Identifier: LGPL-2.1-or-later
"""One host is a cluster of one: what these routes say must be true of it. Each has an alias below /admin."""
from proof import proof
from sandboxd import Sandbox, api, eq


def both(route):
    def register(function):
        method, path = route.split()
        proof(route)(function)
        proof(f"{method} /admin{path}")(function)
        return function
    return register


@both("GET /workers")
def list_workers(p):
    with Sandbox() as s:
        answer = p.good()
        own = [w for w in answer["workers"] if w["workerId"] == s.record["workerId"]]
        p.effect("it lives and counts its sandboxes", answer["alive"] >= 1 and own[0]["activeSandboxes"] >= 1, answer)
    p.bad(400, query="%zz")


@both("POST /workers/heartbeat")
def heartbeat(p):
    beat = p.good({})
    listed = [w for w in api("GET", "/workers")["workers"] if w["workerId"] == beat["workerId"]]
    p.effect("it is listed as of now", listed and listed[0]["lastHeartbeat"] >= beat["lastHeartbeat"], beat, listed)
    p.bad(400, query="%zz")


@both("POST /workers/migrate")
def migrate(p):
    with Sandbox() as s:
        eq(p.good({}), {"migrated": 0})
        p.effect("what has a worker keeps it", s.get()["workerId"] == s.record["workerId"])
    p.bad(400, query="%zz")


@both("POST /workers/reap")
def reap(p):
    with Sandbox() as s:
        eq(p.good({}), {"reaped": 0, "reassigned": 0, "expired": 0})
        p.effect("what lives is left alone", s.out("echo on") == "on\n")
    p.bad(400, query="%zz")


@both("GET /workers/select")
@both("POST /workers/select")
def select(p):
    chosen = p.good()["workerId"]
    with Sandbox() as s:
        p.effect("the one that takes sandboxes", chosen == s.record["workerId"], chosen)
    p.bad(400, query="%zz")
