# SPDX-License-Identifier: LGPL-2.1-or-later
"""Proofs: for each route how it succeeds, how it refuses, and what became different in the world, seen from elsewhere.

A file proof_<noun>.py has the entries of one resource:

    @proof("POST /sandboxes/:id/pause")
    def pause(p):
        p.good(id=s.id)                    # this very route: 200
        p.bad(409, id=s.id)                # this very route: refused, with the text of the envelope
        p.effect("processes stand still", counter() == counter())

An entry that leaves one of the three out fails, like a route that has none."""
from urllib.parse import quote

from sandboxd import Failure, Sandbox, eq, ok, request

PREFIX = "/sandbox"
entries = {}
shared = []


def proof(route):
    """route: as `sandboxd --routes` prints it, without the prefix of the dialect."""
    def register(function):
        ok(route not in entries, f"{route} has two entries")
        entries[route] = function
        return function
    return register


def sandbox():
    """One for all that do it no harm."""
    if not shared:
        shared.append(Sandbox(name="proofs"))
    return shared[0]


def done():
    while shared:
        shared.pop().delete()


class Proof:
    def __init__(self, route, prefix=PREFIX):
        self.route, self.prefix = route, prefix
        self.method, self.path = route.split()
        self.good_status = self.bad_status = None
        self.effects = []

    def url(self, values, query):
        path = self.path
        for name, value in values.items():
            ok(f":{name}" in path or f"*{name}" in path, f"{self.route} has no {name}")
            path = path.replace(f"*{name}", quote(str(value), safe="/"), 1)
            path = path.replace(f":{name}", quote(str(value), safe=""), 1)
        return self.prefix + path + ("?" + query if query else "")

    def call(self, body=None, query="", raw=False, headers=None, **values):
        # a row for any method has none of its own for this one
        return request("PATCH" if self.method == "*" else self.method, self.url(values, query), body, headers=headers, raw=raw)

    def good(self, body=None, query="", raw=False, headers=None, **values):
        """The answer's body."""
        status, self.headers, answer = self.call(body, query, raw, headers, **values)
        ok(200 <= status < 300, f"{self.route}: status {status}", answer)
        self.good_status = status
        return answer

    def bad(self, expect, body=None, query="", headers=None, **values):
        status, _, answer = self.call(body, query, headers=headers, **values)
        eq(status, expect, f"{self.route}: status of {body!r:.100} {query} {values} ({answer!r:.200})")
        ok(isinstance(answer, dict) and answer.get("error" if self.prefix else "message"),
           f"{self.route}: the text of a {status}", answer)
        self.bad_status = status
        return answer

    def effect(self, what, condition=True, *more):
        ok(condition, f"{self.route}: {what}", *more)
        self.effects.append(what)

    def finish(self):
        missing = [n for n, v in (("2xx", self.good_status), ("4xx", self.bad_status), ("effect", self.effects))
                   if not v]
        if missing:
            raise Failure(f"{self.route}: the entry has no {', '.join(missing)}")
        route = f"{self.method:6} {self.prefix}{self.path}"
        return f"{route} {self.good_status} {self.bad_status} {'; '.join(self.effects)}"
